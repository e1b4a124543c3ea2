"""The command's entry: nothing heavy is imported in front of it, so that ctrl-C while the parts load ends in one line."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130


def main() -> int:
    """Load the command line, run it on the words of the process, and return the exit code."""
    signal.signal(signal.SIGINT, _leave)
    from spikewright.toolchain.cli import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return run()
    finally:
        signal.signal(signal.SIGINT, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: libraries that load, or are torn down, catch a KeyboardInterrupt and go on half loaded."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
