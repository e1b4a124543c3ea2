"""What a recorded tensor is: a node of the traced net, seen through an arrangement of its axes, at all steps or at one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, fx, nn

from spikewright.export.foreign.axes import Atom, Axes, Group, LayoutError, atoms, sizes

if TYPE_CHECKING:
    from spikewright.export.foreign.registry import Row

Time = Literal["whole", "still", "mean", "sum"] | int
"""All steps; a value that no step changes; a mean over all steps; a sum of the first ``count``; or step t alone."""


@dataclass(frozen=True)
class Pending:
    """An attention module whose neuron is still to come: it scales the current that the neuron reads."""

    target: str
    module: nn.Module
    row: Row
    value: Value
    y: Tensor
    """What it read and gave, should no neuron follow."""
    rectified: bool = False


@dataclass(frozen=True)
class Flattened:
    """Where a value was flattened, for the name of the node: a module's path, or the scope of a call."""

    target: str
    scope: str
    stack: str


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that is followed: ``node`` gives (T, B, *shape); ``features`` are the atoms of its shape, in order."""

    node: fx.Node
    axes: Axes
    features: Group
    time: Time
    factor: float = 1.0
    count: int = 0
    pending: Pending | None = None
    flattened: Flattened | None = None

    def feature_groups(self) -> tuple[Group, ...]:
        """Return the axes that hold features, each with its feature atoms.

        Raises:
            LayoutError: An axis mixes features with time or batch.
        """
        found: list[Group] = []
        for group in self.axes:
            own = tuple(a for a in group if not a.name)
            if own and len(own) != len(group):
                raise LayoutError(f"axes {sizes(self.axes)} mix features with time or batch")
            if own:
                found.append(own)
        return tuple(found)

    def in_order(self) -> bool:
        """Whether the features stand in the order of the node's shape."""
        seen = tuple(a for a in atoms(self.axes) if not a.name and a.size > 1)
        return seen == tuple(a for a in self.features if a.size > 1)

    def arranged(self, y: Tensor, lead: tuple[Atom, ...]) -> Tensor:
        """Return a tensor with these axes as (*lead, all features in one axis)."""
        names = atoms(self.axes)
        split = y.reshape([a.size for a in names])
        wanted = [names.index(a) for a in lead] + [names.index(a) for a in self.features if a in names]
        if len(wanted) != len(names):
            raise LayoutError(f"axes {sizes(self.axes)} have lost time, batch or a feature")
        return split.permute(wanted).reshape(*(a.size for a in lead), -1)

    def moved(self, axes: Axes) -> Value:
        """Return the same signal with other axes."""
        return replace(self, axes=axes)


@dataclass(frozen=True)
class Opaque:
    """A tensor that cannot be followed, and why; only an error if the answer needs it."""

    reason: str
    where: str
    owner: str = ""
    """The neuron whose state it is."""
    help: str = ""
    """What to do instead."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Membrane(Opaque):
    """The membrane that a neuron hands out: a signal only if the answer is made of it."""

    made: Callable[[], tuple[nn.Module, Any]]
    """What filters the current to it, and the weight of each neuron's own spike of the step before on that current."""
    value: Value
    """What the neuron reads."""
    spikes: Value
    y: Tensor


Tracked = Value | Opaque
Later = Callable[[dict[fx.Node, Tensor]], Tensor]


def flat_size(group: Group) -> int:
    """Return the size of a product of atoms."""
    return prod(a.size for a in group)
