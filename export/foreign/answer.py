"""The answer: what forward returns becomes the output, or is refused with what to return instead."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from spikewright.export.foreign import calls, membranes
from spikewright.export.foreign.axes import LayoutError
from spikewright.export.foreign.record import Recorder
from spikewright.export.foreign.values import Opaque
from spikewright.toolchain.errors import UnsupportedNodeError

_LOGITS = "return the logits: it is the same decision, and the loss can hold the softmax"
_MEAN = "answer with the mean over all steps, x.mean(0): a chip counts, it keeps no single step"
ADVICE: dict[str, str] = {
    **dict.fromkeys(("softmax", "log_softmax", "sigmoid", "argmax"), _LOGITS),
    **dict.fromkeys(("cumsum", "max", "amax", "topk"), _MEAN),
    **dict.fromkeys(("cat", "concat"), "join branches by a sum: fc(cat([a, b])) is fc_a(a) + fc_b(b)"),
    **dict.fromkeys(
        ("gt", "ge", "lt", "le", "heaviside", "where"),
        "a neuron of your own? Say what its class is: register(...) of spikewright.export.foreign",
    ),
}
"""What to do instead of an op without a meaning."""


def output(rec: Recorder, result: Any) -> None:
    """Make what forward returns the output; of several tensors, the first signal.

    Raises:
        UnsupportedNodeError: It returns no tensor, or one that does not depend on the input in a way that can be
            followed.
    """
    tensors = [x for x in pytree.tree_leaves(result) if isinstance(x, Tensor)]
    if not tensors:
        raise rec.refuse(f"forward returns a {type(result).__name__}", "return one tensor", rec.where)
    membranes.followed(rec, tensors[:1])
    found = rec.lookup(tensors[0])
    if len(tensors) > 1:
        rec.notes.append(f"of the {len(tensors)} tensors that forward returns, the first is taken as the answer")
    if found is None:
        raise rec.refuse(
            "the answer does not depend on the input in a way that can be followed",
            "return a signal of the net",
            rec.where,
        )
    if isinstance(found, Opaque):
        raise UnsupportedNodeError(
            found.reason,
            where=found.where,
            help=found.help
            or next((help for op, help in ADVICE.items() if f"the op {op!r}" in found.reason), "")
            or "supported are layers, neurons with a row in a table of spikewright.export.foreign, +, "
            "means over H and W, flatten, moves of axes, loops over T; or register(...) of spikewright.export.foreign",
        )
    if found.time == "sum":
        found = calls.averaged(rec, found, linear=True)
    if isinstance(found.time, int):
        raise rec.refuse(f"the answer is of step {found.time} alone", "answer with the mean over all steps", rec.where)
    if isinstance(rec.fixed_steps(), int) and found.time == "still" and rec.counts:
        raise rec.refuse("the answer does not change over time", "return a signal of the net", rec.where)
    try:
        node = calls.materialise(rec, found, len(found.feature_groups()))
    except LayoutError as error:
        raise rec.refuse(f"the answer: {error}", "return (B, K) or (T, B, K)", rec.where) from error
    if found.time == "mean":
        y = tensors[0].detach()
        mean_node = rec.emit("call_function", torch.mean, (node,), (0,), rec.shapes[node], "whole")
        answer = found.arranged(y, (rec.batch,)).reshape(rec.batch.size, *rec.shapes[node])
        rec.later(mean_node, lambda values: answer)
        out = rec.graph.output(mean_node)
        rec.later(out, lambda values: answer)
    else:
        whole = found.arranged(
            tensors[0].detach(), (rec.steps, rec.batch) if rec.steps and found.time == "whole" else (rec.batch,)
        )
        lead = (rec.steps.size, rec.batch.size) if rec.steps and found.time == "whole" else (1, rec.batch.size)
        answer = whole.reshape(*lead, *rec.shapes[node])
        out = rec.graph.output(node)
        rec.later(
            out,
            lambda values: (
                answer if answer.shape[0] == rec.fixed_steps() else answer.expand(rec.fixed_steps(), *answer.shape[1:])
            ),
        )
