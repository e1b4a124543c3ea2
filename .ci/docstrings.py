"""Fail if fewer public functions say what a reader needs than once did: shapes, units, errors, or the source of an equation.

    python .ci/docstrings.py            counts, and compares with the floor in .ci/docstrings.txt
    python .ci/docstrings.py --raise    lifts the floor to what is counted; it never sinks
    python .ci/docstrings.py --list     names the functions that say none of these

Counted are functions, methods and properties with a public name of all four packages. A docstring *tells* if it has a section
``Raises``, a shape such as (T, B, C), a unit of a figure, or a source (a paper, a table, a section). The library's own door is
held to more: every function there that takes arguments explains them under ``Args``, and names what it raises.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOOR = Path(__file__).with_name("docstrings.txt")
PACKAGES = ("hw_sim", "toolchain", "models", "export")
DOOR = {
    "toolchain/api.py": ("deploy", "load", "check"),
    "toolchain/deployment.py": ("run", "check", "compare", "report", "save", "encode", "run_recording"),
    "toolchain/exploration/explore.py": ("explore",),
    "models/lowered/finetune.py": ("finetune",),
}
"""File and functions of the library's door."""
TELLS = re.compile(
    r"^\s*Raises:"
    r"|\((?:[TBCHWNDKEMS]|\.\.\.|1|n\w*|T \w|samples|steps|neurons|cores|layers|features)(?:,[^()]*)?\)"  # a shape
    r"|\((?:[A-Z]'?|C[io]|slabs|pixels|classes|rows|links|chip step|per \w+), ?[^()]*\)"
    r"|\b(?:the|so many) (?:bits|bytes|MACs|cycles)\b"
    r"|\b(?:in|as) (?:s|ns|us|ms|pJ|nJ|J|W|Hz|bits|bytes|percent|px|cycles|steps|words)\b"  # a unit
    r"|, (?:s|ns|us|ms|pJ|nJ|J|W|Hz|bits|bytes|V)\b|\b(?:shares? of|per sample|a sample|per step|a step)\b"
    r"|\b(?:words of|bits of|\d+[- ]bits?)\b"
    r"|et al\.|arXiv|doi|\bTable \d|\bFig\.|\bsection \d|\bequation\b|Eq\.",
    re.MULTILINE,
)


def functions(root: Path) -> Iterator[tuple[str, str, ast.FunctionDef]]:
    """Yield (file, name, definition) of every public function and method."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            yield from ((str(path.relative_to(root)), name, found) for name, found in _inside(tree, ""))


def _inside(node: ast.Module | ast.ClassDef, above: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            yield f"{above}{one.name}", one
        elif isinstance(one, ast.ClassDef) and not one.name.startswith("_"):
            yield from _inside(one, f"{above}{one.name}.")


def tells(found: ast.FunctionDef) -> bool:
    """Return whether a docstring gives shapes, units, errors or a source."""
    return bool(TELLS.search(ast.get_docstring(found) or ""))


def lacking(root: Path) -> list[str]:
    """Return what functions of the library's door do not say."""
    wrong = []
    for file, name, found in functions(root):
        if name.rpartition(".")[2] not in DOOR.get(file, ()):
            continue
        text = ast.get_docstring(found) or ""
        given = [a.arg for a in (*found.args.args, *found.args.kwonlyargs) if a.arg != "self"]
        unsaid = [a for a in given if f"{a}:" not in text and f"``{a}``" not in text]
        wrong += [f"{file}: {name}: says nothing of {', '.join(unsaid)}"] if unsaid else []
        wrong += [] if "Raises:" in text else [f"{file}: {name}: says nothing of what it raises"]
    return wrong


def main(arguments: list[str]) -> int:
    """Count and compare; return the exit code."""
    every = list(functions(ROOT))
    telling = sum(tells(found) for _, _, found in every)
    floor = int(FLOOR.read_text())
    if "--list" in arguments:
        print("\n".join(f"{file}: {name}" for file, name, found in every if not tells(found)))
    if "--raise" in arguments and telling > floor:
        FLOOR.write_text(f"{telling}\n")
        floor = telling
    wrong = lacking(ROOT)
    for line in wrong:
        print(f"{line}\n  help: Args and Raises, in Google's style", file=sys.stderr)
    if telling < floor:
        print(
            f"{telling} docstrings tell, {floor} once did\n  help: say shapes, units, errors or sources",
            file=sys.stderr,
        )
    print(f"{telling} of {len(every)} public functions give shapes, units, errors or a source; the floor is {floor}")
    return int(telling < floor or bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
