"""A program made ready to run: internal order, folded exponents, integer widths, synapses as tables, rows of counters."""
