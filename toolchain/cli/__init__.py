"""The command line: it parses, calls the library, and prints; one file a verb, with ``add`` (its parser) and ``run``."""

from spikewright.toolchain.cli.main import build_parser as build_parser
from spikewright.toolchain.cli.main import main as main
