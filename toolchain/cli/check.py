"""``spikewright check``: is a bundle, or a model as trained, spike-driven? A verdict per block; exit 1 on a violation."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any, get_args

from spikewright.toolchain import api
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import add_folder_option
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.options import GATES
from spikewright.toolchain.spike_driven.signals import InputKind


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
    model.add_argument(
        "--input-kind", choices=get_args(InputKind), help="what it is fed with (default: as its card says, or binary)"
    )
    model.add_argument(
        "--gates", choices=[s for s in GATES if s != "auto"], help="judge it as lowered so (default: as trained)"
    )
    model.add_argument(
        "--payload-bits", type=int, metavar="N", help="judge its gates as integers of N bits (default: as real)"
    )
    model.add_argument("--timesteps", type=int, metavar="T", help="steps per sample, where the file does not say")
    model.add_argument("--dt", type=float, metavar="S", help="length of a timestep in s, where the file does not say")
    add_folder_option(model)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Check."""
    if Path(arguments.target).is_dir():
        found = api.load(arguments.target).check(max_silent=arguments.max_silent)
    else:
        if arguments.max_silent is not None:
            raise InputError(
                "a model is not run; what comes without input is told from a run",
                where="--max-silent",
                help="deploy the model, and check the bundle",
            )
        found = api.check(
            arguments.target,
            data=arguments.data,
            input_kind=arguments.input_kind,
            gates=arguments.gates,
            payload_bits=arguments.payload_bits,
            timesteps=arguments.timesteps,
            dt_s=arguments.dt,
        )
    return Outcome(text=str(found), data=found.to_dict(), code=int(not found.ok))
