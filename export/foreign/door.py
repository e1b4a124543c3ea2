"""The torch door: from a user's net, in any layout and framework, to the traced net over (T, B, ...) that is converted.

Layouts of the example: ``TB`` (T, B, ...), ``BT`` (B, T, ...), ``B`` (B, ...), one frame that the net itself repeats T times,
``N`` (B T, ...), the samples' steps one after the other, as sinabs' *Squeeze layers take them: they say B or T; and ``S``
(T, B, ...) of a net that takes one step (B, ...) a call and keeps its state between calls: it is called T times.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.utils import _pytree as pytree

from spikewright.export.foreign.axes import Atom, Axes, LayoutError, LayoutRefused
from spikewright.export.foreign.record import Recording, record
from spikewright.export.foreign.registry import refuse_unknown, row_of
from spikewright.export.torch_to_nir.trace import Traced
from spikewright.hw_sim.errors import SpikewrightError, text_of
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError

Layout = Literal["TB", "BT", "S", "B", "N"]
LAYOUTS: tuple[Layout, ...] = ("TB", "BT", "S", "B", "N")
SAID = {
    "TB": "the input is (T, B, ...)",
    "BT": "the net takes (B, T, ...); the captured one takes (T, B, ...)",
    "S": "the net takes one step (B, ...) a call; the captured one takes (T, B, ...), all calls",
    "N": "the net takes (B T, ...); the captured one takes (T, B, ...)",
    "B": "the net takes (B, ...) and repeats it T = {T} times; the captured one takes (T, B, ...), the same frame every step",
}
CAPTURED_BYTES = 256 << 20
"""Bytes of all values of a net, in float64, that a capture compares, of two samples at least: more prove nothing new."""
FEWEST = 2
"""Samples that a net is captured on at least, if there are so many: a squeeze of one would take the batch away."""
PRECISION = 1e-3
"""Difference between the module's answers in its own precision and in float64, relative to the largest, that is told."""
RATES = ((0.3, 1.0), (0.5, 4.0), (0.5, 32.0))
"""Random events that a capture is compared on: share of ones and their size; the later ones where a layer stayed silent."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A net whose layout is known: traced on the example, and on events until every layer has fired."""

    module: nn.Module
    layout: Layout
    traced: Traced
    more: tuple[Traced, ...]
    notes: tuple[str, ...]
    losses: tuple[str, ...]
    """What the module itself, run as it is, does otherwise."""
    example: Tensor
    """All samples of the example, (T, B, ...); those that it was traced on are the first."""


def open_door(module: nn.Module, example: Tensor, name: str, layout: str | None = None) -> Opened:
    """Record a net on an example, in the layout that is given or found first.

    Raises:
        UnsupportedNodeError: It holds something without a meaning in NIR, in every layout.
        ImportingError: It refuses the example.
    """
    return next(openings(module, example, name, layout))


def openings(module: nn.Module, example: Tensor, name: str, layout: str | None = None) -> Iterator[Opened]:
    """Record a net on an example in each layout that may be meant.

    That is the first that fits; if no neuron says where it has its axis of time, the others, too.

    Raises:
        UnsupportedNodeError: It holds something without a meaning in NIR, in every layout.
        ImportingError: It refuses the example.
    """
    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedNodeError(
            "a TorchScript module: what it calls cannot be followed",
            where=name,
            help="give the nn.Module it was made from",
        )
    refuse_unknown(module, name)
    module = settled(module, name)
    errors: list[SpikewrightError] = []
    found = 0
    squeezed = _squeezed(module, len(example))
    for candidate in _candidates(module, example, layout, name, squeezed is not None):
        try:
            seen, first = _recorded(module, example, candidate, name, squeezed)
            if candidate == "B" and layout is None and not first.timed:
                raise LayoutRefused("no axis of time", where=name, help=_LAYOUT_HELP)
            opened = _opened(module, seen, candidate, name, first, squeezed)
            opened = replace(opened, example=_arranged(example, candidate, first))
        except LayoutError as error:
            errors.append(LayoutRefused(f"layout {candidate}: {error}", where=name, help=_LAYOUT_HELP))
        except SpikewrightError as error:
            errors.append(error)
        else:
            found += 1
            yield opened
            if not first.guessed:
                return
    if not found:
        raise best(errors)


