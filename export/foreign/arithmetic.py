"""Sums of signals and of steps, constants that scale or shift."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, fx

from spikewright.export.foreign import calls
from spikewright.export.foreign.axes import Axes, LayoutError, sizes
from spikewright.export.foreign.node import NodeModule
from spikewright.export.foreign.record import Recorder
from spikewright.export.foreign.values import Opaque, Time, Tracked, Value
from spikewright.toolchain import nirx


def _sides(rec: Recorder, args: Any, kwargs: Any) -> tuple[Any, Any]:
    left = args[0] if args else kwargs["input"]
    right = args[1] if len(args) > 1 else kwargs.get("other")
    return left, right


def add(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    """Note ``a + b`` or ``a - b`` of two signals, or of a signal and a constant."""
    left, right = _sides(rec, args, kwargs)
    minus, swap = key in ("sub", "isub", "rsub", "subtract"), key == "rsub"
    a, b = rec.lookup(left), rec.lookup(right)
    alpha = kwargs.get("alpha", 1)
    if isinstance(a, Value) and isinstance(b, Value) and not minus and alpha == 1:
        return _join(rec, key, a, b, result)
    if isinstance(a, Value) and isinstance(b, Value):
        factor = np.full((), -float(alpha) if minus else float(alpha))
        other = scaled(rec, b if not swap else a, factor, None, right if not swap else left)
        return _join(rec, key, a if not swap else b, other, result)
    value, constant, tensor = (a, right, left) if isinstance(a, Value) else (b, left, right)
    assert isinstance(value, Value)
    shift = _constant(rec, constant, value, tensor)
    if minus:  # value - c, or c - value
        negative = (value is b) != swap
        return scaled(rec, value, np.full((), -1.0 if negative else 1.0), shift if negative else -shift, tensor)
    return scaled(rec, value, np.ones(()), shift * alpha, tensor)


def _join(rec: Recorder, key: str, a: Value, b: Value, result: Tensor) -> Tracked:
    if a.node is b.node and a.axes == b.axes and isinstance(b.time, int):
        done = a.count if a.time == "sum" else (1 if a.time == 0 else -1)
        if done == b.time and a.time != b.time:
            return replace(a, time="sum", count=done + 1)
    if a.axes != b.axes and sizes(a.axes) != sizes(b.axes):
        return Opaque(
            f"a sum of shapes {sizes(a.axes)} and {sizes(b.axes)}: bring both branches to one shape", rec.place()
        )
    if not _same_place(a, b):
        return Opaque("a sum of different axes or steps", rec.place())
    times = {a.time, b.time} - {"still"}
    if "sum" in times or "mean" in times:
        a, b = calls.averaged(rec, a, linear=True), calls.averaged(rec, b, linear=True)
    time: Time = next(iter(times), "still")
    nodes = [calls.materialise(rec, v, None) for v in (a, b)]
    if rec.shapes[nodes[0]] != rec.shapes[nodes[1]]:
        return Opaque(f"a sum of shapes {rec.shapes[nodes[0]]} and {rec.shapes[nodes[1]]}", rec.place())
    node = rec.emit("call_function", operator.add, nodes, (), rec.shapes[nodes[0]], time)
    features = rec.atoms(node, [x.size for x in a.features])
    fresh = dict(zip(a.features, features, strict=True))
    base = a if a.time != "still" else replace(b, features=b.features)
    if base is b:
        fresh = dict(zip(b.features, features, strict=True))
    out = Value(
        node, tuple(tuple(fresh.get(x, x) for x in g) for g in base.axes), features, time, flattened=a.flattened
    )
    if time in ("mean", "sum"):
        rec.later(node, lambda values: values[nodes[0]] + values[nodes[1]])
    else:
        rec.store(out, result)
    return out


def _same_place(a: Value, b: Value) -> bool:
    """Whether two values have time, batch and features at the same axes, at the same step."""
    if a.time != b.time and "still" not in (a.time, b.time):
        return False
    names = dict(zip(a.features, b.features, strict=False))
    renamed = tuple(tuple(names.get(x, x) for x in g) for g in a.axes)
    return len(a.features) == len(b.features) and _plain(renamed) == _plain(b.axes)


def _plain(axes: Axes) -> Axes:
    return tuple(tuple(x for x in g if x.size > 1) for g in axes)


def scale(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    """Note a product with a constant, or a division by one."""
    left, right = _sides(rec, args, kwargs)
    a, b = rec.lookup(left), rec.lookup(right)
    if key == "neg":
        assert isinstance(a, Value)
        return scaled(rec, a, np.full((), -1.0), None, left)
    divides = key in ("div", "truediv", "itruediv", "true_divide", "divide")
    if (
        (isinstance(a, Value) and isinstance(b, Value))
        or (divides and isinstance(b, Value))
        or kwargs.get("rounding_mode")
    ):
        return Opaque("a product of two signals has no meaning in NIR", rec.place())
    value, constant, tensor = (a, right, left) if isinstance(a, Value) else (b, left, right)
    assert isinstance(value, Value)
    if value.time in ("mean", "sum") and not isinstance(constant, Tensor):
        factor = (
            Fraction(value.factor) / Fraction(float(constant))
            if divides
            else Fraction(value.factor) * Fraction(float(constant))
        )
        if value.time == "sum":
            rec.claims.append((value.count, rec.place()))
            factor *= value.count
        return replace(value, time="mean", factor=float(factor), count=0)
    s = _constant(rec, constant, value, tensor)
    return scaled(rec, value, 1 / s if divides else s, None, tensor)


def _constant(rec: Recorder, constant: Any, value: Value, tensor: Tensor) -> Any:
    """Return a constant as a number, one value a channel, or in full, in the shape of the value's node."""
    if not isinstance(constant, Tensor):
        return np.full((), float(constant))
    rec.constants.append(constant.detach().clone())
    if constant.numel() and bool((constant == constant.reshape(-1)[0]).all()):
        return np.full((), float(constant.detach().reshape(-1)[0]))
    aligned = constant.detach().double().reshape((1,) * (tensor.ndim - constant.ndim) + tuple(constant.shape))
    picked: list[Any] = []
    for i, group in enumerate(value.axes):
        if any(a.name for a in group):
            if aligned.shape[i] != 1:
                raise LayoutError("a constant that differs between steps or samples")
            picked.append(1)
        else:
            picked.append(-1)
    if not value.in_order():
        raise LayoutError("a constant over permuted features")
    own = [i for i, p in enumerate(picked) if p == -1 and value.axes[i]]
    array = aligned.reshape([aligned.shape[i] for i in own]).numpy()
    shape = sizes(value.feature_groups())
    full = np.broadcast_to(array, shape)
    if len(shape) > 1 and all(n == 1 for n in array.shape[1:]):
        return array.reshape(-1)
    return full.copy()


