"""Trace a module with torch.fx: the sequence of leaf modules and ops it calls, with their values on an example."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from spikewright.export.torch_to_nir.attention import is_block
from spikewright.hw_sim.errors import SpikewrightError
from spikewright.models.attention.gates import FixedTimesteps
from spikewright.models.layers import MeanOverTime
from spikewright.models.neurons import Neuron
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError

LEAVES = (
    *(nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d),
    *(nn.Flatten, nn.Dropout, nn.Dropout2d, nn.Identity, nn.ReLU, Neuron, FixedTimesteps, MeanOverTime),
)
"""Modules taken whole; any subclass too (the golden check finds one that computes something else)."""


@dataclass(frozen=True, eq=False)
class Traced:
    """A traced module: its fx nodes in order, the leaf modules by name, every node's value on the example, float64."""

    nodes: tuple[fx.Node, ...]
    modules: Mapping[str, nn.Module]
    values: Mapping[fx.Node, Tensor]
    example: Tensor

    @property
    def steps(self) -> int:
        """T."""
        return int(self.example.shape[0])

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Return the shape of a node's value, T and B left out."""
        return tuple(self.values[node].shape[2:])


class _Tracer(fx.Tracer):
    record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Take supported modules, attention blocks and all of torch.nn whole."""
        return isinstance(m, LEAVES) or is_block(m) or super().is_leaf_module(m, module_qualified_name)


class _Recorder(fx.Interpreter):
    """Run the traced graph and keep every value; a layer that refuses its input becomes an error that names it."""

    def __init__(self, module: fx.GraphModule, name: str) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.name = name
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Evaluate one node."""
        try:
            value = super().run_node(n)
        except SpikewrightError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            operand = next((self.values[a] for a in n.all_input_nodes), None)
            shape = tuple(operand.shape) if isinstance(operand, Tensor) else None
            raise ImportingError(
                f"{n.target} refuses its input of shape {shape}: {str(error).splitlines()[0]}",
                where=place(n, self.name),
                help="give an example of the shape the net takes, (T, B, ...), and layers of spikewright.models.layers",
            ) from error
        self.values[n] = value
        return value


def trace(module: nn.Module, example: Tensor, name: str) -> Traced:
    """Trace a module and run it on an example.

    Raises:
        UnsupportedNodeError: Its forward depends on values, or cannot be traced otherwise.
        ImportingError: A layer refuses its input.
    """
    try:
        graph = _Tracer().trace(module)
    except Exception as error:  # a user's forward can raise anything when its input is a stand-in
        raise UnsupportedNodeError(
            f"forward cannot be traced: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            where=_last_line(error, name),
            help="write forward without loops over T and without branches on values; "
            "use spikewright.models.neurons.LIF for neurons and spikewright.models.layers for (T, B, ...)",
        ) from error
    inputs = [n for n in graph.nodes if n.op == "placeholder"]
    if len(inputs) != 1:
        raise UnsupportedNodeError(
            f"forward takes {len(inputs)} inputs ({', '.join(str(n.target) for n in inputs)}); one is supported",
            where=name,
            help="wrap the net in a module whose forward takes x alone",
        )
    recorder = _Recorder(fx.GraphModule(module, graph), name)
    recorder.run(example, enable_io_processing=False)
    modules = {str(n.target): module.get_submodule(str(n.target)) for n in graph.nodes if n.op == "call_module"}
    return Traced(tuple(graph.nodes), modules, recorder.values, example)


def place(node: fx.Node, name: str) -> str:
    """Say where a node stands: the module, or the source line that made it."""
    if node.op == "call_module":
        return f"{name}: module {str(node.target)!r}"
    lines = re.findall(r'File "([^"]+)", line (\d+), in \S+\n\s*(.*)', node.stack_trace or "")
    own = [line for line in lines if "/torch/" not in line[0]]
    return f"{name}: {own[-1][0]}:{own[-1][1]}: {own[-1][2]}" if own else f"{name}: op {node.name!r}"


def _last_line(error: BaseException, name: str) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename]
    own = [f for f in frames if f.filename != __file__]
    return f"{name}: {own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else name
