"""The membrane that a neuron hands out beside its spikes, as the answer of a net: a filter that reads what the neuron reads.

::

    m[t] = beta m[t-1] + gain (x[t] + w s[t-1])         w: what each spike takes off, one step late; 0: no reset
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from spikewright.export.foreign import calls, ours
from spikewright.export.foreign.values import Membrane, Opaque, Tracked, Value
from spikewright.hw_sim.errors import SpikewrightError

if TYPE_CHECKING:
    from spikewright.export.foreign.record import Recorder


def followed(rec: Recorder, operands: Any) -> None:
    """Make every membrane among the operands a signal, or say why it is none."""
    for x in pytree.tree_leaves(operands):
        found = rec.lookup(x)
        if isinstance(found, Membrane):
            rec.keep.append(x)
            rec.tracked[id(x)] = _signal(rec, found)


def _signal(rec: Recorder, found: Membrane) -> Tracked:
    try:
        return _filtered(rec, found)
    except SpikewrightError as error:
        return Opaque(error.what, error.where, found.owner, error.help)


def _filtered(rec: Recorder, found: Membrane) -> Value:
    value, spikes = found.value, found.spikes
    here = calls.site(rec, value)
    here.need(
        value.pending is None, "the membrane of a neuron behind an attention is no signal", "answer with its spikes"
    )
    made, taken = found.made()
    key, shape = ("membrane", found.owner), rec.shapes[spikes.node]
    if key not in rec.rolled:
        operand = calls.materialise(rec, value, None)
        if np.any(taken):
            here.need(len(shape) == 1, "the membrane of a map of neurons that reset", "answer with their spikes")
            late = _late(rec, found.owner, spikes.node, np.broadcast_to(taken, shape))
            joined = rec.emit("call_function", operator.add, (operand, late), (), shape, "whole")
            rec.later(joined, lambda values, a=operand: values[a] + values[late])  # type: ignore[misc]
            operand = joined
        rec.rolled[key] = calls.emit_module(rec, f"{found.owner}.membrane", made, operand, "whole", shape)
    node = rec.rolled[key]
    features = rec.atoms(node, shape)
    fresh = dict(zip(spikes.features, features, strict=True))
    out = Value(node, tuple(tuple(fresh.get(a, a) for a in g) for g in spikes.axes), features, spikes.time)
    rec.store(out, found.y)
    return out


def _late(rec: Recorder, owner: str, spikes: fx.Node, weight: Any) -> fx.Node:
    """Return each neuron's own spike of the step before, weighted."""
    from spikewright.export.foreign.means import linear_node

    n = len(weight)
    own = linear_node(rec, f"{owner}.reset", spikes, np.diag(weight))
    node = calls.emit_module(rec, f"{owner}.late", ours.delay(1), own, "whole", (n,))
    rec.later(node, lambda values: _shifted(values[own]))
    return node


def _shifted(x: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(x[:1]), x[:-1]])
