"""Layers called as functions, with constant weights: the module that says the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikewright.export.foreign import calls
from spikewright.export.foreign.record import Recorder
from spikewright.export.foreign.values import Opaque, Tracked, Value


def function(rec: Recorder, key: str, args: Any, kwargs: Any, result: Tensor) -> Tracked | None:
    """A layer called as a function, with constant weights: the module that says the same."""
    value = rec.lookup(args[0] if args else kwargs["input"])
    if not isinstance(value, Value):  # a constant times a signal
        return Opaque(f"the op {key!r}, called so, has no meaning in NIR", rec.place())
    made = _made(key, args, kwargs, rec)
    if made is None:
        return Opaque(f"the op {key!r}, called so, has no meaning in NIR", rec.place())
    name = rec.scopes[-1] or key
    owner = rec.net.get_submodule(name) if rec.scopes[-1] and name in dict(rec.net.named_modules()) else rec.net
    known = (rec.scopes[-1], *_weights_key(key, args, kwargs))
    if known in rec.functions:
        name = rec.functions[known]
    elif name in rec.modules or any(True for _ in owner.children()):
        name = rec.fresh(f"{rec.scopes[-1]}.{key}" if rec.scopes[-1] else key)
    rec.functions[known] = name
    calls.layer(rec, name, made, made, value, result)
    return None


def _weights_key(key: str, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """Return what tells one layer called as a function from another: its options and the content of its weights."""
    parts = [*args[1:], *(v for k, v in sorted(kwargs.items()) if k != "input")]
    return (key, *(hash(p.detach().numpy().tobytes()) if isinstance(p, Tensor) else str(p) for p in parts))


def _made(  # noqa: C901 - one case a function
    key: str, args: Any, kwargs: Any, rec: Recorder
) -> nn.Module | None:
    def arg(i: int, name: str, default: Any = None) -> Any:
        return args[i] if len(args) > i else kwargs.get(name, default)

    def weights(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
        rec.constants.extend(x.detach().clone() for x in (weight, bias) if x is not None)
        layer.weight = nn.Parameter(_exact(weight), requires_grad=False)
        layer.register_parameter("bias", None if bias is None else nn.Parameter(_exact(bias), requires_grad=False))
        return layer.eval()

    weight = arg(1, "weight", arg(1, "other", arg(1, "mat2")))
    if key in ("matmul", "mm") and (not isinstance(weight, Tensor) or weight.ndim != 2):
        return None
    if key in ("conv2d", "conv1d", "linear", "matmul", "mm") and (
        not isinstance(weight, Tensor) or rec.lookup(weight) is not None
    ):
        return None
    match key:
        case "conv2d":
            groups = int(arg(6, "groups", 1))
            conv = nn.Conv2d(
                weight.shape[1] * groups,
                weight.shape[0],
                tuple(weight.shape[2:]),
                arg(3, "stride", 1),
                arg(4, "padding", 0),
                arg(5, "dilation", 1),
                groups,
                device="meta",
            )
            return weights(conv, weight, arg(2, "bias"))
        case "conv1d":
            groups = int(arg(6, "groups", 1))
            options = (arg(3, "stride", 1), arg(4, "padding", 0), arg(5, "dilation", 1), groups)
            row = nn.Conv1d(weight.shape[1] * groups, weight.shape[0], weight.shape[2], *options, device="meta")
            return weights(row, weight, arg(2, "bias"))
        case "matmul" | "mm":
            return weights(nn.Linear(weight.shape[0], weight.shape[1], device="meta"), weight.T.contiguous(), None)
        case "linear":
            return weights(nn.Linear(weight.shape[1], weight.shape[0], device="meta"), weight, arg(2, "bias"))
        case "batch_norm":
            mean, var, gamma, beta = arg(1, "running_mean"), arg(2, "running_var"), arg(3, "weight"), arg(4, "bias")
            if mean is None or var is None or arg(5, "training", False):
                return None
            norm = nn.BatchNorm2d(len(mean), float(arg(7, "eps", 1e-5)))
            norm.running_mean, norm.running_var = _exact(mean), _exact(var)
            one = torch.ones(len(mean))
            return weights(norm, one if gamma is None else gamma, one * 0 if beta is None else beta)
        case "avg_pool2d":
            return nn.AvgPool2d(
                arg(1, "kernel_size"),
                arg(2, "stride"),
                arg(3, "padding", 0),
                bool(arg(4, "ceil_mode", False)),
                bool(arg(5, "count_include_pad", True)),
                arg(6, "divisor_override"),
            )
        case "max_pool2d":
            return nn.MaxPool2d(
                arg(1, "kernel_size"),
                arg(2, "stride"),
                arg(3, "padding", 0),
                arg(4, "dilation", 1),
                False,
                bool(arg(5, "ceil_mode", False)),
            )
        case "adaptive_avg_pool2d":
            return nn.AdaptiveAvgPool2d(arg(1, "output_size"))
        case "adaptive_avg_pool3d":
            size = arg(1, "output_size")
            return nn.AdaptiveAvgPool2d(tuple(size[1:])) if isinstance(size, tuple | list) and size[0] is None else None
        case "avg_pool1d":
            return nn.AvgPool1d(arg(1, "kernel_size"), arg(2, "stride"))
        case "relu":
            return nn.ReLU()
    return None


def _exact(x: Tensor) -> Tensor:
    """Return a tensor in float32 where that loses nothing."""
    x = x.detach()
    return x.float().clone() if torch.equal(x.float().double(), x.double()) else x.double().clone()
