"""The page of frameworks, made from the tables: what each class computes, what it becomes here, what is refused, and why.

    python -m spikewright.export.foreign.page tests/export/foreign/checked.txt      prints the page, docs/frameworks.md

The file names the rows that the tests ran in their framework, one a line: ``framework class``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from spikewright.export.foreign.registry import Row, Table, tables
from spikewright.export.foreign.torch_nn import TAKEN

HEAD = """# Networks of other frameworks

Made from the tables of `spikewright.export.foreign`; do not edit. Classes are known by their names and fields, so a framework
need not be installed. *Checked*: a net with this class was run in its framework, and every spike of its capture was equal.
What has no row is looked into, line by line; what a line computes must then be a layer, a neuron with a row, a sum, a mean or a
move of axes, else it is refused by the line. `register` of `spikewright.export.foreign` adds a class of your own.
"""
NAMES = {
    "authors": "The papers' released code",
    "spikingjelly": "SpikingJelly",
    "snntorch": "snnTorch",
    "norse": "Norse",
}


def page(checked: Iterable[str]) -> str:
    """Return the page; ``checked``: ``framework class`` of each row that a test ran."""
    ran = set(checked)
    parts = [HEAD]
    for framework, table in sorted(tables().items()):
        parts.append(f"## {NAMES.get(framework, framework)}\n\n{table.notes}.\n")
        parts += list(_torch() if framework == "torch.nn" else _table(framework, table, ran))
    return "\n".join(parts)


def _table(framework: str, table: Table, ran: set[str]) -> Iterable[str]:
    taken = [row for row in table.rows if _taken(row)]
    if taken:
        yield "| class | what it computes | becomes | checked |\n|---|---|---|---|"
        yield from (
            f"| {_code(row.name)} | {_cell(row.equation)} | {_cell(row.ours)} | "
            f"{'yes' if f'{framework} {row.name}' in ran else ''} |"
            for row in taken
        )
        yield ""
    yield from _refused(table)


def _torch() -> Iterable[str]:
    yield "| layer | what it computes | becomes |\n|---|---|---|"
    yield from (f"| {_code(name)} | {_cell(what)} | {_cell(became)} |" for name, (what, became) in TAKEN.items())
    yield ""
    yield from _refused(tables()["torch.nn"])


def _refused(table: Table) -> Iterable[str]:
    refused = [row for row in table.rows if not _taken(row)]
    if refused:
        yield "Refused by name:\n"
        yield "| class | why |\n|---|---|"
        yield from (f"| {_code(row.name.rpartition('.')[2])} | {_cell(row.equation)} |" for row in refused)
        yield ""


def brief() -> str:
    """Return the table for the README: the classes that are taken, and how many are refused by name."""
    lines = ["| from | taken | refused by name |", "|---|---|---|"]
    for framework, table in sorted(tables().items()):
        taken = list(TAKEN) if framework == "torch.nn" else [row.name for row in table.rows if _taken(row)]
        refused = sum(not _taken(row) for row in table.rows)
        lines.append(f"| {NAMES.get(framework, framework)} | {', '.join(taken)} | {refused} |")
    return "\n".join(lines)


def _taken(row: Row) -> bool:
    return row.make is not None or row.fuse is not None


def _code(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "the same"


def main(arguments: list[str]) -> int:
    """Print the page."""
    (file,) = arguments
    print(page(Path(file).read_text().splitlines()), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
