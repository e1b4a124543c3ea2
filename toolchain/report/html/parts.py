"""Parts of the page: tables, basis tags, meters. Cells are HTML; plain text goes through ``esc`` first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spikewright.toolchain.escaping import esc as esc
from spikewright.toolchain.report.texts import BASES


def basis(name: str) -> str:
    """Return the tag of a basis."""
    return f'<span class="basis {esc(name)}" title="{esc(BASES.get(name, ""))}">{esc(name)}</span>'


def layer_id(name: str) -> str:
    """Return the anchor of a layer's row in the table of activity."""
    return esc(f"layer-{name}")


def block_id(name: str) -> str:
    """Return the anchor of a block's row in the table of verdicts."""
    return esc(f"block-{name}")


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Sequence[int] = (), last_is_sum: bool = False
) -> str:
    """Return a table; on a narrow page each row is a list, every cell behind the title of its column.

    Args:
        head: Column titles, plain text.
        rows: Cells as HTML.
        numeric: Columns set flush right.
        last_is_sum: Set the last row apart.
    """
    found = list(rows)
    flush = [' class="n"' if k in numeric else "" for k in range(len(head))]
    top = "".join(f"<th{flush[k]}>{esc(name)}</th>" for k, name in enumerate(head))
    lines = []
    for index, row in enumerate(found):
        kind = ' class="sum"' if last_is_sum and index == len(found) - 1 else ""
        cells = "".join(f'<td{flush[k]} data-h="{esc(head[k])}">{cell}</td>' for k, cell in enumerate(row))
        lines.append(f"<tr{kind}>{cells}</tr>")
    return f'<div class="wrap"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def meter(used: int, limit: int) -> str:
    """Return ``used / limit`` on a bar."""
    share = used / limit if limit else 0.0
    full = " full" if share > 1 else ""
    return (
        f'<div class="meter{full}" title="{100 * share:.1f} % of {limit:,}"><i style="width:{100 * min(share, 1):.1f}%"></i>'
        f"<b>{used:,}</b></div>"
    )


def details(summary: str, body: str, *, is_open: bool = False) -> str:
    """Return a part that opens and closes on a click."""
    return f"<details{' open' if is_open else ''}><summary>{esc(summary)}</summary>{body}</details>"


def items(texts: Iterable[str]) -> str:
    """Return a list of plain texts."""
    return "<ul>" + "".join(f"<li>{esc(text)}</li>" for text in texts) + "</ul>"


def figure(svg: str, caption: str) -> str:
    """Return a plot with its caption (plain text)."""
    return f'<figure>{svg}<figcaption class="small">{esc(caption)}</figcaption></figure>'


NO_RUN = "<p>No run with counters: run the net on <code>hw_sim</code>.</p>"
"""In place of a section that needs counters."""
