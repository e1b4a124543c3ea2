"""Training for the target: the graph that goes onto the chip, run and trained in torch, and deployed again."""
