"""How long a chip step takes, from what happened in it."""
