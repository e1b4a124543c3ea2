"""A traced module: the sequence of leaf modules and ops it calls, over (T, B, ...), with their values on an example."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd

from torch import Tensor, fx, nn

LARGE = 1 << 20
"""Numbers of a value that are kept all; of a larger one that is not spikes, about so many."""


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of a node's value: all of it, spikes as bits; of large real values every so many-th number.

    Args:
        shape: Of the value.
        numbers: The value, or (n,) every ``every``-th number of it in C order.
        every: 1: all of it.
        fired: Where a large real value is not zero, if that is not everywhere.
    """

    shape: tuple[int, ...]
    numbers: Tensor
    every: int = 1
    fired: Tensor | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def any(self) -> bool:
        """Say whether anything of it is not zero."""
        return bool((self.numbers if self.fired is None else self.fired).any())

    @classmethod
    def of(cls, value: Tensor) -> Kept:
        """Keep what a proof needs of a value."""
        shape, count = tuple(value.shape), value.numel()
        if count <= LARGE:
            return cls(shape, value)
        fired = value != 0
        if bool((value == fired).all()):
            return cls(shape, fired)
        every = -(-count // LARGE)
        while gcd(every, count) > 1:  # else it would meet the same channels, or the same pixels, again and again
            every += 1
        return cls(shape, value.reshape(-1)[::every].clone(), every, None if bool(fired.all()) else fired)


@dataclass(frozen=True, eq=False)
class Traced:
    """A traced module: its fx nodes in order, the leaf modules by name, what is kept of the values on the example."""

    nodes: tuple[fx.Node, ...]
    modules: Mapping[str, nn.Module]
    values: Mapping[fx.Node, Kept]
    example: Tensor

    @property
    def steps(self) -> int:
        """T."""
        return int(self.example.shape[0])

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Return the shape of a node's value, T and B left out."""
        return tuple(self.values[node].shape[2:])


def place(node: fx.Node, name: str) -> str:
    """Say where a node stands: the module, or the source line that made it."""
    if node.op == "call_module":
        return f"{name}: module {str(node.target)!r}"
    lines = re.findall(r'File "([^"]+)", line (\d+), in \S+\n\s*(.*)', node.stack_trace or "")
    own = [line for line in lines if "/torch/" not in line[0]]
    return f"{name}: {own[-1][0]}:{own[-1][1]}: {own[-1][2]}" if own else f"{name}: op {node.name!r}"
