"""Fail if a test was skipped that should have run: given data and an installed Lava, only a missing GPU is a reason.

Usage: ``python .ci/no_skips.py JUNIT.xml [LIBRARY ...]``; a LIBRARY may be missing, too: its tests run elsewhere.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET


def main(path: str, *elsewhere: str) -> int:
    """Name every skipped test of a junit file whose reason is none; return the exit code."""
    skipped = [
        (f"{case.get('classname')}::{case.get('name')}", skip.get("message") or "")
        for case in ET.parse(path).getroot().iter("testcase")
        for skip in case.iter("skipped")
    ]
    wrong = [(name, reason) for name, reason in skipped if not _excused(reason, elsewhere)]
    for name, reason in wrong:
        print(f"{name}: skipped ({reason})\n  help: give what it needs, or mend the test", file=sys.stderr)
    return 1 if wrong else 0


def _excused(reason: str, elsewhere: tuple[str, ...]) -> bool:
    return "GPU" in reason or any(f"could not import '{library}" in reason for library in elsewhere)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
