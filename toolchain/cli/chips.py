"""``spikewright chips``: the chips that ship, with every limit and price, its basis and its source."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from dataclasses import asdict
from typing import Any

from spikewright.hw_sim.chip import Chip, list_chips, load_chip
from spikewright.hw_sim.costs import Price
from spikewright.toolchain.cli.outcome import Outcome


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("chips", help="list the chips, their limits and prices, and where each number comes from")
    parser.add_argument("chip", nargs="?", metavar="CHIP", help="a chip's name or file (default: all that ship)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """List chips."""
    names = list_chips() if arguments.chip is None else (arguments.chip,)
    chips = [load_chip(name) for name in names]
    return Outcome(text="\n\n".join(_text(chip) for chip in chips), data=[_data(chip) for chip in chips])


def _prices(chip: Chip) -> list[tuple[str, Price]]:
    rows = [("static power", chip.static_power)]
    for event, cost in chip.costs.items():
        rows += [(f"{event} energy", cost.energy), (f"{event} latency", cost.latency)]
    return rows


def _text(chip: Chip) -> str:
    lines = [f"{chip.name}: {chip.description}", "  limits"]
    lines += [f"    {name:30} {f.value!s:>12} {f.unit:14} {f.basis:10} {f.source}" for name, f in chip.facts.items()]
    lines.append("  prices (low .. nominal .. high)")
    lines += [
        f"    {name:30} {f'{p.low:g} .. {p.nominal:g} .. {p.high:g}':>28} {p.unit:4} {p.basis:10} {p.source}"
        for name, p in _prices(chip)
    ]
    lines.append("  sources")
    lines += [f"    {key}: {text}" for key, text in chip.sources.items()]
    return "\n".join(lines)


def _data(chip: Chip) -> dict[str, Any]:
    return {
        "name": chip.name,
        "description": chip.description,
        "limits": {name: asdict(fact) for name, fact in chip.facts.items()},
        "prices": {name: asdict(price) for name, price in _prices(chip)},
        "sources": chip.sources,
    }
