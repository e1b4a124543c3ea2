"""Checkpoints on disk: safetensors, float32, no pickle; the model card stands in the metadata, so a file is self-contained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikewright.hw_sim.errors import DAMAGE, UNFIT
from spikewright.hw_sim.files import check_room, nearest, write_whole
from spikewright.hw_sim.names import did_you_mean
from spikewright.models.errors import CheckpointError
from spikewright.models.zoo.card import Card, parse_card

if TYPE_CHECKING:
    from torch import nn

FOLDER = Path(__file__).parent
"""Where the shipped checkpoints are."""

SUFFIX = ".safetensors"
METADATA_KEY = "spikewright"
"""Key of the card in the file's metadata."""

RETRAIN = "write it anew with spikewright train, or name a checkpoint of spikewright zoo"


def names() -> tuple[str, ...]:
    """Return the names of the checkpoints that ship, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}")))


def checkpoint_path(name_or_path: str | Path) -> Path:
    """Return the file of a zoo name, or of a path to a ``.safetensors`` file.

    Raises:
        CheckpointError: There is no such checkpoint.
    """
    text = str(name_or_path)
    if text in names():
        return FOLDER / f"{text}{SUFFIX}"
    path = Path(name_or_path)
    if path.suffix == SUFFIX and path.is_file():
        return path
    raise CheckpointError(
        f"no such checkpoint; there are {', '.join(names()) or 'none'}, and files ending in {SUFFIX}",
        where=text,
        help=f"{did_you_mean(text, names())}see spikewright zoo, or make one with spikewright train",
    )


def card(name_or_path: str | Path) -> Card:
    """Read the model card out of a checkpoint's metadata.

    Raises:
        CheckpointError: The file is missing, truncated or not one of ours.
    """
    return _read(checkpoint_path(name_or_path))[0]


def build(name_or_path: str | Path, *, timesteps: int | None = None) -> tuple[nn.Module, Card]:
    """Build the net of a checkpoint, with its weights, in evaluation mode.

    Args:
        name_or_path: A zoo name, or a ``.safetensors`` file written by ``spikewright train``.
        timesteps: The T it will be run with; None: the one it was trained for.

    Raises:
        CheckpointError: The file is missing, truncated, of another net or T, or holds values that are not finite.
    """
    import torch

    from spikewright.models.nets import make

    path = checkpoint_path(name_or_path)
    found, tensors = _read(path)
    if timesteps is not None and timesteps != found.timesteps:
        raise CheckpointError(
            f"trained for T = {found.timesteps}; T = {timesteps} was asked for",
            where=str(name_or_path),
            help=f"leave T out, give {found.timesteps}, or train the net with T = {timesteps}",
        )
    module = _planned(found, str(name_or_path))
    _check_shapes({k: tuple(v.shape) for k, v in module.state_dict().items()}, tensors, found, str(name_or_path))
    module = make(found.net, found.arguments)
    module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in tensors.items()})
    return module.eval(), found


def _planned(card: Card, where: str) -> nn.Module:
    """Return the net of a card without memory for its weights: its arguments come from a file.

    Raises:
        CheckpointError: There is no such net, or it does not take the arguments.
    """
    import torch

    from spikewright.models.nets import make

    try:
        with torch.device("meta"):
            return make(card.net, card.arguments)
    except UNFIT as error:
        what = f"net {card.net!r} does not take the arguments of the model card ({type(error).__name__}: {error})"
        raise CheckpointError(what[:300], where=where, help=RETRAIN) from error


def save(module: nn.Module, card: Card, folder: Path) -> Path:
    """Write ``<name>.safetensors`` and ``<name>.json`` into a folder, each whole or not at all; return the first.

    Raises:
        CheckpointError: The folder cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    tensors = {k: v.detach().cpu().contiguous().numpy() for k, v in module.state_dict().items()}
    target = checkpoint_file(folder, card.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(target, to_bytes(tensors, metadata={METADATA_KEY: card.to_json()}))
        write_whole(target.with_suffix(".json"), (card.to_json() + "\n").encode())
    except OSError as error:
        raise CheckpointError(
            f"cannot write: {error}", where=str(folder), help="give a folder you may write to"
        ) from error
    return target


def checkpoint_file(folder: Path, name: str) -> Path:
    """Return where a checkpoint of a name goes in a folder."""
    return folder / f"{name}{SUFFIX}"


def check_folder(folder: Path) -> None:
    """Refuse a folder that takes no file, or has no room; one that is not there stays so until something is written.

    Raises:
        CheckpointError: It cannot be made, or not be written to.
    """
    try:
        check_room(nearest(folder))
    except OSError as error:
        raise CheckpointError(
            f"cannot write: {error}", where=str(folder), help="give a folder you may write to"
        ) from error


def _read(path: Path) -> tuple[Card, dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    where = str(path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, *DAMAGE) as error:
        raise CheckpointError(f"not a whole safetensors file: {error}", where=where, help=RETRAIN) from error
    if METADATA_KEY not in metadata:
        raise CheckpointError("a safetensors file without a spikewright model card", where=where, help=RETRAIN)
    for name, value in tensors.items():
        if value.dtype.kind not in "biuf":
            raise CheckpointError(f"tensor {name!r} holds {value.dtype}, no numbers", where=where, help=RETRAIN)
        if name.endswith("running_var") and (value < 0).any():
            raise CheckpointError(f"tensor {name!r} holds negative variances", where=where, help=RETRAIN)
        if not np.isfinite(value).all():
            count = int((~np.isfinite(value)).sum())
            raise CheckpointError(
                f"tensor {name!r} holds {count} values that are not finite", where=where, help=RETRAIN
            )
    return parse_card(metadata[METADATA_KEY], where), tensors


def _check_shapes(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, np.ndarray], card: Card, where: str
) -> None:
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or unknown:
        raise CheckpointError(
            f"weights of another net: net {card.net!r} lacks {missing[:3]} and does not know {unknown[:3]} "
            f"({len(missing)} and {len(unknown)} in all)",
            where=where,
            help=RETRAIN,
        )
    for name, shape in expected.items():
        if found[name].shape != shape:
            raise CheckpointError(
                f"tensor {name!r} is {found[name].shape}; net {card.net!r} with T = {card.timesteps} takes {shape}",
                where=where,
                help=RETRAIN,
            )