def scaled(rec: Recorder, value: Value, scale: Any, shift: Any, tensor: Tensor) -> Value:
    """Return scale x + shift, per channel or for all."""
    if (shift is None or not np.any(shift)) and np.all(scale == 1):
        return value
    if (shift is None or not np.any(shift)) and value.time == "mean" and scale.ndim == 0:
        return replace(value, factor=value.factor * float(scale))
    value = calls.averaged(rec, value, linear=True)
    node = scale_node(rec, value, scale, shift)
    features = rec.atoms(node, [a.size for a in value.features])
    fresh = dict(zip(value.features, features, strict=True))
    return replace(
        value,
        node=node,
        axes=tuple(tuple(fresh.get(x, x) for x in g) for g in value.axes),
        features=features,
        factor=1.0,
    )


def scale_node(rec: Recorder, value: Value, scale: Any, shift: Any) -> fx.Node:
    """Return a node scale x + shift: a Scale, or a batch norm that says the same."""
    operand = calls.materialise(rec, value, None)
    shape = rec.shapes[operand]
    key = ("scale", operand, scale.tobytes(), None if shift is None else shift.tobytes())
    if key in rec.rolled:
        return rec.rolled[key]
    if shift is not None and max(scale.ndim, shift.ndim) > 1:
        raise rec.refuse("adds a constant that differs between pixels", "add one value a channel")
    name = rec.fresh(f"{rec.scopes[-1]}.scale" if rec.scopes[-1] else "scale")
    s = np.asarray(scale, np.float64)
    full = np.broadcast_to(s.reshape(s.shape + (1,) * (len(shape) - s.ndim)) if s.ndim else s, shape)
    if shift is None or not np.any(shift):
        array = full.copy()
        made: Callable[..., nir.NIRNode] = lambda *_: nir.Scale(array)  # noqa: E731
        b = np.zeros(())
    else:
        c, b = shape[:1], np.asarray(shift, np.float64)
        weight, bias = np.broadcast_to(s, c).copy(), np.broadcast_to(b, c).copy()
        made = lambda *_: nirx.BatchNorm(np.zeros(c), np.ones(c), weight, bias, 0.0, shape)  # noqa: E731
    node = calls.emit_module(rec, name, NodeModule(made), operand, "whole", shape)
    column = torch.from_numpy(
        np.broadcast_to(b.reshape(b.shape + (1,) * (len(shape) - b.ndim)) if b.ndim else b, shape).copy()
    )
    factor = torch.from_numpy(full.copy())
    rec.later(node, lambda values: values[operand] * factor + column)
    rec.rolled[key] = node
    return node
