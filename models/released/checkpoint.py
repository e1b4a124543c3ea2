"""Import an author's checkpoint: read the file, fit it into our net by its table, and write it as one of ours with a card."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikewright.models.errors import CheckpointError
from spikewright.models.released.fitting import EXTRA_STATE, fit
from spikewright.models.released.names import released
from spikewright.models.released.reading import read, shown
from spikewright.models.released.table import Released, Shapes
from spikewright.models.zoo.card import Card
from spikewright.models.zoo.checkpoint import SUFFIX, save

if TYPE_CHECKING:
    from torch import nn

MAX_TIMESTEPS = 4096
"""More steps than any of these nets is trained for; a shape that says more is no T."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An imported checkpoint.

    Args:
        module: Our net with the file's weights, in evaluation mode.
        card: Its model card; what only training or a test would say is None.
        assumed: What the file does not say and was taken as in the released code, a sentence each.
    """

    module: nn.Module
    card: Card
    assumed: tuple[str, ...]

    def save(self, file: Path, *, force: bool = False) -> Path:
        """Write ``file``, which ends in ``.safetensors``, and its card beside it as ``.json``; return the first.

        Args:
            file: Where to write; its stem becomes the name on the card.
            force: Write over what stands there.

        Raises:
            CheckpointError: One of the two exists and ``force`` is not set, or they cannot be written.
        """
        check_target(file, force)
        return save(self.module, replace(self.card, name=file.stem), file.parent)


def import_checkpoint(path: str | Path, name: str, *, timesteps: int | None = None) -> Checkpoint:
    """Read an author's checkpoint into our net.

    Args:
        path: A file of ``torch.save``, or a safetensors file, with the released class's state dict.
        name: The released net, one of ``RELEASED``.
        timesteps: T, where no weight's shape says it; None: the released code's.

    Raises:
        CheckpointError: The name or file does not exist, the file is damaged or would have to be unpickled, or what it
            holds does not fit the net: each key is named.
    """
    import torch

    from spikewright.models.nets import make

    net, file = released(name), Path(path)
    if net.other is not None and net.other in file.name:
        raise CheckpointError(
            f"its name says {net.other}, a net with the keys of {name} that sends membranes, not spikes",
            where=str(file),
            help=f"import a spiking net; if this is one, give the file a name without {net.other}",
        )
    state = read(file)
    shapes = {key: tuple(value.shape) for key, value in state.tensors.items()}
    T, said = _timesteps(net, shapes, timesteps, str(file))
    arguments = {**net.arguments, **net.decides(shapes), "T": T}
    with torch.device("meta"):
        module = make(net.net, arguments)
    own = module.state_dict()
    kept = {key: value for key, value in own.items() if key.rpartition(".")[2] == EXTRA_STATE}  # T, of the arguments
    expected = {key: tuple(value.shape) for key, value in own.items() if key not in kept}
    fitted = fit(net, net.rows(arguments), expected, state, str(file))
    module.load_state_dict({**kept, **fitted}, assign=True)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    assumed = net.assumed if said else (f"T = {T}: no weight says it", *net.assumed)
    return Checkpoint(module.eval(), _card(net, arguments, module, file, timesteps), assumed)


def check_target(file: Path, force: bool) -> None:
    """Refuse to write over a file that exists, or with another ending.

    Raises:
        CheckpointError: So it is.
    """
    if file.suffix != SUFFIX or not file.stem:
        raise CheckpointError(f"{shown(file.name)} does not end in {SUFFIX}", where="--out", help=f"add {SUFFIX}")
    for target in (file, file.with_suffix(".json")):
        if target.is_dir():
            raise CheckpointError("a folder of that name exists", where=str(target), help="choose another --out")
        if target.exists() and not force:
            raise CheckpointError(
                "exists, and is not written over", where=str(target), help="choose another --out, or give --force"
            )


def _timesteps(net: Released, shapes: Shapes, asked: int | None, where: str) -> tuple[int, bool]:
    """Return T, and whether the file or the caller says it."""
    if asked is not None and not 1 <= asked <= MAX_TIMESTEPS:
        raise CheckpointError(
            f"T = {asked}; allowed are 1 to {MAX_TIMESTEPS}", where="--timesteps", help=f"use {net.timesteps}"
        )
    for key in net.clock:
        if key in shapes:
            T = shapes[key][1] if len(shapes[key]) > 1 else 0
            if not 1 <= T <= MAX_TIMESTEPS:
                break
            if asked not in (None, T):
                raise CheckpointError(
                    f"trained for T = {T}, as {shown(key)} {shapes[key]} says; T = {asked} was asked for",
                    where=where,
                    help="leave --timesteps out",
                )
            return T, True
    return (net.timesteps, False) if asked is None else (asked, True)


def _card(net: Released, arguments: dict[str, Any], module: nn.Module, file: Path, asked: int | None) -> Card:
    attention = arguments.get("attention") is not False
    command = ["spikewright", "import", file.name, "--as", net.name]
    command += [] if asked is None else ["--timesteps", str(asked)]
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return Card(
        name=net.name,
        net=net.net,
        arguments=arguments,
        family=net.family if attention else "vanilla",
        variant=net.variant if attention else "none",
        timesteps=arguments["T"],
        dataset=net.dataset,
        coding=net.coding,
        simulated=False,
        command=shlex.join(command),
        seed=None,
        accuracy=None,
        accuracy_per_seed={},
        parameters=sum(p.numel() for p in module.parameters()),
        spike_rate=None,
        train_seconds=None,
        epochs=None,
        provenance=net.provenance,
        torch=None,
        side=net.side,
        window_us=net.window_us,
        source_file=file.name,
        source_sha256=digest,
    )
