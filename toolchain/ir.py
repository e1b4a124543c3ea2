"""Graph: an immutable, ordered list of ops; operands are names, and only a delayed edge may point forward."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from spikewright.toolchain.graph_text import text
from spikewright.toolchain.ops import AnyInput, AnyOutput, Op


@dataclass(frozen=True, eq=False)
class Graph:
    """Ops in evaluation order.

    Args:
        ops: Every operand stands before its reader, except operands of delayed ops (``Delay``, connections with ``lag >= 1``).
        timesteps: T the net was trained for.
        dt_s: Length of one timestep in seconds.
    """

    ops: tuple[Op, ...]
    timesteps: int
    dt_s: float = 1e-3

    def __iter__(self) -> Iterator[Op]:
        return iter(self.ops)

    def __len__(self) -> int:
        return len(self.ops)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __getitem__(self, name: str) -> Op:
        return self.by_name[name]

    def __str__(self) -> str:
        return text(self)

    @property
    def input(self) -> AnyInput:
        """Where data comes in."""
        return next(op for op in self.ops if isinstance(op, AnyInput))

    @property
    def output(self) -> AnyOutput:
        """Where the answer is read."""
        return next(op for op in self.ops if isinstance(op, AnyOutput))

    @cached_property
    def by_name(self) -> dict[str, Op]:
        """Ops by name."""
        return {op.name: op for op in self.ops}

    @cached_property
    def readers(self) -> dict[str, tuple[Op, ...]]:
        """Who reads each op, in order."""
        found: dict[str, list[Op]] = {op.name: [] for op in self.ops}
        for op in self.ops:
            for name in dict.fromkeys(op.inputs):
                found.setdefault(name, []).append(op)
        return {name: tuple(ops) for name, ops in found.items()}

    def producer(self, op: Op, operand: int = 0) -> Op | None:
        """Return the op behind an operand, or None."""
        return self.by_name.get(op.inputs[operand]) if operand < len(op.inputs) else None

    def feeds_only(self, op: Op, reader: Op) -> bool:
        """Say whether ``reader`` is the one reader of ``op``."""
        return [r.name for r in self.readers[op.name]] == [reader.name]

    def with_ops(self, ops: Iterable[Op]) -> Graph:
        """Return the graph with other ops."""
        return replace(self, ops=tuple(ops))

    def replace(self, old: Iterable[Op], new: Op | Iterable[Op]) -> Graph:
        """Put ``new`` in the place of the last of ``old``; readers of old names that vanish read the last new op.

        Args:
            old: Ops to take out.
            new: One op or several, in order.
        """
        gone = list(old)
        fresh = [new] if isinstance(new, Op) else list(new)
        names = {op.name for op in gone}
        kept = {op.name for op in fresh}
        last = max(self.ops.index(op) for op in gone)
        alias = {name: fresh[-1].name for name in names - kept}
        ops: list[Op] = []
        for index, op in enumerate(self.ops):
            if index == last:
                ops.extend(fresh)
            elif op.name not in names:
                ops.append(op)
        return self.with_ops(rename_operands(op, alias) for op in ops)

    def map(self, function: Callable[[Op], Op]) -> Graph:
        """Apply ``function`` to every op; return the same graph if nothing changed."""
        ops = tuple(function(op) for op in self.ops)
        return self if all(a is b for a, b in zip(ops, self.ops, strict=True)) else self.with_ops(ops)


def rename_operands(op: Op, alias: dict[str, str]) -> Op:
    """Return ``op`` reading the new names."""
    if not any(name in alias for name in op.inputs):
        return op
    return replace(op, inputs=tuple(alias.get(name, name) for name in op.inputs))


def fresh(name: str, taken: Container[str]) -> str:
    """Return a name like ``name`` that is not taken."""
    while name in taken:
        name += "_"
    return name
