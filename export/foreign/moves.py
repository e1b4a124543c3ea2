"""Ops that move the axes of a signal and nothing else: reshapes, squeezes, flattens, permutations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from spikewright.export.foreign.axes import LayoutError, refine, regroup, sizes
from spikewright.export.foreign.record import Recorder
from spikewright.export.foreign.values import Flattened, Value


def reshaped(
    rec: Recorder, value: Value, shape: tuple[int, ...], target: str, key: str = "", args: Any = (), kwargs: Any = None
) -> Value:
    """Return a value after a reshape, squeeze, unsqueeze or flatten."""
    axes = list(value.axes)
    if key == "unsqueeze":
        dim = int(args[1] if len(args) > 1 else kwargs["dim"])
        axes.insert(dim % (len(axes) + 1), ())
        return value.moved(tuple(axes))
    if key == "squeeze":
        return _squeezed(rec, value, shape, args, kwargs or {})
    moved, split = regroup(value.axes, shape)
    features = refine(value.features, split)
    flattened = value.flattened
    if len(shape) < len(axes):
        file, line, text = rec.line()
        flattened = Flattened(target, rec.scopes[-1], f'File "{file}", line {line}, in forward\n    {text}')
    return replace(value, axes=moved, features=features, flattened=flattened)


def _squeezed(rec: Recorder, value: Value, shape: tuple[int, ...], args: Any, kwargs: dict[str, Any]) -> Value:
    dims = args[1] if len(args) > 1 else kwargs.get("dim")
    n = len(value.axes)
    chosen = range(n) if dims is None else [int(d) % n for d in (dims if isinstance(dims, tuple | list) else (dims,))]
    gone = [i for i in chosen if sizes(value.axes)[i] == 1]
    lost = [a for i in gone for a in value.axes[i]]
    if any(a.name == "B" for a in lost):
        raise LayoutError("a squeeze of the batch; give an example with at least 2 samples")
    axes = tuple(g for i, g in enumerate(value.axes) if i not in gone)
    time = 0 if any(a.name == "T" for a in lost) else value.time
    return replace(value, axes=axes, time=time, flattened=value.flattened or Flattened("", rec.scopes[-1], ""))


def order(func: Any, x: Tensor, args: Any, kwargs: Any) -> list[int]:
    """Return which axis of its operand each axis of a permutation's result was."""
    primes = (2, 3, 5, 7, 11, 13, 17, 19)
    stand_in = torch.empty(primes[: x.ndim], device="meta")
    moved = func(
        *(stand_in if a is x else a for a in args), **{k: stand_in if a is x else a for k, a in kwargs.items()}
    )
    return [primes.index(n) for n in moved.shape]
