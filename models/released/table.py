"""What a table of a released checkpoint says: the net, what the file decides about it, and their modules beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of a file's tensors by their key."""

PLAIN: Mapping[str, str] = {
    name: name for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
}
"""Tensors of a convolution, linear map or batch norm: their names are torch's in both nets."""
TIME_MLP: Mapping[str, str] = {"sharedMLP.0.weight": "ta_w0", "sharedMLP.2.weight": "ta_w1"}
CHANNEL_MLP: Mapping[str, str] = {"sharedMLP.0.weight": "ca_w0", "sharedMLP.2.weight": "ca_w1"}
SPACE_KERNEL: Mapping[str, str] = {"conv.weight": "sa_kernel"}


@dataclass(frozen=True)
class Row:
    """One module of ours, and where the released file holds its tensors.

    Args:
        ours: The module's path in our net.
        theirs: Its paths in the file: several where their net registers a module several times, so that each tensor stands
            there several times. Any of them may be left out, not all; those that are there must be equal.
        leaves: Names of the tensors below these paths, theirs to ours; those that our module does not have do not count.
    """

    ours: str
    theirs: tuple[str, ...]
    leaves: Mapping[str, str] = field(default_factory=lambda: PLAIN)


@dataclass(frozen=True)
class Released:
    """A released net: what it is called here, and how its file becomes one of our nets.

    Args:
        name: What ``--as`` takes.
        family: ma, gac or tcja.
        variant: The attention's variant, as on a model card.
        provenance: The paper, and the class in the released code.
        net: Net in ``models.nets``, with its constructor ``arguments``.
        timesteps: T in the released code.
        dataset: Dataset it was trained on, with its ``coding``, and ``side`` and ``window_us`` as on a model card.
        rows: Our modules and theirs, of the arguments.
        decides: Arguments that the file's keys and shapes decide.
        clock: Keys of a tensor whose second axis is T, in the order they are looked for; T is read there.
        assumed: What the file cannot say, and is taken as in the released code.
        other: A word in the names of files that the released code gives to another net with the same keys.
    """

    name: str
    family: str
    variant: str
    provenance: str
    net: str
    arguments: Mapping[str, Any]
    timesteps: int
    dataset: str
    coding: str
    rows: Callable[[Mapping[str, Any]], tuple[Row, ...]]
    decides: Callable[[Shapes], Mapping[str, Any]] = lambda shapes: {}
    clock: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    other: str | None = None
    side: int | None = None
    window_us: float | None = None


def table(text: str, *others: Row) -> tuple[Row, ...]:
    """Return the rows of a text with a line ``theirs|theirs ours`` for every plain module, and others."""
    pairs = (line.split() for line in text.splitlines() if line.strip())
    return (*(Row(ours, tuple(theirs.split("|"))) for theirs, ours in pairs), *others)
