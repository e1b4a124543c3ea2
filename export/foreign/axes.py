"""Where time, batch and features stand in a tensor: each axis is a product of atoms, and reshapes only regroup them.

::

    (B, T, C, H, W)  --flatten(0, 1)-->  (BT, C, H, W)  --conv-->  (BT, D, H', W')  --view-->  (B, T, D, H', W')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from math import prod

from spikewright.toolchain.errors import UnsupportedNodeError

_SERIAL = count()


@dataclass(frozen=True)
class Atom:
    """An axis that is never looked into: T, B, or a feature axis; two atoms are one only if they are the same axis."""

    size: int
    name: str = ""
    serial: int = field(default_factory=lambda: next(_SERIAL))

    def __repr__(self) -> str:
        return f"{self.name or 'f'}{self.size}"


Group = tuple[Atom, ...]
Axes = tuple[Group, ...]
"""The atoms of every axis of a tensor, in C order; an axis of one may have none."""


class LayoutError(ValueError):
    """An op that mixes axes in a way that has no meaning here."""


class LayoutRefused(UnsupportedNodeError):
    """A refusal that may be of the layout, not of the net: another layout is tried."""


def sizes(axes: Axes) -> tuple[int, ...]:
    """Return the shape of a tensor with these axes."""
    return tuple(prod(a.size for a in group) for group in axes)


def atoms(axes: Axes) -> Group:
    """Return all atoms in order."""
    return tuple(a for group in axes for a in group)


def regroup(axes: Axes, shape: Sequence[int]) -> tuple[Axes, dict[Atom, Group]]:
    """Return the axes after a reshape to ``shape``, and which atoms it splits into which.

    Raises:
        LayoutError: The reshape takes a part of time or batch, or cuts across axes.
    """
    left = list(atoms(axes))
    split: dict[Atom, Group] = {}
    found: list[Group] = []
    for i, size in enumerate(shape):
        group: list[Atom] = []
        while prod(a.size for a in group) < size or (size == 1 and not group and left and left[0].size == 1):
            if not left:
                raise LayoutError(f"a reshape of {sizes(axes)} to {tuple(shape)}")
            head, got = left[0], prod(a.size for a in group)
            if size % (got * head.size) == 0:
                group.append(left.pop(0))
            else:
                left[:1] = split[head] = _split(head, size // got, axes, shape)
        ones = i + 1 < len(shape) and shape[i + 1] == 1
        while left and left[0].size == 1 and left[0].name and group and not ones:
            group.append(left.pop(0))  # a batch or time of one goes with what it stands behind
        found.append(tuple(group))
    if any(a.size != 1 for a in left):
        raise LayoutError(f"a reshape of {sizes(axes)} to {tuple(shape)}")
    if left and found:
        found[-1] += tuple(left)
    return tuple(found), split


def _split(atom: Atom, outer: int, axes: Axes, shape: Sequence[int]) -> Group:
    if atom.name or outer < 2 or atom.size % outer:
        raise LayoutError(f"a reshape of {sizes(axes)} to {tuple(shape)}, which cuts an axis of {atom.size}")
    return (Atom(outer), Atom(atom.size // outer))


def refine(group: Group, split: dict[Atom, Group]) -> Group:
    """Replace the atoms that were split."""
    out: Group = ()
    for atom in group:
        out += refine(split[atom], split) if atom in split else (atom,)
    return out


def permuted(axes: Axes, order: Sequence[int]) -> Axes:
    """Return the axes after ``permute``."""
    return tuple(axes[i] for i in order)


def index_of(axes: Axes, atom: Atom) -> int | None:
    """Return the axis that is this atom and nothing else; None: there is no such axis."""
    return next((i for i, group in enumerate(axes) if group == (atom,)), None)
