"""Attention for spiking networks, one file a paper; ``gates`` holds what they share."""
