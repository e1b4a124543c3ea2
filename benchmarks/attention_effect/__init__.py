"""The claims of the attention papers, measured on small nets against their vanilla twins."""