_LAYOUT_HELP = (
    "give the layout of the example (--layout, layout=): TB for (T, B, ...), BT for (B, T, ...), B for a frame that the net "
    "repeats, N for (B T, ...) of sinabs' *Squeeze layers, S for (T, B, ...) of a net that takes one step a call"
)


def best(errors: Sequence[SpikewrightError]) -> SpikewrightError:
    """Return the error that says most: not of a layout that does not fit, and as far into the net as may be."""
    return max(errors, key=lambda e: (not isinstance(e, LayoutRefused), getattr(e, "progress", 0)))


def ambiguous(fitting: Sequence[Opened], example: Tensor, name: str) -> ImportingError:
    """Make the error for a net that computes the same as its capture in more than one layout."""
    return ImportingError(
        f"an example of shape {tuple(example.shape)} fits the layouts {' and '.join(o.layout for o in fitting)} alike, "
        "and no neuron of the net says where time is",
        where=name,
        help=_LAYOUT_HELP,
    )


def _candidates(
    module: nn.Module, example: Tensor, layout: str | None, name: str, squeezed: bool
) -> tuple[Layout, ...]:
    whole = example.ndim >= 3
    if layout is None:
        fits = {"TB": whole, "BT": whole, "S": whole and _stepwise(module), "B": True, "N": squeezed}
        return tuple(c for c in LAYOUTS if fits[c])
    if layout not in LAYOUTS:
        raise ImportingError(f"layout {layout!r}; there are {', '.join(LAYOUTS)}", where=name, help=_LAYOUT_HELP)
    if layout == "N" and not squeezed:
        raise ImportingError(
            f"layout N, and no module that says a batch_size or num_timesteps which divides {len(example)}",
            where=name,
            help=_LAYOUT_HELP,
        )
    return (layout,)


def _stepwise(module: nn.Module) -> bool:
    """Whether a neuron of the net takes one step a call."""
    rows = ((part, row_of(part)) for part in module.modules())
    return any(row is not None and row.axis(part) == -1 for part, row in rows)


