"""The verbs of the command line: one module each, with ``add`` (its parser) and ``run`` (its work, an ``Outcome``)."""
