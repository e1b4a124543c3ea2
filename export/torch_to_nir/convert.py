"""From traced calls to NIR nodes and edges: sums are edges, dropout and identity vanish, the mean over T is the read-out."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable

import nir
import numpy as np
import torch
from torch import fx, nn

from spikewright.export.foreign.node import NodeModule
from spikewright.export.torch_to_nir.layers import layer
from spikewright.export.torch_to_nir.trace import Traced, place
from spikewright.models.layers import MeanOverTime
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.nirx.registry import EXTENSION_VERSION

Sources = tuple[str, ...]
"""NIR nodes whose sum a value is."""

ADDS: tuple[object, ...] = (operator.add, operator.iadd, torch.add, "add", "add_")
FLATTENS: tuple[object, ...] = (torch.flatten, "flatten")
MEANS: tuple[object, ...] = (torch.mean, "mean")
NOTHING: tuple[object, ...] = ("contiguous", "clone", "detach")
PASSED = (nn.Dropout, nn.Dropout2d, nn.Identity)
"""What does nothing in evaluation mode."""


def convert(module: nn.Module, traced: Traced, *, dt_s: float, where: str) -> tuple[nir.NIRGraph, dict[fx.Node, str]]:
    """Convert a traced module; return the graph, and which node of it each call of a module became.

    Args:
        module: The module with its parameters in their own precision.
        traced: Its trace.
        dt_s: Length of one timestep in s.
        where: What to call the net in error messages.

    Raises:
        UnsupportedNodeError: A call without a meaning in NIR.
    """
    conversion = _Conversion(module, traced, dt_s, where)
    return conversion.run(), conversion.names


class _Conversion:
    def __init__(self, module: nn.Module, traced: Traced, dt_s: float, where: str) -> None:
        self.module, self.traced, self.dt_s, self.where = module, traced, dt_s, where
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.sources: dict[fx.Node, Sources] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.names: dict[fx.Node, str] = {}

    def run(self) -> nir.NIRGraph:
        for node in self.traced.nodes:
            match node.op:
                case "placeholder":
                    shape = tuple(self.traced.example.shape[2:])
                    self.sources[node] = self.emit("input", nir.Input(np.array(shape)), (), shape)
                case "output":
                    self.output(node)
                case "call_module":
                    self.call_module(node)
                case "call_function" | "call_method":
                    self.call(node)
                case _:
                    raise self.refuse(node, f"reads the attribute {node.target!r}", "put it into a supported module")
        metadata = {
            "dt": float(self.dt_s),
            "timesteps": self.traced.steps,
            "readout": "mean",
            "extension_version": EXTENSION_VERSION,
        }
        return nir.NIRGraph(self.nodes, self.edges, metadata=metadata, type_check=False)

    # ---------------------------------------------------------------------------------------- calls
    def call_module(self, node: fx.Node) -> None:
        operand = self.operand(node)
        module = self.module.get_submodule(str(node.target))
        if isinstance(module, MeanOverTime):
            self.read_out(node, operand)
        elif isinstance(module, PASSED):
            self.sources[node] = self.sources[operand]
        elif isinstance(module, nn.Flatten):
            self.flatten(node, operand, str(node.target))
        else:
            self.check_time(node)
            shape = self.traced.shape(operand)
            made = self.traced.shape(node)
            out = layer(module, shape, made, self.traced.steps, self.dt_s, place(node, self.where))
            self.sources[node] = self.emit(str(node.target), out, self.sources[operand], made)
            loop = module.loop if isinstance(module, NodeModule) else None
            if loop is not None:
                (name,) = self.sources[node]
                (back,) = self.emit(f"{name}.loop", loop(shape), (name,), shape)
                self.edges.append((back, name))
            self.names[node] = self.sources[node][0]

    def call(self, node: fx.Node) -> None:
        rules: tuple[tuple[tuple[object, ...], Callable[[fx.Node], None]], ...] = (
            (ADDS, self.add),
            (FLATTENS, lambda n: self.flatten(n, self.operand(n), _scoped(n, "flatten"))),
            (MEANS, self.mean),
            (NOTHING, lambda n: self.sources.update({n: self.sources[self.operand(n)]})),
        )
        for targets, rule in rules:
            if node.target in targets:
                return rule(node)
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        raise self.refuse(
            node,
            f"the op {name!r} has no meaning in NIR",
            "supported are +, flatten(2), mean over H and W, mean(0) at the end, and the modules of help(capture)",
        )

    def add(self, node: fx.Node) -> None:
        left, right = node.args[0], node.args[1]
        if not (isinstance(left, fx.Node) and isinstance(right, fx.Node)) or node.kwargs.get("alpha", 1) != 1:
            raise self.refuse(node, "a sum with a constant or a factor", "put the constant into the bias of a layer")
        if self.traced.shape(left) != self.traced.shape(right):
            raise self.refuse(
                node,
                f"a sum of shapes {self.traced.shape(left)} and {self.traced.shape(right)}",
                "bring both branches to one shape",
            )
        both = self.sources[left] + self.sources[right]
        if len(node.users) > 1:  # a sum that several read gets a node of its own, a Scale by one
            shape = self.traced.shape(node)
            both = self.emit(_scoped(node, "add"), nir.Scale(np.ones(shape, np.float32)), both, shape)
        self.sources[node] = both

    def flatten(self, node: fx.Node, operand: fx.Node, name: str) -> None:
        before, after = self.traced.shape(operand), tuple(self.traced.values[node].shape)
        lead = tuple(self.traced.example.shape[:2])
        if after != (*lead, int(np.prod(before))):
            raise self.refuse(
                node,
                f"flattens {(*lead, *before)} to {after}; T and B stay axes of their own",
                "use spikewright.models.layers.Flatten() or x.flatten(2)",
            )
        flat = nir.Flatten({"input": np.array(before)}, start_dim=0, end_dim=-1)
        self.sources[node] = self.emit(name, flat, self.sources[operand], after[2:])

    def mean(self, node: fx.Node) -> None:
        operand = self.operand(node)
        value = self.traced.values[operand]
        dims, keep = _mean_arguments(node, value.ndim)
        if dims == {0} and not keep:
            return self.read_out(node, operand)
        if dims != {3, 4} or value.ndim != 5:
            raise self.refuse(
                node,
                f"a mean over axes {sorted(dims)} of {tuple(value.shape)}",
                "take means over H and W, x.mean((-2, -1)), or over T at the end, x.mean(0)",
            )
        shape = self.traced.shape(operand)
        size = np.array(shape[1:])
        name, one = self.fresh(_scoped(node, "mean")), (shape[0], 1, 1)
        pool = nir.AvgPool2d(size, size, np.zeros(2, int))
        self.sources[node] = self.emit(name, pool, self.sources[operand], one)
        if not keep:
            flat = nir.Flatten({"input": np.array(one)}, start_dim=0, end_dim=-1)
            self.sources[node] = self.emit(f"{name}.flatten", flat, (name,), one[:1])

    def read_out(self, node: fx.Node, operand: fx.Node) -> None:
        if any(user.op != "output" for user in node.users):
            raise self.refuse(
                node,
                "a mean over T that is not the last op",
                "apply the layers to every step and take the mean at the end: fc(x).mean(0)",
            )
        self.check_time(operand)
        self.sources[node] = self.sources[operand]

    def output(self, node: fx.Node) -> None:
        result = node.args[0]
        if not isinstance(result, fx.Node):
            raise self.refuse(node, f"forward returns a {type(result).__name__}", "return one tensor")
        if result.target in MEANS or isinstance(self.traced.modules.get(str(result.target)), MeanOverTime):
            result = result.all_input_nodes[0] if self.traced.values[result].ndim < 3 else result
        self.check_time(result)
        shape = self.traced.shape(result)
        self.emit("output", nir.Output(np.array(shape)), self.sources[result], shape)

    # --------------------------------------------------------------------------------------- pieces
    def operand(self, node: fx.Node) -> fx.Node:
        first = node.args[0] if node.args else next(iter(node.kwargs.values()), None)
        if not isinstance(first, fx.Node) or first not in self.sources:
            raise self.refuse(node, f"reads {first!r}", "give it the signal of a supported op")
        return first

    def emit(self, name: str, node: nir.NIRNode, sources: Iterable[str], shape: tuple[int, ...]) -> Sources:
        """Add a node fed by the sum of ``sources``; one that stands n times goes through a Scale by n."""
        name = self.fresh(name)
        self.nodes[name], self.shapes[name] = node, shape
        for source, count in Counter(sources).items():
            if count > 1:
                times = np.full(self.shapes[source], count, np.float32)
                source = self.emit(f"{source}.times{count}", nir.Scale(times), (source,), self.shapes[source])[0]
            self.edges.append((source, name))
        return (name,)

    def fresh(self, name: str) -> str:
        """Return a name that no node has."""
        number, found = 2, name
        while found in self.nodes:
            found, number = f"{name}_{number}", number + 1
        return found

    def check_time(self, node: fx.Node) -> None:
        """Refuse a value that has lost its axes T and B."""
        found, lead = tuple(self.traced.values[node].shape), tuple(self.traced.example.shape[:2])
        if found[:2] != lead or len(found) < 3:
            raise self.refuse(
                node,
                f"gives shape {found}; every signal is (T, B, ...) = {(*lead, '...')}",
                "keep T and B as first axes",
            )

    def refuse(self, node: fx.Node, what: str, help: str) -> UnsupportedNodeError:
        """Make the error for a call without a meaning."""
        return UnsupportedNodeError(what, where=place(node, self.where), help=help)


def _scoped(node: fx.Node, name: str) -> str:
    """Name an op after the module whose forward calls it."""
    stack = list(node.meta.get("nn_module_stack", {}))
    return f"{stack[-1]}.{name}" if stack and stack[-1] else name


def _mean_arguments(node: fx.Node, rank: int) -> tuple[set[int], bool]:
    dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else tuple(range(rank)))
    keep = node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False)
    several = dims if isinstance(dims, tuple | list) else (dims,)
    return {int(str(d)) % rank for d in several}, bool(keep)
