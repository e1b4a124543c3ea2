"""The border: one file or folder per foreign ecosystem, each the only place that imports it."""
