"""What an op on a followed tensor means: the table of ops; what has no rule is opaque."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from spikewright.export.foreign import arithmetic, functions, means, membranes, moves, steps
from spikewright.export.foreign.axes import LayoutError, permuted
from spikewright.export.foreign.record import Recorder
from spikewright.export.foreign.values import Opaque, Tracked, Value

SAME = frozenset(
    {
        "contiguous",
        "clone",
        "detach",
        "detach_",
        "double",
        "to",
        "type",
        "type_as",
        "cpu",
        "requires_grad_",
        "data",
        "alias",
        "positive",
    }
)
RESHAPES = frozenset(
    {
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "view_as",
        "reshape_as",
        "ravel",
        "squeeze",
        "squeeze_",
        "unsqueeze",
        "unsqueeze_",
    }
)
PERMUTES = frozenset(
    {"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT", "transpose_"}
)
MAKERS = frozenset(
    {
        "zeros_like",
        "ones_like",
        "full_like",
        "empty_like",
        "rand_like",
        "randn_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "new_tensor",
    }
)
DROPOUTS = frozenset({"dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout"})


def note(rec: Recorder, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
    """Note one op whose operands hold at least one followed tensor."""
    if name not in MAKERS:
        membranes.followed(rec, (args, kwargs))
    if name in MAKERS or not any(isinstance(x, Tensor) for x in pytree.tree_leaves(result)):
        if name == "__setitem__":
            steps.set_item(rec, *args)
        return
    key = name.strip("_")
    try:
        out = _apply(rec, name, key, func, args, kwargs, result)
    except LayoutError as error:
        out = Opaque(f"the op {key!r}: {error}", rec.place())
    if out is None:
        return
    if isinstance(out, list):
        for x, value in zip(result, out, strict=True):
            rec.track(x, value)
    elif isinstance(result, Tensor):
        rec.track(result, out)
    else:
        assert isinstance(out, Opaque)
        rec.blind(result, out.reason)


def _apply(
    rec: Recorder, name: str, key: str, func: Any, args: Any, kwargs: Any, result: Any
) -> Tracked | list[Tracked] | None:
    leaves = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    known = [rec.lookup(x) for x in leaves]
    opaque = next((k for k in known if isinstance(k, Opaque)), None)
    if opaque is not None:
        return opaque
    rule = RULES.get(key) or RULES.get(name)
    first = args[0] if args else next(iter(kwargs.values()))
    if key in SAME or (key in DROPOUTS and not _training(args, kwargs)):
        value = rec.lookup(first)
        return value if isinstance(result, Tensor) and tuple(result.shape) == tuple(leaves[0].shape) else None
    if rule is not None:
        return rule(rec, key, args, kwargs, result)
    value = known[0]
    if isinstance(value, Value) and isinstance(first, Tensor) and rec.lookup(first) is value:
        if name in RESHAPES or key in RESHAPES:
            return moves.reshaped(rec, value, tuple(result.shape), "", key, args, kwargs)
        if key in PERMUTES:
            return value.moved(permuted(value.axes, moves.order(func, first, args, kwargs)))
    return Opaque(f"the op {key!r} has no meaning in NIR", rec.place())


def _training(args: Any, kwargs: Any) -> bool:
    return bool(kwargs.get("training", args[2] if len(args) > 2 else True))


Rule = Callable[[Recorder, str, Any, Any, Any], "Tracked | list[Tracked] | None"]
RULES: dict[str, Rule] = {
    "getitem": steps.get_item,
    **dict.fromkeys(("unbind", "split", "chunk", "tensor_split"), steps.unbind),
    **dict.fromkeys(("select", "narrow"), steps.select),
    **dict.fromkeys(("stack", "cat", "concat", "concatenate"), steps.stack),
    **dict.fromkeys(("repeat", "expand", "expand_as", "tile", "repeat_interleave", "broadcast_to"), steps.repeat),
    **dict.fromkeys(("add", "iadd", "radd", "sub", "isub", "rsub", "subtract"), arithmetic.add),
    **dict.fromkeys(
        ("mul", "imul", "rmul", "multiply", "neg", "div", "truediv", "itruediv", "true_divide", "divide", "rtruediv"),
        arithmetic.scale,
    ),
    **dict.fromkeys(("mean", "sum"), means.mean_or_sum),
    **dict.fromkeys(
        (
            "conv2d",
            "conv1d",
            "linear",
            "matmul",
            "mm",
            "batch_norm",
            "avg_pool2d",
            "max_pool2d",
            "adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
            "avg_pool1d",
            "relu",
        ),
        functions.function,
    ),
}
