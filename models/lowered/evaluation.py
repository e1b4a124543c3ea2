"""One evaluation of a graph in torch: neurons and feedback loops step by step, all else over all steps at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from spikewright.toolchain.interpret.schedule import spans
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op

At = Callable[[str, int], Tensor]
"""A signal (B, *shape) of a step that is done."""


class Evaluation(ABC):
    """One evaluation of a graph.

    Args:
        x: What its input gets, (T, B, *shape).
    """

    def __init__(self, x: Tensor) -> None:
        self.x, self.T, self.B = x, x.shape[0], x.shape[1]
        self.out: dict[str, Tensor] = {}

    def evaluate(self, graph: Graph) -> None:
        """Fill ``out``: the signals (T, B, *shape) of all ops."""
        for ops, looped in spans(graph):
            if looped or any(self.stepwise(op) for op in ops):
                self._together(ops)
            else:
                self.out |= {op.name: self.whole(op) for op in ops}

    def _together(self, ops: tuple[Op, ...]) -> None:
        history: dict[str, list[Tensor]] = {op.name: [] for op in ops}

        def at(name: str, t: int) -> Tensor:
            return history[name][t] if name in history else self.out[name][t]

        for t in range(self.T):
            for op in ops:
                history[op.name].append(self.one(op, t, at))
        self.out |= {name: torch.stack(steps) for name, steps in history.items()}

    @abstractmethod
    def stepwise(self, op: Op) -> bool:
        """Say whether an op has a state."""

    @abstractmethod
    def whole(self, op: Op) -> Tensor:
        """Return an op's signal over all steps, (T, B, *shape)."""

    @abstractmethod
    def one(self, op: Op, t: int, at: At) -> Tensor:
        """Return an op's signal at step t, (B, *shape); one with a state advances."""
