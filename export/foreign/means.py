"""Means: over T (the read-out), over H and W, over votes (a linear map)."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from spikewright.export.foreign import calls
from spikewright.export.foreign.axes import Atom, Axes, Group, LayoutError, regroup, sizes
from spikewright.export.foreign.record import Recorder
from spikewright.export.foreign.values import Opaque, Tracked, Value


def mean_or_sum(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    """Note ``mean``, or ``sum`` over T."""
    value = rec.lookup(args[0])
    assert isinstance(value, Value)
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    chosen = (
        list(range(len(value.axes)))
        if dims is None
        else [int(d) % len(value.axes) for d in (dims if isinstance(dims, tuple | list) else (dims,))]
    )
    chosen.sort()
    kept = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
    if key == "sum":
        if any(rec.steps is None or value.axes[i] != (rec.steps,) for i in chosen):
            return Opaque("a sum over features has no meaning in NIR: take the mean", rec.place())
        out = mean(rec, value, chosen, kept, result)
        return replace(out, factor=out.factor * rec.time_atom(rec.steps.size if rec.steps else 1).size)
    return mean(rec, value, chosen, kept, result)


def mean(rec: Recorder, value: Value, dims: list[int], kept: bool, y: Tensor) -> Value:
    """Return the mean over axes: T, H and W, or votes."""
    averages: Group = tuple(a for i in dims for a in value.axes[i])
    time = [a for a in averages if a.name == "T"]
    own = [a for a in averages if not a.name]
    if any(a.name == "B" for a in averages):
        raise rec.refuse(
            "a mean over the samples of a batch", "keep the batch as it is; was the layout found? give layout="
        )
    whole = value.features
    if own:
        if (
            len(own) == len([a for a in whole if a in own])
            and tuple(own) == whole[-len(own) :]
            and len(rec.shapes[value.node]) == 3
        ):
            value = _spatial(rec, value, dims, kept, own)
        elif (
            len(rec.shapes[calls.materialise(rec, replace(value, factor=1.0), None)]) == 1
            or len(rec.shapes[value.node]) == 1
        ):
            value = _votes(rec, value, own, dims, kept)
        else:
            raise rec.refuse(
                f"a mean over axes {sorted(dims)} of {sizes(value.axes)}",
                "take means over H and W, x.mean((-2, -1)), over votes, or over T at the end, x.mean(0)",
            )
        dims = [i for i in dims if any(a.name for a in value.axes[i])] if kept else []
        time_axis = [i for i, g in enumerate(value.axes) if any(a.name == "T" for a in g)] if time else []
        dims = time_axis
    if time:
        if value.pending is not None or any(len(value.axes[i]) != 1 for i in dims):
            raise rec.refuse("a mean over T and another axis at once", "keep T an axis of its own")
        axes = tuple(() if i in dims else g for i, g in enumerate(value.axes) if kept or i not in dims)
        value = replace(value, axes=axes, time="mean")
    return value


def _spatial(rec: Recorder, value: Value, dims: list[int], kept: bool, own: list[Atom]) -> Value:
    value = calls.averaged(rec, value, linear=True)
    operand = calls.materialise(rec, value.moved(_lead(value) + tuple((a,) for a in value.features)), 3)
    shape = rec.shapes[operand]
    node = rec.emit(
        "call_function",
        torch.mean,
        (operand,),
        ((3, 4), True) if kept else ((3, 4),),
        (shape[0], 1, 1) if kept else shape[:1],
        value.time,
    )
    features = rec.atoms(node, rec.shapes[node])
    channel = features[0]
    rec.later(node, lambda values: values[operand].mean((3, 4), keepdim=kept))
    axes: list[Group] = []
    ones = list(features[1:])
    for group in value.axes:
        if any(a in own for a in group):
            if kept:
                axes.append((ones.pop(0),) if ones else ())
            continue
        axes.append(tuple(channel if a is value.features[0] else a for a in group))
    return replace(value, node=node, axes=tuple(axes), features=features)


def _lead(value: Value) -> Axes:
    return tuple(g for g in value.axes if any(a.name for a in g))


def _votes(rec: Recorder, value: Value, own: list[Atom], dims: list[int], kept: bool) -> Value:
    """A mean over groups of neighbours is a linear map."""
    value = calls.averaged(rec, value, linear=True)
    groups = value.features
    flat = replace(value, axes=(*_lead(value), groups))
    operand = calls.materialise(rec, flat, 1)
    shape = tuple(a.size for a in groups)
    axis = tuple(i for i, a in enumerate(groups) if a in own)
    eye = np.eye(prod(shape)).reshape(prod(shape), *shape)
    weight = eye.mean(axis=tuple(i + 1 for i in axis)).reshape(prod(shape), -1).T
    name = rec.fresh(f"{rec.scopes[-1]}.vote" if rec.scopes[-1] else "vote")
    node = linear_node(rec, name, operand, weight)
    left = rec.atoms(node, [a.size for a in groups if a not in own] or [1])
    fresh = dict(zip([a for a in groups if a not in own], left, strict=False))
    axes: list[Group] = []
    for group in value.axes:
        if any(a in own for a in group) and all(a in own for a in group):
            if kept:
                axes.append(())
            continue
        axes.append(tuple(fresh.get(a, a) for a in group if a not in own))
    if not any(a in fresh for a in groups):
        axes.append(left)
    return replace(value, node=node, axes=tuple(axes), features=left, flattened=None)


def linear_node(rec: Recorder, name: str, operand: fx.Node, weight: Any) -> fx.Node:
    """Return the node of a linear map of a node."""
    key = ("linear", operand, weight.tobytes())
    if key in rec.rolled:
        return rec.rolled[key]
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    made.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight)), requires_grad=False)
    node = calls.emit_module(rec, name, made, operand, "whole", (weight.shape[0],))
    matrix = torch.from_numpy(np.ascontiguousarray(weight.T))
    rec.later(node, lambda values: values[operand] @ matrix)
    rec.rolled[key] = node
    return node


def vote(rec: Recorder, value: Value, votes: int, y: Tensor) -> Value:
    """AvgPool1d over the last axis, kernel = stride = votes: the mean of neighbouring outputs."""
    last = value.axes[-1]
    n = prod(a.size for a in last)
    if any(a.name for a in last) or n % votes or y.shape[-1] * votes != n:
        raise LayoutError("a 1-d average pooling that is no vote")
    split, _ = regroup((*value.axes,), (*sizes(value.axes)[:-1], n // votes, votes))
    features = tuple(a for g in split for a in g if not a.name)
    return _votes(rec, replace(value, axes=split, features=features), list(split[-1]), [len(split) - 1], False)
