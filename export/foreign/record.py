"""Run a module for real and note what it does to its input: calls of leaf modules and ops, in any layout of the axes.

Python runs as it is (loops over T, containers, einops), so nothing has to be traceable. Time is folded: an op done at step
0, 1, ... T - 1 on the same signal is one node over (T, B, ...). What cannot be followed is opaque, and refused only if the
answer needs it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from spikewright.export.foreign.axes import Atom, Axes, Group, LayoutError
from spikewright.export.foreign.registry import Row, row_of
from spikewright.export.foreign.values import Later, Opaque, Tracked, Value
from spikewright.export.torch_to_nir.trace import LARGE, Kept
from spikewright.hw_sim.errors import SpikewrightError
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError

WIDE = torch.float64
NARROW = (torch.float32, torch.float16, torch.bfloat16)
ON_VALUES = frozenset(
    {"item", "__bool__", "__int__", "__float__", "__index__", "tolist", "numpy", "__array__", "equal", "allclose"}
)


@dataclass
class Recording:
    """What a module did: a canonical net over (T, B, ...) as nodes, its leaf modules, and what is kept of the values."""

    graph: fx.Graph
    modules: dict[str, nn.Module]
    values: dict[fx.Node, Kept]
    example: Tensor
    neurons: tuple[fx.Node, ...]
    constants: tuple[Tensor, ...]
    notes: tuple[str, ...]
    timed: bool
    """Whether time is seen at all."""
    guessed: bool
    """Whether the axis of time of a neuron was taken as it came: another layout may fit as well."""
    answer: Tensor
    """What the net answered, as it gave it."""

    def text(self) -> str:
        """Return the sequence of calls, to compare two recordings."""
        return "\n".join(f"{n.op} {n.target} {n.args}" for n in self.graph.nodes)


class Recorder(TorchFunctionMode):
    """The state of one recording; ``calls`` and ``rules`` say what each leaf and op means."""

    def __init__(
        self, net: nn.Module, original: nn.Module, x: Tensor, axes: Axes, batch: Atom, steps: Atom | None, where: str
    ) -> None:
        super().__init__()
        self.net, self.original, self.where = net, original, where
        self.names = {id(m): name for name, m in reversed(list(net.named_modules()))}
        self.batch, self.steps = batch, steps
        self.graph = fx.Graph()
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.modules: dict[str, nn.Module] = {}
        self.pieces: dict[fx.Node, Tensor | dict[int, Tensor] | Later] = {}
        self.features: dict[fx.Node, Group] = {}
        self.tracked: dict[int, Tracked] = {}
        self.aliases: dict[tuple[int, tuple[int, ...]], Opaque] = {}
        self.keep: list[Any] = []
        self.rolled: dict[tuple[Any, ...], fx.Node] = {}
        self.counts: dict[str, int] = {}
        self.functions: dict[tuple[Any, ...], str] = {}
        self.claims: list[tuple[int, str]] = []
        self.buffers: dict[int, dict[int, Value]] = {}
        self.constants: list[Tensor] = []
        self.neurons: list[fx.Node] = []
        self.notes: list[str] = []
        self.guessed = False
        self.scopes: list[str] = [""]
        self.depth = 0
        features = tuple(a for group in axes for a in group if not a.name)
        node = self.graph.placeholder("x")
        self.shapes[node] = tuple(a.size for a in features)
        value = Value(node, axes, features, "whole" if steps is not None else "still")
        self.store(value, x)
        self.track(x, value)

    # ---------------------------------------------------------------------------------------- torch's side
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one op, in float64, and note it."""
        from spikewright.export.foreign import rules

        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", str(func))
        if name == "__get__":
            name = getattr(getattr(func, "__self__", None), "__name__", name)
        if name in ("float", "half", "bfloat16"):
            func, name = Tensor.double, "double"
        if name == "cuda":
            func, name = Tensor.cpu, "cpu"
        args, kwargs = pytree.tree_map(_widened, args), {k: _widened(v) for k, v in kwargs.items()}
        if self.depth:
            return func(*args, **kwargs)
        operands = [a for a in pytree.tree_leaves((args, kwargs)) if isinstance(a, Tensor)]
        found = [self.lookup(a) for a in operands]
        if name in ON_VALUES and any(isinstance(f, Value | Opaque) for f in found):
            raise UnsupportedNodeError(
                f"forward depends on values: it takes {name.strip('_')} of a signal",
                where=self.place(),
                help="write forward without branches on values",
            )
        before = [f for f in found if f is not None]
        result = func(*args, **kwargs)
        if before or (name == "__setitem__" and found):
            rules.note(self, name, func, args, kwargs, result)
        return result

    def lookup(self, x: Any) -> Tracked | None:
        """Return what is known of a tensor; None: it does not come from the input."""
        if not isinstance(x, Tensor):
            return None
        found = self.tracked.get(id(x))
        if found is None and x.numel() and not isinstance(x, nn.Parameter):
            found = self.aliases.get((x.data_ptr(), tuple(x.shape)))
        return found

    def track(self, x: Tensor, value: Tracked) -> None:
        """Say what a tensor is; a large one may go when the net lets it go, and is forgotten then."""
        if isinstance(value, Opaque) or x.numel() <= LARGE:
            self.keep.append(x)
        else:
            weakref.finalize(x, self.tracked.pop, id(x), None).atexit = False
        self.tracked[id(x)] = value
        if isinstance(value, Opaque) and x.numel():
            self.aliases[(x.data_ptr(), tuple(x.shape))] = value

    def blind(self, result: Any, reason: str, help: str = "", owner: str = "") -> None:
        """Make every tensor of a result opaque."""
        for x in pytree.tree_leaves(result):
            if isinstance(x, Tensor):
                self.track(x, Opaque(reason, self.place(), owner))

    # ---------------------------------------------------------------------------------------- modules
    def leaf(self, module: nn.Module) -> Row | nn.Module | None:
        """Return the row of a foreign leaf, the module itself if it is one of ours or torch's, or None: look into it."""
        from spikewright.export.foreign import calls

        if calls.is_own(module):
            return module
        row = row_of(module)
        if row is not None:
            return row
        return module if calls.is_torch_leaf(module) else None

    def call(self, orig: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Call a module: a leaf as one op, another by looking into it."""
        from spikewright.export.foreign import calls

        if self.depth:
            return orig(module, *args, **kwargs)
        kind = self.leaf(module)
        name = self.names.get(id(module), type(module).__name__)
        if kind is not None and not name:  # the net is this one leaf
            name = type(module).__name__
        self.scopes.append(name)
        try:
            if kind is None:
                return orig(module, *args, **kwargs)
            self.depth += 1
            try:
                result = orig(module, *args, **kwargs)
            except SpikewrightError:
                raise
            except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
                shape = next((tuple(a.shape) for a in args if isinstance(a, Tensor)), None)
                raise ImportingError(
                    f"{name} refuses its input of shape {shape}: {(str(error).splitlines() or [''])[0]}",
                    where=f"{self.where}: module {name!r}",
                    help="give an example of the shape the net takes, and layers that take it",
                ) from error
            finally:
                self.depth -= 1
            calls.note(self, name, module, kind, args, kwargs, result)
            return result
        finally:
            self.scopes.pop()

    # ---------------------------------------------------------------------------------------- nodes
    def place(self) -> str:
        """Say where the net is: the module, and the user's line."""
        scope = f"module {self.scopes[-1]!r}" if self.scopes[-1] else ""
        file, line, text = self.line()
        return f"{self.where}: " + (
            ": ".join(part for part in (scope, f"{file}:{line}: {text}" if file else "") if part) or "forward"
        )

    def line(self) -> tuple[str, int, str]:
        """Return file, line and text of the innermost frame of the user's code; nothing where a layer is called by ours."""
        import linecache

        frame = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if "/spikewright/toolchain/" in file:
                break
            if "/torch/" not in file and "/spikewright/export/" not in file:
                return file, frame.f_lineno, linecache.getline(file, frame.f_lineno).strip()
            frame = frame.f_back  # type: ignore[assignment]
        return "", 0, ""

    def refuse(self, what: str, help: str, where: str = "") -> UnsupportedNodeError:
        """Make the error for something without a meaning."""
        return UnsupportedNodeError(what, where=where or self.place(), help=help)

    def emit(
        self,
        kind: str,
        target: Any,
        operands: Sequence[fx.Node],
        rest: tuple[Any, ...],
        shape: tuple[int, ...],
        time: Any,
        scope: str | None = None,
    ) -> fx.Node:
        """Return the node of an op over all steps; done at one step, or on a still value, it is one node for all of them."""
        key = (kind, target if kind == "call_module" else id(target), tuple(operands), rest)
        if time != "whole" and key in self.rolled:
            return self.rolled[key]
        node = self.graph.create_node(kind, target, (*operands, *rest))
        scope = self.scopes[-1] if scope is None else scope
        node.meta["nn_module_stack"] = {scope: None}
        file, line, text = self.line()
        node.stack_trace = f'File "{file}", line {line}, in forward\n    {text}'
        self.shapes[node] = shape
        self.rolled[key] = node
        return node

    def atoms(self, node: fx.Node, sizes: Sequence[int]) -> Group:
        """Return the feature atoms of a node's output, the same at every step."""
        return self.features.setdefault(node, tuple(Atom(n) for n in sizes))

    def store(self, value: Value, y: Tensor) -> None:
        """Keep what a node gives, as it comes: whole, per step, or still."""
        node, shape = value.node, self.shapes[value.node]
        if value.time == "whole":
            assert self.steps is not None
            lead: Group = (self.steps, self.batch)
            self.pieces[node] = (
                value.arranged(y.detach(), lead).reshape(self.steps.size, self.batch.size, *shape).clone()
            )
        else:
            piece = value.arranged(y.detach(), (self.batch,)).reshape(self.batch.size, *shape).clone()
            if value.time == "still":
                self.pieces[node] = piece[None]
            elif isinstance(value.time, int):
                store = self.pieces.setdefault(node, {})
                assert isinstance(store, dict)
                store.setdefault(value.time, piece)

    def later(self, node: fx.Node, rule: Later) -> None:
        """Compute what a node gives from the others."""
        self.pieces.setdefault(node, rule)

    def time_atom(self, n: int) -> Atom:
        """Return the atom T, made at the first repetition.

        Raises:
            LayoutError: n is not T.
        """
        if self.steps is None:
            self.steps = Atom(n, "T")
        if self.steps.size != n:
            raise LayoutError(f"{n} steps, where T = {self.steps.size}")
        return self.steps

    def fresh(self, name: str) -> str:
        """Return a module path that is not taken."""
        number, found = 2, name
        while found in self.modules or any(
            found == other for other in self.names.values() if other and other != self.scopes[-1]
        ):
            found, number = f"{name}_{number}", number + 1
        return found

    def original_of(self, name: str, module: nn.Module) -> nn.Module:
        """Return the user's own module of a path, with its parameters in their precision."""
        if module is self.net:
            return self.original
        try:
            return self.original.get_submodule(name)
        except AttributeError:
            return module

    # ---------------------------------------------------------------------------------------- the end
    def finish(self, result: Any) -> Recording:
        """Make the answer the output, fix T, and return the recording."""
        from spikewright.export.foreign.answer import output

        output(self, result)
        T = self.fixed_steps()
        used: set[fx.Node] = set()
        for node in reversed(list(self.graph.nodes)):
            if node.op in ("output", "placeholder") or any(user in used for user in node.users):
                used.add(node)
        for node in reversed(list(self.graph.nodes)):
            if node not in used:
                self.graph.erase_node(node)
        values: dict[fx.Node, Tensor] = {}
        for node in self.graph.nodes:
            values[node] = self.value(node, values, T)
        first = next(iter(self.graph.nodes))
        modules = {name: m for name, m in self.modules.items()}
        self.keep.clear()
        self.pieces.clear()
        example = values[first]
        return Recording(
            self.graph,
            modules,
            {node: Kept.of(values.pop(node)) for node in list(values)},
            example,
            tuple(n for n in dict.fromkeys(self.neurons) if n in used),
            tuple(self.constants),
            tuple(dict.fromkeys(self.notes)),
            self.steps is not None or bool(self.counts),
            self.guessed,
            next(x for x in pytree.tree_leaves(result) if isinstance(x, Tensor)).detach().clone(),
        )

    def fixed_steps(self) -> int:
        """Return T, once every claim about it agrees."""
        counts = {count for count in self.counts.values() if count}
        T = self.steps.size if self.steps is not None else max(counts, default=1)
        for count in counts - {T}:
            name = next(n for n, c in self.counts.items() if c == count)
            raise self.refuse(
                f"is called at {count} steps, where T = {T}",
                "call every neuron once a step",
                f"{self.where}: module {name!r}",
            )
        for count, place in self.claims:
            if count != T:
                raise self.refuse(f"adds {count} steps, where T = {T}", "take the mean over all steps", place)
        return T

    def value(self, node: fx.Node, values: dict[fx.Node, Tensor], T: int) -> Tensor:
        """Return what a node gives, (T, B, ...)."""
        piece = self.pieces.get(node)
        if isinstance(piece, Tensor):
            return piece.expand(T, *piece.shape[1:]) if piece.shape[0] == 1 and T > 1 and node.op != "output" else piece
        if isinstance(piece, dict):
            missing = sorted(set(range(T)) - set(piece))
            if missing:
                raise self.refuse(
                    f"is not computed at step {missing[0]} of {T}",
                    "compute every layer at every step",
                    f"{self.where}: {node.target}",
                )
            return torch.stack([piece[t] for t in range(T)])
        assert callable(piece), node
        return piece(values)


def _widened(value: Any) -> Any:
    """Return float64 in the place of a narrower type, the CPU in the place of a GPU, and everything else as it is."""
    if isinstance(value, torch.dtype) and value in NARROW:
        return WIDE
    on_gpu = isinstance(value, str | torch.device) and str(value).partition(":")[0] == "cuda"
    return torch.device("cpu") if on_gpu else value


@contextmanager
def _recording(recorder: Recorder) -> Iterator[None]:
    orig, default = nn.Module.__call__, torch.get_default_dtype()

    def wrapped(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return recorder.call(orig, module, args, kwargs)

    torch.set_default_dtype(WIDE)
    nn.Module.__call__ = wrapped  # type: ignore[method-assign]
    try:
        with torch.no_grad(), recorder:
            yield
    finally:
        nn.Module.__call__ = orig  # type: ignore[method-assign]
        torch.set_default_dtype(default)


def record(
    net: nn.Module,
    original: nn.Module,
    x: Tensor,
    axes: Axes,
    batch: Atom,
    steps: Atom | None,
    where: str,
    call: Callable[[nn.Module, Tensor], Any] | None = None,
) -> Recording:
    """Record what a net (in float64, evaluation mode, state reset) does to an input.

    Args:
        net: A copy of the user's net that may be run.
        original: The user's net, whose parameters are taken in their own precision.
        x: The input as the net takes it.
        axes: Where T, B and the features stand in it.
        batch: The atom B.
        steps: The atom T; None: every step sees the same input, T is found inside.
        where: What to call the net in error messages.
        call: How the net is called on x; None: once.

    Raises:
        UnsupportedNodeError: The answer needs something without a meaning in NIR.
        LayoutError: Axes are mixed in a way that does not fit these ``axes``.
    """
    recorder = Recorder(net, original, x, axes, batch, steps, where)
    try:
        with _recording(recorder):
            result = net(x) if call is None else call(net, x)
        return recorder.finish(result)
    except (SpikewrightError, LayoutError) as error:
        error.progress = len(recorder.graph.nodes)  # type: ignore[union-attr]
        raise
