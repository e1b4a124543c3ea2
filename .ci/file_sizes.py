"""Fail if a Python file is longer than 400 lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MAX_LINES = 400


def main() -> int:
    """Name every file that is too long; return the exit code."""
    listed = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True).stdout.split()
    long = {
        name: n
        for name in listed
        if Path(name).is_file() and (n := len(Path(name).read_text().splitlines())) > MAX_LINES
    }
    for name, lines in long.items():
        print(f"{name}: {lines} lines; {MAX_LINES} are allowed\n  help: split it by what its parts do", file=sys.stderr)
    return 1 if long else 0


if __name__ == "__main__":
    sys.exit(main())
