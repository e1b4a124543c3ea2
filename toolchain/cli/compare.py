"""``spikewright compare``: run a bundle on several backends and compare them spike by spike; exit 1 on a mismatch."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.toolchain import api
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import add_backends_option, add_data_options, chosen
from spikewright.toolchain.cli.progress import bars


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("compare", help="spike-by-spike equality of backends; exit 1 on a mismatch")
    parser.add_argument("bundle", type=Path, metavar="DIR", help="a folder that deploy wrote")
    add_backends_option(parser, "two or more")
    add_data_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Compare."""
    made = api.load(arguments.bundle)
    with bars() as bar:
        found = made.compare(**chosen(arguments), backends=arguments.backends, progress=bar)
    return Outcome(text=str(found), data=found.to_dict(), code=int(not found.equal))
