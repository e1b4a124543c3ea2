"""Training: named recipes, the loop that runs them, and what it measures."""
