"""The passes: one file, one rewrite, one name on the command line."""
