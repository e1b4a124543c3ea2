"""``spikewright check``: is a bundle, or a model as trained, spike-driven? A verdict per block; exit 1 on a violation."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.toolchain import api
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import add_declared, add_folder_option, values
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.options import declared
from spikewright.toolchain.spike_driven.deployed import AsTrained


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("check", help="verdict per block: spike-driven or not, and why; exit 1 on a violation")
    parser.add_argument("target", metavar="DIR|MODEL", help="a bundle, or a model as deploy takes it")
    parser.add_argument(
        "--max-silent",
        type=float,
        metavar="SHARE",
        help="of a bundle: a larger share of SOPs that come without any input is a violation (default: any may)",
    )
    model = parser.add_argument_group("for a MODEL")
    add_declared(model, declared(AsTrained))
    add_folder_option(model)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Check.

    Raises:
        InputError: An option of the other kind of target is given: of a bundle or of a model.
    """
    if Path(arguments.target).is_dir():
        given = [one.flag for one in declared(AsTrained) if hasattr(arguments, one.name)]
        given += [] if arguments.data is None else ["--data"]
        if given:
            raise InputError(
                f"{arguments.target} is a bundle, which was compiled as its manifest says; this is for a MODEL",
                where=", ".join(given),
                help="leave it out, or check the model the bundle was made of",
            )
        found = api.load(arguments.target).check(max_silent=arguments.max_silent)
    else:
        if arguments.max_silent is not None:
            raise InputError(
                "a model is not run; what comes without input is told from a run",
                where="--max-silent",
                help="deploy the model, and check the bundle",
            )
        found = api.check(arguments.target, data=arguments.data, **values(arguments, declared(AsTrained)))
    return Outcome(text=str(found), data=found.to_dict(), code=int(not found.ok))
