"""The verb ``spikewright import``: an author's checkpoint to one of ours; torch is imported when it runs."""

from __future__ import annotations

import json
from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.models.errors import CheckpointError
from spikewright.models.released import RELEASED, import_checkpoint
from spikewright.models.released.checkpoint import check_target
from spikewright.models.released.names import released
from spikewright.models.zoo.checkpoint import SUFFIX
from spikewright.toolchain.cli.outcome import Outcome


def add_import(subparsers: _SubParsersAction[Any]) -> None:
    """Add ``spikewright import``."""
    parser = subparsers.add_parser("import", help="turn a checkpoint of the authors' released code into one to deploy")
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a file of torch.save (.pth, .pt, .t7, .tar) or .safetensors"
    )
    parser.add_argument("--as", dest="released", required=True, metavar="NAME", help=f"one of {', '.join(RELEASED)}")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"what to write, its card beside it (default NAME{SUFFIX} here)"
    )
    parser.add_argument("--force", action="store_true", help="write over files that exist")
    parser.add_argument(
        "--timesteps", type=int, metavar="T", help="T, where no weight says it (default: the released code's)"
    )
    parser.add_argument("--json", action="store_true", help="print the model card as JSON")
    parser.set_defaults(run=run_import)


def run_import(arguments: Namespace) -> Outcome:
    """Import a checkpoint and write it.

    Raises:
        CheckpointError: The output is the checkpoint itself, or torch and safetensors are missing.
    """
    net, file = released(arguments.released), Path(arguments.checkpoint)
    out = Path(f"{net.name}{SUFFIX}") if arguments.out is None else arguments.out
    check_target(out, arguments.force)
    if out.exists() and file.exists() and out.samefile(file):
        raise CheckpointError("is the checkpoint itself", where=str(out), help="choose another --out")
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise CheckpointError(
            f"reading a checkpoint needs torch and safetensors: {error}",
            where="import",
            help="pip install 'spikewright[models]'",
        ) from error
    found = import_checkpoint(file, net.name, timesteps=arguments.timesteps)
    path, card = found.save(out, force=arguments.force), found.card
    lines = [
        f"{path}: {card.family} {card.variant}, net {card.net} {dict(card.arguments)}, {card.parameters:,} parameters",
        f"from {file.name}, sha256 {card.source_sha256}; accuracy: not measured",
        *(f"assumed: {text}" for text in found.assumed),
        f"data set {card.dataset}, coding {card.coding}",
    ]
    data = {**json.loads(card.to_json()), "checkpoint": str(path), "assumed": list(found.assumed)}
    return Outcome(text="\n".join(lines), data=data)
