"""The integer dynamics, exact, and the counters."""
