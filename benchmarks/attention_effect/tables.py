"""The results as two Markdown tables a set: what the nets do, and what it costs. Mean ± standard deviation over the seeds."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.attention_effect.results import (
    Results,
    chip_uj,
    formula_uj,
    item,
    percent_change,
    ratio,
    twin,
)
from benchmarks.attention_effect.spread import Spread

DOES = (
    "net", "seeds", "accuracy %", "spikes", "against twin %", "behind the stem %", "NASAR", "SOPs", "graded SOPs", "gate MACs",
    "gate multiplies",
)  # fmt: skip
COSTS = (
    "net", "published µJ", "r_EE", "complete µJ", "r_EE", "stem T times µJ", "r_EE", "chip µJ", "dynamic", "static", "host",
)  # fmt: skip


def tables(results: Results, set: str) -> str:
    """Return both tables of a set."""
    nets = results.nets(set)
    does = [_does(results, set, net) for net in nets]
    costs = [_costs(results, set, net) for net in nets]
    return f"{_markdown(DOES, does)}\n{_markdown(COSTS, costs)}\n{_refusals(results, set, nets)}"


def _does(results: Results, set: str, net: str) -> list[str]:
    def of(name: str, digits: int, factor: float = 1.0) -> str:
        return show(results.spread(set, net, item(name, factor)), digits)

    def change(name: str) -> str:
        return show(results.against(set, net, twin(net), item(name), percent_change), 1) if net != twin(net) else "-"

    return [
        net, str(len(results.seeds(set, net))), of("accuracy", 2, 100.0), of("spikes", 0), change("spikes"),
        change("spikes_behind_stem"), of("nasar", 4), of("sops_binary", 0), of("sops_graded", 0), of("attention_macs", 0),
        of("attention_multiplies", 0),
    ]  # fmt: skip


def _costs(results: Results, set: str, net: str) -> list[str]:
    row = [net]
    for accounting in ("published", "complete", "complete_T"):
        figure = formula_uj(accounting)
        row.append(show(results.spread(set, net, figure), 3))
        row.append(show(results.against(set, net, twin(net), figure, ratio), 2) if net != twin(net) else "1")
    row += [show(results.spread(set, net, chip_uj(line)), 2) for line in ("total", "dynamic", "static", "host")]
    return row


def show(value: Spread | None, digits: int) -> str:
    """Return ``mean ± std``; ``-`` where there is none."""
    if value is None:
        return "-"
    mean = f"{value.mean:,.{digits}f}"
    return mean if value.n == 1 or value.std == 0 else f"{mean} ± {value.std:,.{digits}f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]) + "\n"


def _refusals(results: Results, set: str, nets: Sequence[str]) -> str:
    """Say which nets have no chip energy and why, and which run with gates other than they were trained with."""
    lines = []
    for net in nets:
        found = [results.found[set, net, seed]["chip"] for seed in results.seeds(set, net)]
        reasons = sorted({chip["reason"] for chip in found if "reason" in chip})
        if reasons:
            refused = sum("reason" in chip for chip in found)
            lines.append(f"- {net}: {refused} of {len(found)} seeds have no chip energy: {'; '.join(reasons)}")
        if any("static" in chip.get("gates", ()) for chip in found):
            lines.append(f"- {net}: on the chip its gates are constants, their means on training images")
    return "\n".join(lines) + "\n" if lines else ""
