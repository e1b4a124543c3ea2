"""``spikewright compare``: run a bundle on several backends and compare them spike by spike; exit 1 on a mismatch."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.toolchain import bundle
from spikewright.toolchain.commands import Outcome
from spikewright.toolchain.compare import compare
from spikewright.toolchain.verbs.data import add_data_options, chosen_samples
from spikewright.toolchain.verbs.progress import bars


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("compare", help="spike-by-spike equality of backends; exit 1 on a mismatch")
    parser.add_argument("bundle", type=Path, metavar="DIR", help="a folder that deploy wrote")
    parser.add_argument(
        "--backends",
        nargs="+",
        default=["interpreter", "hw_sim"],
        metavar="NAME",
        help="two or more (default %(default)s)",
    )
    add_data_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Compare."""
    made = bundle.load(arguments.bundle)
    samples = chosen_samples(made, arguments)
    x = made.encode(samples.x, compact=True)
    with bars() as bar:
        result = compare(made, arguments.backends, x, progress=bar)
    return Outcome(
        text=f"{made.name}\n{result.text()}", data={"name": made.name, **result.data()}, code=int(not result.equal)
    )
