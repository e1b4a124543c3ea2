"""Fail if code outside the blocks names a family of attention: a paper is one file, and everything else calls its base class.

Counted are words (identifiers, strings, comments) of all Python files of the compiler, the machine and the border but for
``toolchain/blocks``, and ``export/foreign``, whose tables say which class of the authors' is which torch module of ours. Names
of nets of the zoo (``ma-digits``) are data.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDERS = ("toolchain", "export", "hw_sim")
APART = ("toolchain/blocks/", "export/foreign/")
NAMES = re.compile(
    r"\b_?(?:MA(?:LIF|Attention|_\w+)?|(?:GAC|TCJA|STAA)\w*"  # MALIF, MA-SNN, GAC, TCJANet, STAA-style
    r"|(?:ma|gac|tcja|staa)(?:_\w+)?(?![\w-])"  # "ma", gac_ops
    r"|MembraneAttention|AttentiveLif|attentive_lif|GatedCoding|gated_coding|GatedAttentionCoding|[Jj]oint_?[Gg]ate"
    r"|StaaLif|staa_lif)\b"
)


def main() -> int:
    """Name every place; return the exit code."""
    root = Path(__file__).parents[1]
    found = [
        f"{path.relative_to(root)}:{number}: {match.group()}"
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*.py"))
        if not str(path.relative_to(root)).startswith(APART)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in NAMES.finditer(line)
    ]
    for place in found:
        print(
            f"{place}\n  help: ask the block (toolchain.blocks.AttentionBlock), and say it in the block's file",
            file=sys.stderr,
        )
    print(f"{len(found)} names of attention families outside {APART[0]}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
