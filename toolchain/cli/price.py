"""``spikewright price``: the counts of a report under other prices, without running the net again."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.hw_sim.arrays import read_bytes
from spikewright.hw_sim.typed import parse_json
from spikewright.toolchain.analysis import Ledger, PriceList, list_prices, load_prices, price
from spikewright.toolchain.analysis.ledger import COUNTS
from spikewright.toolchain.analysis.numbers import band, si
from spikewright.toolchain.analysis.price_lists import Priced
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.errors import InputError

HELP = "write one with `spikewright report DIR --json FILE`"


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("price", help="price the counts of a report again, by other lists")
    parser.add_argument("report", type=Path, metavar="REPORT", help="a JSON file that report wrote")
    parser.add_argument(
        "--with", dest="lists", nargs="+", metavar="LIST",
        help=f"price lists that ship ({', '.join(list_prices())}) or YAML files (default: all that ship)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Price again."""
    lists = [load_prices(name) for name in arguments.lists or list_prices()]
    net, twin = ledgers(arguments.report)
    rows = [(one, price(net, one), price(twin, one)) for one in lists]
    return Outcome(text="\n".join(_text(*row) for row in rows), data=[_data(*row) for row in rows])


def ledgers(path: Path) -> tuple[Ledger, Ledger]:
    """Return the counts of a report's net and of its artificial twin.

    Raises:
        InputError: The file is no report of this version, or its counts are none.
    """
    try:
        found = parse_json(read_bytes(path))["review"]
        counts = {str(name): row["value"] for name, row in found["counts"].items()}
        twin, assumed = dict(found["twin"]["counts"]), tuple(map(str, found["assumed_counts"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"no counts of a report can be read here ({error})", where=str(path), help=HELP) from error
    for name, value in [*counts.items(), *twin.items()]:
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
        if name not in COUNTS or not good:
            raise InputError(f"count {name!r} is {value!r}; expected a number >= 0", where=str(path), help=HELP)
    return Ledger(counts, assumed), Ledger(twin, assumed)


def _text(one: PriceList, net: Priced, twin: Priced) -> str:
    figure = net.total
    lines = [
        f"{one.name}: {si(figure.value, 'J')} a sample ({band(figure) or 'no band'}) [{figure.basis}]; "
        f"artificial twin {si(twin.total.value, 'J')}",
        f"  {one.description}",
    ]
    ordered = sorted(net.items.items(), key=lambda item: -item[1].value)
    lines += [f"    {name:22}{si(item.value, 'J'):>12}" for name, item in ordered]
    if net.left_out:
        lines.append(f"  not priced by this list: {', '.join(net.left_out)}")
    return "\n".join(lines)


def _data(one: PriceList, net: Priced, twin: Priced) -> dict[str, Any]:
    def figure(priced: Priced) -> dict[str, Any]:
        return vars(priced.total)

    return {
        "list": one.name,
        "description": one.description,
        "net": figure(net),
        "twin": figure(twin),
        "items": {name: vars(item) for name, item in net.items.items()},
        "left_out": list(net.left_out),
        "sources": dict(one.sources),
    }
