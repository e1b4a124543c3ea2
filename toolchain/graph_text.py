"""A graph as text: one line an op, arrays as shape and range; stable, for people and golden files."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from spikewright.hw_sim.somas import Soma
from spikewright.hw_sim.synapses import Synapses
from spikewright.toolchain.ops import Op

if TYPE_CHECKING:
    from spikewright.toolchain.ir import Graph

ELSEWHERE = ("name", "inputs", "block")
"""Fields that the head of a line shows."""


def text(graph: Graph) -> str:
    """Return the graph as text."""
    head = f"graph: {graph.timesteps} timesteps of {graph.dt_s:g} s, {len(graph)} ops"
    return "\n".join([head, *(f"  {_op(op)}" for op in graph)])


def _op(op: Op) -> str:
    block = f" of {op.block}" if op.block != op.name else ""
    reads = f" <- {', '.join(op.inputs)}" if op.inputs else ""
    return f"{op.name} = {_fields(op)}{reads}{block}"


def _fields(op: Op) -> str:
    shown = [f for f in fields(op) if f.name not in ELSEWHERE and not _usual(f, getattr(op, f.name))]
    return f"{type(op).__name__}({', '.join(f'{f.name}={_value(getattr(op, f.name))}' for f in shown)})"


def _usual(field: Field[Any], value: Any) -> bool:
    """Say whether a field holds its default."""
    usual = field.default if field.default_factory is MISSING else field.default_factory()
    if isinstance(value, np.ndarray) and isinstance(usual, np.ndarray):
        return value.shape == usual.shape and bool((value == usual).all())
    return usual is not MISSING and type(value) is type(usual) and bool(value == usual)


def _value(value: Any) -> str:
    match value:
        case Op():
            return _fields(value)
        case Soma() | Synapses():
            return str(value)
        case np.ndarray():
            return _array(value)
        case dict():
            return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in sorted(value.items())) + "}"
        case float() | np.floating():
            return f"{value:.4g}"
        case tuple() if all(isinstance(item, int) for item in value):
            return "x".join(map(str, value))
        case _:
            return str(value)


def _array(value: np.ndarray[Any, Any]) -> str:
    """Return a constant as its value, anything else as shape and range."""
    shape = "x".join(map(str, value.shape))
    if not value.size:
        return f"[{shape}]"
    low, high = value.min(), value.max()
    if low == high:
        return _number(low) if value.size == 1 else f"[{shape}] {_number(low)}"
    return f"[{shape}] {_number(low)}..{_number(high)}"


def _number(value: Any) -> str:
    return f"{float(value):.4g}" if np.issubdtype(type(value), np.floating) else str(int(value))
