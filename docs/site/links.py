"""Fail if a built page loads anything from elsewhere: the site is read without a network.

Usage: ``python -m docs.site.links FOLDER``. Links inside the site are checked by mkdocs itself (``--strict``).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LOADED = re.compile(r"<(?:script|link|img|iframe|source|video)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)")
CANONICAL = "canonical"


def foreign(folder: Path) -> list[str]:
    """Return what pages and style sheets of a folder load from elsewhere."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        for match in LOADED.finditer(path.read_text(encoding="utf-8")):
            if CANONICAL not in match[0]:
                found.append(f"{path.relative_to(folder)}: {match[1]}")
    for path in sorted(folder.rglob("*.css")):
        found += [
            f"{path.relative_to(folder)}: {url}"
            for url in re.findall(r"url\([\"']?((?:https?:)?//[^)\"']+)", path.read_text(encoding="utf-8"))
        ]
    return found


def main(folder: str) -> int:
    """Name every place; return the exit code."""
    pages = Path(folder)
    found = foreign(pages)
    for place in found:
        print(f"{place}\n  help: the site must hold it itself", file=sys.stderr)
    count = len(list(pages.rglob("*.html")))
    print(f"{count} pages, {len(found)} things loaded from elsewhere")
    return int(bool(found) or not count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
