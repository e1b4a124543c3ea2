"""A traced module: the sequence of leaf modules and ops it calls, over (T, B, ...), with their values on an example."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, fx, nn


@dataclass(frozen=True, eq=False)
class Traced:
    """A traced module: its fx nodes in order, the leaf modules by name, every node's value on the example, float64."""

    nodes: tuple[fx.Node, ...]
    modules: Mapping[str, nn.Module]
    values: Mapping[fx.Node, Tensor]
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
