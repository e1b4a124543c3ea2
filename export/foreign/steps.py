"""Ops that take steps out of a signal, and those that join them to one: indices, loops, stacks, repeats, buffers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from torch import Tensor

from spikewright.export.foreign.axes import Group, LayoutError, sizes
from spikewright.export.foreign.record import Recorder
from spikewright.export.foreign.values import Opaque, Tracked, Value


def get_item(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    """Note an index: one step of T; axes of one come and go."""
    value = rec.lookup(args[0])
    assert isinstance(value, Value)
    index = _full_index(args[1], len(value.axes))
    axes: list[Group] = []
    time, at = value.time, 0
    for part in index:
        if part is None:
            axes.append(())
            continue
        group = value.axes[at]
        at += 1
        size = prod(a.size for a in group)
        if isinstance(part, slice):
            start, stop, step = part.indices(size)
            if (start, stop, step) == (0, size, 1):
                axes.append(group)
                continue
            single = stop - start == 1 and step == 1
            axes.append(())
        else:
            start, single = int(part) % size, True
        if not single or rec.steps is None or group != (rec.steps,):
            return Opaque(f"takes a part of axis {at - 1} of {sizes(value.axes)}, which is not one step", rec.place())
        time = start
    return replace(value, axes=tuple(axes), time=time)


def _full_index(index: Any, rank: int) -> list[Any]:
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(p, Tensor | list | bool) for p in parts):
        raise LayoutError("an index that is a tensor or a list")
    used = sum(1 for p in parts if p is not None and p is not Ellipsis)
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (rank - used)
    return parts + [slice(None)] * (rank - sum(1 for p in parts if p is not None))


def unbind(rec: Recorder, key: str, args: Any, kwargs: Any, result: Any) -> list[Tracked]:
    """Note what makes all steps of a signal."""
    value = rec.lookup(args[0])
    assert isinstance(value, Value)
    dim = int(kwargs.get("dim", args[1] if len(args) > 1 and key == "unbind" else (args[2] if len(args) > 2 else 0)))
    dim %= len(value.axes)
    at_steps = (
        rec.steps is not None
        and value.axes[dim] == (rec.steps,)
        and value.time == "whole"
        and len(result) == rec.steps.size
    )
    if not at_steps:
        return [Opaque(f"the op {key!r} takes parts of axis {dim} of {sizes(value.axes)}", rec.place())] * len(result)
    axes = list(value.axes)
    axes[dim : dim + 1] = [] if key == "unbind" else [()]
    return [replace(value, axes=tuple(axes), time=t) for t in range(len(result))]


def select(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    """Note ``select`` and ``narrow``: an index by another name."""
    dim, start = (
        int(kwargs.get(n, args[i] if len(args) > i else 0))
        for i, n in ((1, "dim"), (2, "index" if key == "select" else "start"))
    )
    length = int(kwargs.get("length", args[3] if len(args) > 3 else 1))
    part: Any = start if key == "select" else slice(start, start + length)
    dim %= args[0].ndim
    return get_item(rec, key, (args[0], (*[slice(None)] * dim, part)), {}, result)


def stack(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    """``stack``, or ``cat`` along an axis of one: all steps of a signal become its axis of time."""
    parts = [rec.lookup(x) for x in args[0]]
    dim = int(kwargs.get("dim", args[1] if len(args) > 1 else 0)) % result.ndim
    joined = _joined(rec, parts)
    if joined is None:
        return Opaque(f"the op {key!r} joins signals that are not steps 0 .. T - 1 of one", rec.place())
    axes = list(joined.axes)
    if key != "stack":
        if axes[dim] != ():
            return Opaque(f"the op {key!r} joins along an axis that is no axis of time", rec.place())
        del axes[dim]
    axes.insert(dim, (rec.time_atom(len(parts)),))
    return replace(joined, axes=tuple(axes), time="whole")


def _joined(rec: Recorder, parts: Sequence[Tracked | None]) -> Value | None:
    first = parts[0]
    if not isinstance(first, Value) or (rec.steps is not None and len(parts) != rec.steps.size):
        return None
    for t, part in enumerate(parts):
        if not isinstance(part, Value) or part.node is not first.node or part.axes != first.axes:
            return None
        if part.time != "still" and part.time != t:
            return None
    return first


def repeat(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked:
    """Note a repetition of a still input: it makes T."""
    value = rec.lookup(args[0])
    assert isinstance(value, Value)
    old, new = args[0].shape, result.shape
    axes: list[Group] = [()] * (len(new) - len(old)) + list(value.axes)
    for i, n in enumerate(new):
        size = prod(a.size for a in axes[i])
        if n == size:
            continue
        if value.time != "still" or (key.startswith("expand") and size != 1):
            return Opaque(f"the op {key!r} repeats a signal that is no still input", rec.place())
        atom = rec.time_atom(n // size)
        axes[i] = (*axes[i], atom) if key == "repeat_interleave" else (atom, *axes[i])
        value = replace(value, time="whole")
    return replace(value, axes=tuple(axes))


def set_item(rec: Recorder, buffer: Tensor, index: Any, part: Any) -> None:
    """Fill a buffer step by step: ``out[:, t] = spikes``; full, it is the signal over all steps."""
    value = rec.lookup(part)
    if value is None:
        if isinstance(rec.lookup(buffer), Value):
            rec.track(buffer, Opaque("a part of it is overwritten", rec.place()))
        return
    place: list[tuple[int, int]] = []
    try:
        for i, p in enumerate(_full_index(index, buffer.ndim)):
            if isinstance(p, int):
                place.append((i, p % buffer.shape[i]))
            elif p is None or p.indices(buffer.shape[i]) != (0, buffer.shape[i], 1):
                raise LayoutError("a slice")
    except (LayoutError, TypeError):
        place = []
    whole = not place and isinstance(value, Value) and tuple(part.shape) == tuple(buffer.shape)
    if whole or isinstance(value, Opaque) or len(place) != 1:
        rec.track(
            buffer, value if whole or isinstance(value, Opaque) else Opaque("a part of it is overwritten", rec.place())
        )
        return
    ((dim, t),) = place
    slots = rec.buffers.setdefault(id(buffer), {})
    rec.keep.append(buffer)
    slots[t] = value
    parts: list[Tracked | None] = [slots.get(i) for i in range(buffer.shape[dim])]
    joined = None if None in parts else _joined(rec, parts)
    if joined is None:
        rec.track(
            buffer, Opaque("a buffer that is filled in part, or not by steps 0 .. T - 1 of one signal", rec.place())
        )
        return
    axes = list(joined.axes)
    axes.insert(dim, (rec.time_atom(len(parts)),))
    rec.track(buffer, replace(joined, axes=tuple(axes), time="whole"))
    slots.clear()
