"""Side-by-side runs against peers, each a command that prints ratios: ``python -m benchmarks.NAME``."""
