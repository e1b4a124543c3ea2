"""``spikewright fit``: cores and memory of a net as the vendor's compiler prints them; exit 1 where it does not converge."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.toolchain import bundle
from spikewright.toolchain.api import deploy
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.stage import Stopped
from spikewright.toolchain.vendor import COMPILERS, VendorTable, compiler_called, layers_of, table_of, vendor_table


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("fit", help="cores and memory as the vendor's compiler prints them; exit 1: does not fit")
    parser.add_argument("target", metavar="DIR|MODEL", help="a bundle, or a model as deploy takes it")
    parser.add_argument(
        "--compiler", choices=tuple(COMPILERS), default="2023", help="version of the compiler (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Print the table."""
    table = _table(arguments.target, arguments.compiler)
    return Outcome(text=str(table), data=table.to_dict(), code=int(not table.converged))


def _table(target: str, compiler: str) -> VendorTable:
    if Path(target).is_dir():
        return vendor_table(bundle.load(Path(target)), compiler)
    integer = load_model(target).integer
    steps = None if integer is None else integer.timesteps or 1  # the table does not depend on it
    try:
        deploy(target, stop_after="align", timesteps=steps)
    except Stopped as aligned:
        return table_of(layers_of(aligned.context.graph), compiler_called(compiler))
    raise AssertionError("there is a stage behind align")