def _squeezed(module: nn.Module, frames: int) -> tuple[int, int] | None:
    """Return (B, T) as a module says them that takes (B T, ...); None: none does, or they do not fit."""
    for part in module.modules():
        for attribute in ("batch_size", "num_timesteps"):
            n = getattr(part, attribute, None)
            if type(part).__name__.endswith("Squeeze") and isinstance(n, int) and n > 0 and frames % n == 0:
                return (n, frames // n) if attribute == "batch_size" else (frames // n, n)
    return None


def _axes(example: Tensor, layout: Layout, squeezed: tuple[int, int] | None = None) -> tuple[Axes, Atom, Atom | None]:
    if layout == "N":
        assert squeezed is not None
        batch, steps = Atom(squeezed[0], "B"), Atom(squeezed[1], "T")
        return ((batch, steps), *((Atom(n),) for n in example.shape[1:])), batch, steps
    layout = "TB" if layout == "S" else layout
    lead = {"TB": 2, "BT": 2, "B": 1}[layout]
    batch = Atom(example.shape[layout.index("B")], "B")
    over = Atom(example.shape[layout.index("T")], "T") if "T" in layout else None
    named = {"T": over, "B": batch}
    features = tuple((Atom(n),) for n in example.shape[lead:])
    return (*((cast(Atom, named[c]),) for c in layout), *features), batch, over


def _recorded(
    module: nn.Module, example: Tensor, layout: Layout, name: str, squeezed: tuple[int, int] | None
) -> tuple[Tensor, Recording]:
    """Record a net on as many samples of its example as ``CAPTURED_BYTES`` allow; return them, and the recording."""
    axis = {"TB": 1, "S": 1, "BT": 0, "B": 0}.get(layout, 0)
    samples, steps = example.shape[axis], example.shape[1 - axis]
    fewest = FEWEST + (steps == FEWEST)  # T and B that are alike cannot be told apart
    if layout == "N" or samples <= fewest:  # a net that says its batch itself takes no other
        seen = example.double()
        return seen, _record(module, seen, layout, name, squeezed)
    seen = example.narrow(axis, 0, fewest).double()
    try:
        found = _record(module, seen, layout, name)
    except UnsupportedNodeError:
        raise
    except ImportingError:  # it may be made for the whole example's number of samples
        count = samples
    else:
        each = 8 * sum(prod(kept.shape) for kept in found.values.values()) // fewest
        count = min(samples, CAPTURED_BYTES // max(each, 1))
        count += count == steps
    if count > fewest:
        seen = example.narrow(axis, 0, min(count, samples)).double()
        found = _record(module, seen, layout, name)
    return seen, found


def _arranged(example: Tensor, layout: Layout, recording: Recording) -> Tensor:
    """Return all samples of an example as the captured net takes them, (T, B, ...)."""
    match layout:
        case "TB" | "S":
            return example
        case "BT":
            return example.transpose(0, 1)
        case "B":
            return example.expand(recording.example.shape[0], *example.shape)
        case "N":
            return recording.example


def _record(
    module: nn.Module, example: Tensor, layout: Layout, name: str, squeezed: tuple[int, int] | None = None
) -> Recording:
    axes, batch, steps = _axes(example, layout, squeezed)
    net = copied(module, name).double().eval()
    for part in net.modules():
        _reset(part)
    try:
        return record(
            net, module, example.clone(), axes, batch, steps, name, call=step_by_step if layout == "S" else None
        )
    except (SpikewrightError, LayoutError, KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a user's forward can raise anything, even SystemExit
        raise ImportingError(
            f"the net refuses an example of shape {tuple(example.shape)}: {text_of(error)}",
            where=_last_line(error, name),
            help="give an example of the shape the net takes: (T, B, ...), (B, T, ...) or, repeated inside, (B, ...)",
        ) from error


def _last_line(error: BaseException, name: str) -> str:
    import traceback

    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if "/torch/" not in f.filename and "/export/foreign/" not in f.filename
    ]
    return f"{name}: {frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}" if frames else name


def settled(module: nn.Module, name: str) -> nn.Module:
    """Return a net whose weights are what forward computes with: those of ``torch.nn.utils``' hooks are old until it runs.

    Raises:
        ImportingError: It cannot be copied.
    """
    computed = (SpectralNorm, WeightNorm, BasePruningMethod)
    hooks = [
        (path, key)
        for path, part in module.named_modules()
        for key, hook in part._forward_pre_hooks.items()
        if isinstance(hook, computed)
    ]
    if not hooks:
        return module
    made = copied(module, name)
    for path, key in hooks:
        part = made.get_submodule(path)
        part._forward_pre_hooks.pop(key).remove(part)  # type: ignore[attr-defined]  # one of ``computed``
    return made


def copied(module: nn.Module, name: str) -> nn.Module:
    """Return a copy of a net that may be run; states of earlier runs, which torch refuses to copy, are left behind.

    Raises:
        ImportingError: It cannot be copied.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in _tensors(vars(part)):
            if value.requires_grad and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    last = BaseException()
    for way in (
        copy.deepcopy,
        _field_by_field,
    ):  # a class's own __deepcopy__ may fail: that of sinabs' recurrent layers does
        try:
            return way(module, dict(memo))
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # a user's class can raise anything
            last = error
    raise ImportingError(
        f"the net cannot be copied: {text_of(last)}",
        where=name,
        help="make it copyable: copy.deepcopy(net)",
    ) from last


def _field_by_field(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Return a copy made without the classes' own ``__deepcopy__``, children first."""
    for part in reversed(list(module.modules())):
        made = type(part).__new__(type(part))
        made.__dict__ = copy.deepcopy(vars(part), memo)
        memo[id(part)] = made
    found: nn.Module = memo[id(module)]
    return found


def _tensors(value: Any, depth: int = 0) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if depth > 2:
        return []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [t for part in parts for t in _tensors(part, depth + 1)]


def _reset(module: nn.Module) -> None:
    """Set a stateful module back, as every framework names it."""
    for name in ("reset", "reset_states", "reset_mem"):
        method = getattr(module, name, None)
        if callable(method) and not isinstance(module, nn.modules.batchnorm._BatchNorm):
            try:
                method()
            except TypeError:  # one that takes arguments is another thing
                continue
            return


def _opened(
    module: nn.Module, example: Tensor, layout: Layout, name: str, first: Recording, squeezed: tuple[int, int] | None
) -> Opened:
    recordings, losses = [first], _against_itself(module, example, first.answer, name, layout)
    generator = torch.Generator().manual_seed(0)
    for rate, size in RATES:
        quiet = _silent(recordings)
        if len(recordings) > 1 and not quiet:
            break
        events = (torch.rand(example.shape, generator=generator) < rate).double() * size
        again = _record(module, events, layout, name, squeezed)
        _same(first, again, name)
        recordings.append(again)
    losses += _against_itself(module, events, again.answer, name, layout)
    notes = list(first.notes)
    if layout != "TB":
        notes.append(SAID[layout].format(T=first.example.shape[0]))
    quiet = _silent(recordings)
    if quiet:
        notes.append(f"never fired in the comparison, on the example or on random events: {', '.join(quiet)}")
    traced = [Traced(tuple(r.graph.nodes), r.modules, r.values, r.example) for r in recordings]
    return Opened(
        _Modules(first.modules),
        layout,
        traced[0],
        tuple(traced[1:]),
        tuple(notes),
        tuple(dict.fromkeys(losses)),
        example,
    )


def step_by_step(net: nn.Module, x: Tensor) -> Tensor:
    """Return the first thing a net answers with at every step, (T, ...)."""
    return torch.stack([next(y for y in pytree.tree_leaves(net(a)) if isinstance(y, Tensor)) for a in x])


def _against_itself(module: nn.Module, x: Tensor, expected: Tensor, name: str, layout: Layout) -> list[str]:
    """Return what the user's module, in its own precision and without being recorded, answers otherwise; none: nothing."""
    net = copied(module, name).eval()
    for part in net.modules():
        _reset(part)
    own = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    run = partial(step_by_step, net) if layout == "S" else net
    try:
        with torch.no_grad():
            answers = [y for y in pytree.tree_leaves(run(x.to(own))) if isinstance(y, Tensor)]
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a user's forward can raise anything
        return [f"the module cannot be run as it is, in {_dtype(own)} on the CPU ({text_of(error)[:120]})"]
    found, wanted = answers[0].double(), expected.double()
    if found.shape != wanted.shape:
        return [f"the module, run as it is, answers with shape {tuple(found.shape)}, in float64 {tuple(wanted.shape)}"]
    unlike = float((found - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))
    if not unlike > PRECISION:
        return []
    return [
        f"in {_dtype(own)} the module's answers differ by {unlike:.2g} of the largest from those in float64, captured"
    ]


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _silent(recordings: Sequence[Recording]) -> list[str]:
    fired = [[bool(r.values[n].any()) for n in r.neurons] for r in recordings]
    return [str(n.target) for i, n in enumerate(recordings[0].neurons) if not any(f[i] for f in fired)]


def _same(first: Recording, again: Recording, name: str) -> None:
    constants = len(first.constants) == len(again.constants) and all(
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(first.constants, again.constants, strict=True)
    )
    if first.text() != again.text() or not constants:
        raise UnsupportedNodeError(
            "forward does something else on other data of the same shape",
            where=name,
            help="write forward without branches on values, and without constants taken from them",
        )


class _Modules(nn.Module):
    """The leaf modules of a recording by the name they are called by."""

    def __init__(self, found: dict[str, nn.Module]) -> None:
        super().__init__()
        self.found = found

    def get_submodule(self, target: str) -> nn.Module:
        """Return a leaf."""
        return self.found[target]
