"""Integer graph -> ``.net`` file that ``lava.lib.dl.netx.hdf5.Network`` loads with equal spikes; all else is refused by name.

The format: layers in sequence, each with one input from the layer in front and at most a one-step recurrence; CUBA neurons with
one decay and one threshold a layer, ``v > vThMant << 6``, reset to zero, ``bias << 6``; SDNN neurons with one threshold a
layer, it and biases << 12; integer weights without an exponent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import h5py
import numpy as np

from spikewright.export.netx.datasets import Values, neuron, refused, synapses
from spikewright.export.netx.neurons import SPIKE_EXP, STATE_EXP
from spikewright.hw_sim.fixed_point import DECAY_ONE
from spikewright.hw_sim.somas import Lif, SigmaDelta, Soma
from spikewright.hw_sim.synapses import IdentitySynapses
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, IntOutput, kind_of, separated, source_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.nirx import hdf5
from spikewright.toolchain.ops import Op, Shape
from spikewright.toolchain.output_files import write_file
from spikewright.toolchain.shapes import shapes


def export_net(graph: Graph, path: str | Path) -> None:
    """Write a file.

    Args:
        graph: An integer graph, aligned or not.
        path: Where to.

    Raises:
        UnsupportedNodeError: An op, or a value of it, that the format cannot hold; names it and the reason.
    """
    layers = plan(graph)

    def fill(file: h5py.File) -> None:
        for index, values in enumerate(layers):
            group = file.create_group(f"layer/{index}")
            for key, value in values.items():
                if key == "type":
                    group.create_dataset("type", (1,), "S10", [value.encode("ascii")])
                else:
                    group.create_dataset(key, data=value)
        step_ms = round(graph.dt_s * 1e3, 9)
        step: int | float = int(step_ms) if step_ms.is_integer() else step_ms
        file.create_dataset("simulation/Ts", data=step)
        file.create_dataset("simulation/tSample", data=graph.timesteps * step)

    write_file(Path(path), hdf5.image(fill))


def loading(graph: Graph) -> str:
    """Return how to load the file so that every sample gives the spikes of the graph."""
    source = source_of(graph)
    if any(isinstance(op, IntNeuron) and isinstance(op.soma, SigmaDelta) for op in graph):
        return (
            "load with lava.lib.dl.netx.hdf5.Network('net.net'), one sample a run: it does not reset sigma-delta neurons, and "
            "lets their biases act before the first input has come through, so that roundings fall otherwise"
        )
    options = [f"reset_interval={graph.timesteps}"]
    late = any(isinstance(op, IntConnection) and op.last for op in graph)
    driven = _driven(graph, source)
    if not driven:
        options.append("reset_offset=1")
    if not driven and source.soma.sends != "binary":
        options.append(f"input_message_bits={source.soma.payload_bits + source.soma.signed}")
    text = f"load with lava.lib.dl.netx.hdf5.Network('net.net', {', '.join(options)})"
    return f"{text}, one sample a run (its delays reach beyond a reset)" if late else text


def plan(graph: Graph) -> list[Values]:
    """Return the datasets of every layer.

    Raises:
        UnsupportedNodeError: As ``export_net``.
    """
    return _Planner(separated(graph)).run()


def _driven(graph: Graph, source: IntInput) -> bool:
    """Say whether input neurons hold it: as the bias of one identity of weight 1 and no memory, or to encode its changes."""
    readers = [op for op in graph.readers[source.name] if isinstance(op, IntConnection)]
    if len(readers) != 1 or not isinstance(one := readers[0].synapses, IdentitySynapses) or not source.soma.signed:
        return False
    link, target = readers[0], graph.readers[readers[0].name][0]
    if link.lag or not isinstance(target, IntNeuron) or len(target.inputs) > 1:
        return False
    match target.soma:
        case Lif() as soma:
            alone = bool((soma.decay_u == DECAY_ONE).all()) and not soma.bias.any()
            return (one.weight, link.exponent) == (1, 0) and alone
        case SigmaDelta(sums=False):
            return (one.weight, link.exponent) == (1 << SPIKE_EXP, STATE_EXP)
        case _:
            return False


@dataclass
class _Planner:
    """Walks the neurons in order; ``last`` is the op the next layer must read."""

    graph: Graph
    layers: list[Values] = field(default_factory=list)
    last: Op | None = None

    def run(self) -> list[Values]:
        self.shapes = shapes(self.graph)
        for op in self.graph:
            match op:
                case IntInput():
                    self.input(op)
                case IntNeuron(soma=(Lif(on_membrane=0, pools=False) | SigmaDelta()) as soma):
                    self.layer(op, soma)
                case IntConnection() if not op.synapses.gate:
                    continue  # taken up by the neuron that reads it
                case IntOutput():
                    if self.last is None or op.inputs != (self.last.name,):
                        raise refused(op, f"reads {op.inputs[0]!r}; in the netx format the last layer is the answer")
                case _:
                    raise refused(op, f"is {_article(op)}; netx has no layer for it")
        return self.layers

    def input(self, op: IntInput) -> None:
        self.last = op
        if not _driven(self.graph, op):
            self.layers.append({"type": "input", "shape": np.array(op.shape)})

    def layer(self, op: IntNeuron, soma: Soma) -> None:
        """Add the layer of a neuron op."""
        if soma.ports:
            raise refused(op, f"has {soma.ports} gates; netx has no gain port")
        connections = [c for name in op.inputs if isinstance(c := self.graph[name], IntConnection)]
        forward = [c for c in connections if c.inputs[0] != op.name]
        recurrent = [c for c in connections if c.inputs[0] == op.name]
        for c in forward:
            if self.last is None or c.inputs[0] != self.last.name:
                before = "nothing" if self.last is None else repr(self.last.name)
                raise refused(
                    op,
                    f"reads {c.inputs[0]!r}; netx layers are in sequence, and {before} is in front",
                )
        if not forward:
            raise refused(op, "has no input; netx layers read the one in front")
        values = self.values(op, forward, recurrent)
        self.layers.append(values | neuron(self.graph, op, soma))
        self.last = op

    def values(self, op: IntNeuron, forward: list[IntConnection], recurrent: list[IntConnection]) -> Values:
        """Return the datasets of the synapses of a layer."""
        if isinstance(self.last, IntInput) and _driven(self.graph, self.last):
            if isinstance(op.soma, SigmaDelta):
                return {"type": "input", "shape": np.array(op.shape)}
            return {"type": "input", "shape": np.array(op.shape), "weight": np.float32(1), "bias": np.float32(0)}
        assert self.last is not None
        source: Shape = self.shapes[self.last.name]
        return synapses(op, forward, recurrent, source, self.flatten)

    def flatten(self) -> None:
        """Put a flatten layer between a grid and a dense layer."""
        assert self.last is not None
        shape = self.shapes[self.last.name]
        if len(shape) > 1:
            self.layers.append({"type": "flatten", "shape": np.array((1, 1, prod(shape)))})


def _article(op: Op) -> str:
    kind = kind_of(op)
    return f"an {kind}" if kind[0] in "AEIOU" else f"a {kind}"
