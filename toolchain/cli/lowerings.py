"""``spikewright lowerings``: which lowering takes which variant of which attention, found by deploying a tiny net for each."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from typing import Any

from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.lowerings import lowerings


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("lowerings", help="which --gates takes which attention, and why another does not")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print the table as README has it")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Deploy a tiny net for every cell."""
    found = lowerings()
    return Outcome(text=found.markdown() if arguments.markdown else str(found), data=found.to_dict())
