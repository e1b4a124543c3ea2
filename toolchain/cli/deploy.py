"""``spikewright deploy``: compile a model for a chip and write the bundle."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from functools import partial
from typing import Any

from spikewright.toolchain import api, bundle
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import add_declared, add_folder_option, place, values
from spikewright.toolchain.cli.progress import stages
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.options import Options, declared
from spikewright.toolchain.stage import Stopped


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("deploy", help="compile a model for a chip and write the bundle")
    parser.add_argument(
        "model", metavar="MODEL", help="a zoo name, .safetensors, .nir, .net or .onnx file, or path/to/file.py:factory"
    )
    parser.add_argument("--out", type=place, metavar="DIR", help="folder of the bundle")
    parser.add_argument("--name", metavar="NAME", help="what to call it (default: as the model)")
    add_declared(parser, declared(Options))
    parser.add_argument(
        "--calibrate",
        metavar="NAME|FILE.npz",
        help=f"data set ({api.CALIBRATION_SAMPLES} samples of the train split are drawn) or file (default: the model card's "
        "set)",
    )
    parser.add_argument(
        "--samples",
        metavar="NAME|FILE.npz",
        help=f"data set (the first {api.BUNDLED_SAMPLES:,} of the test split) or file that travels along (default: likewise)",
    )
    add_folder_option(parser)
    parser.add_argument("--stop-after", metavar="STAGE", help="print what there is after a stage; no bundle is written")
    parser.add_argument(
        "--keep-stages",
        type=partial(place, flag="--keep-stages"),
        metavar="DIR",
        help="write every stage as text and as file",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Deploy.

    Raises:
        InputError: The folder of the bundle is missing, or given where none is written.
    """
    if arguments.stop_after is not None and arguments.out is not None:
        raise InputError("no bundle is written", where="--out, --stop-after", help="leave one of the two out")
    if arguments.stop_after is None:
        if arguments.out is None:
            raise InputError("the folder of the bundle is missing", where="--out", help="give --out DIR")
        bundle.check_writable(arguments.out)
    with stages(f"deploy {arguments.model}") as stage:
        try:
            made = api.deploy(
                arguments.model,
                calibration=arguments.calibrate,
                samples=arguments.samples,
                data=arguments.data,
                name=arguments.name,
                progress=stage,
                stop_after=arguments.stop_after,
                keep_stages=arguments.keep_stages,
                **values(arguments, declared(Options)),
            )
        except Stopped as stopped:
            return Outcome(text=stopped.text(), data=stopped.to_dict())
        stage("write")
        made = made.save(arguments.out)
    return Outcome(text=f"{made}\n  bundle: {arguments.out}", data=made.to_dict() | {"bundle": str(arguments.out)})
