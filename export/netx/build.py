"""Layers of a ``.net`` file, one after the other -> ops of an integer graph; layer i becomes neuron op ``i.type``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from spikewright.export.netx import layers as made
from spikewright.export.netx import neurons
from spikewright.export.netx.file import Layer, NetFile
from spikewright.hw_sim import somas
from spikewright.hw_sim.fixed_point import BIAS_MANTISSA, CURRENT_SHIFT, STATE_BITS, STATE_MAX
from spikewright.hw_sim.synapses import ConvSynapses, DenseSynapses, IdentitySynapses
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, IntOutput
from spikewright.toolchain.integer import lif as plain
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op, Shape


@dataclass(frozen=True)
class Source:
    """A signal a layer reads; ``flat`` once a flatten layer stood behind it, or where the user feeds it flat."""

    name: str
    shape: Shape
    flat: bool = False


@dataclass
class Builder:
    """The net so far: its ops, what the next layer reads, what layer i sends (for concat), notes for the user."""

    payload_bits: int
    ops: list[Op] = field(default_factory=list)
    sources: tuple[Source, ...] = ()
    sent: dict[int, tuple[Source, ...]] = field(default_factory=dict)
    readout: tuple[str, float, bool] = ("spikes", 1.0, False)
    notes: list[Diagnostic] = field(default_factory=list)

    def add(self, layer: Layer) -> None:
        """Add a layer.

        Raises:
            ImportingError: Its type or a value of it has no meaning here.
        """
        if any(isinstance(op, IntNeuron) and op.block.endswith(".average") for op in self.ops):
            raise layer.error("stands behind an average layer", "an average layer is the last one: it is the read-out")
        if layer.kind not in STEPS:
            raise made.unknown(layer)
        STEPS[layer.kind](self, layer)
        self.sent[layer.index] = self.sources

    # --------------------------------------------------------------------------------------- what is read
    def start(self, shape: Shape) -> None:
        """Add the input of a net whose first layer has synapses, or whose input layer has no neurons."""
        self.ops.append(IntInput(name="input", shape=shape, soma=somas.Source(self.payload_bits)))
        self.sources = (Source("input", shape, flat=True),)

    def flat(self, layer: Layer) -> int:
        """Return how many values the layer reads."""
        for source in self.sources:
            if not source.flat:
                raise layer.error(
                    f"reads the grid {source.shape} of {source.name!r} without a flatten layer",
                    "put a flatten layer between",
                )
        return sum(prod(source.shape) for source in self.sources)

    def grid(self, layer: Layer) -> tuple[Source, ...]:
        """Return what the layer reads, all of one height and width."""
        if not self.sources:
            raise layer.error(
                "is the first layer and says no input size",
                "put an input layer in front, or call import_net(..., input_shape=(C, H, W))",
            )
        sizes = {source.shape[1:] for source in self.sources if len(source.shape) == 3}
        if len(sizes) != 1 or any(len(source.shape) != 3 for source in self.sources):
            raise layer.error(
                f"reads {', '.join(str(source.shape) for source in self.sources)}; it takes one (C, H, W) size",
                "flatten later",
            )
        return self.sources

    # -------------------------------------------------------------------------------------------- layers
    def input(self, layer: Layer) -> None:
        """Add the input; with neurons, these are driven through their bias."""
        if self.ops:
            raise layer.error("stands behind other layers", "an input layer is the first one")
        shape = layer.shape
        if "neuron" not in layer:
            self.start(shape)
            return
        encodes = neurons.sigma_delta(layer)
        bits = STATE_BITS - neurons.SPIKE_EXP - neurons.STATE_EXP - 1 if encodes else BIAS_MANTISSA[1].bit_length()
        link = IntConnection(
            name=f"{layer.name}.{'value' if encodes else 'bias'}",
            inputs=("input",),
            block=layer.name,
            synapses=IdentitySynapses(1 << neurons.SPIKE_EXP if encodes else 1),
            exponent=neurons.STATE_EXP if encodes else 0,
        )
        self.ops += [IntInput(name="input", shape=shape, soma=somas.Source(bits, signed=True)), link]
        self.fire(layer, shape, [link], neurons.soma(layer, shape, input_layer=True))

    def dense(self, layer: Layer) -> None:
        """Add a dense or recurrent layer."""
        outputs = prod(layer.shape)
        made.check_real(layer)
        if not self.sources:
            self.start((max(layer.ints("weight").size // max(outputs, 1), 1),))
        inputs = self.flat(layer)
        forward, *recurrent = made.dense(layer, inputs, outputs)
        delay = made.delays(layer, outputs, inputs)
        if delay is not None:
            self.check_delayed(
                layer, forward.exponent < 0 and bool((forward.weight % (1 << -forward.exponent)).any()), outputs, inputs
            )
        parts: list[IntConnection] = []
        for index, (source, weight) in enumerate(zip(self.sources, self.columns(forward.weight), strict=True)):
            op = IntConnection(
                name=self.link(layer, index),
                inputs=(source.name,),
                block=layer.name,
                synapses=DenseSynapses(weight),
                exponent=forward.exponent,
            )
            parts.append(made.delayed(op, self.share(delay, index)))
        for synapses in recurrent:
            op = IntConnection(
                name=f"{layer.name}.rec",
                inputs=(layer.name,),
                block=layer.name,
                synapses=DenseSynapses(synapses.weight),
                exponent=synapses.exponent,
            )
            parts.append(made.delayed(op, delay, lag=1))
        self.layer(layer, parts, (outputs,))

    def check_delayed(self, layer: Layer, shifted: bool, outputs: int, inputs: int) -> None:
        """Refuse delays that the loader cannot build, or that a shift of their sum ties together."""
        if layer.kind == "dense_rec" and outputs != inputs:
            raise layer.error(
                f"has delays on a recurrent layer of {outputs} neurons that reads {inputs}; "
                "lava-dl's loader builds these only where both are equal",
                "train the recurrent layer without delays",
            )
        if shifted:
            raise layer.error(
                "has delays, and all-negative weights that lava-dl's loader rounds after summing",
                "keep negative weights above -128",
            )

    def conv(self, layer: Layer) -> None:
        """Add a convolution, a pooling, or the transpose of one."""
        sources = self.grid(layer)
        if layer.kind == "conv" and len(sources) == 1:
            ops = [made.conv(layer, self.link(layer, 0), sources[0].name)]
        elif layer.kind == "conv":
            ops = self.split_conv(layer)
        elif layer.kind == "pool":
            ops = [made.pool(layer, self.link(layer, 0), self.single(layer).name, self.single(layer).shape[0])]
        else:
            ops = [made.transposed(layer, self.link(layer, 0), self.single(layer).name, self.single(layer).shape)]
        shape = layer.shape
        if layer.kind == "pool" and len(shape) == 3:
            ops = [made.padded_pool(layer, ops[0], self.single(layer).shape, shape)]
        delay = made.delays(layer, ops[0].synapses.weights.shape[0], 0)
        if delay is not None:
            self.note(layer, "delays", "keeps its delays, which lava-dl's own loader drops")
        self.layer(layer, [made.delayed(op, delay) for op in ops], shape)

    def split_conv(self, layer: Layer) -> list[IntConnection]:
        """Return one convolution for each joined source, over its channels."""
        whole = made.conv(layer, layer.name, "")
        conv = whole.synapses
        assert isinstance(conv, ConvSynapses)
        if conv.groups != 1:
            raise layer.error("is a grouped convolution behind a concat layer", "use groups = 1 there")
        first = 0
        found: list[IntConnection] = []
        for index, source in enumerate(self.sources):
            last = first + source.shape[0]
            part = conv.with_weights(conv.weight[:, first:last])
            found.append(replace(whole, name=self.link(layer, index), inputs=(source.name,), synapses=part))
            first = last
        if first != conv.weight.shape[1]:
            raise layer.error(
                f"'weight' is for {conv.weight.shape[1]} channels; it reads {first}", "export the net again"
            )
        return found

    def single(self, layer: Layer) -> Source:
        """Return the one signal that is read."""
        if len(self.sources) != 1:
            raise layer.error(
                "stands behind a concat layer; only dense and conv layers join signals", "put a conv layer between"
            )
        return self.sources[0]

    def flatten(self, layer: Layer) -> None:
        """Let a dense layer read a grid, in C order."""
        self.sources = tuple(Source(s.name, s.shape, flat=True) for s in self.sources)

    def average(self, layer: Layer) -> None:
        """Add a read-out: one silent neuron a group sums the group's spikes, so that its membrane is 64 * count."""
        source = self.single(layer)
        outputs = layer.shape[0]
        size = prod(source.shape)
        if any(isinstance(op, IntNeuron) and op.name == source.name and op.soma.sends != "binary" for op in self.ops):
            raise layer.error(
                "averages changes of sigma-delta neurons", "read their sums: export the layer with sigma_output"
            )
        if size % outputs:
            raise layer.error(f"has {outputs} groups of {size} neurons", "give it a divisor of the neurons")
        weight = np.repeat(np.eye(outputs, dtype=np.int64), size // outputs, axis=1)
        sums = DenseSynapses(weight)
        link = IntConnection(name=self.link(layer, 0), inputs=(source.name,), block=layer.name, synapses=sums)
        none = np.zeros(1, np.int64)
        soma = plain(decay_v=none, bias=none, threshold=np.full(1, STATE_MAX, np.int64))
        self.ops += [link, IntNeuron(name=layer.name, inputs=(link.name,), shape=(outputs,), soma=soma)]
        self.sources = (Source(layer.name, (outputs,)),)
        self.readout = ("membrane", outputs / size / (1 << CURRENT_SHIFT), False)

    def concat(self, layer: Layer) -> None:
        """Join the previous layer with earlier ones, in the order of ``layers``."""
        for index in (int(n) for n in layer.ints("layers").reshape(-1)):
            if index not in self.sent:
                raise layer.error(
                    f"joins layer {index}, which stands behind it; a recurrence is known here as dense_rec only",
                    "join earlier layers only",
                )
            if index != layer.index - 1:
                self.sources += self.sent[index]

    # -------------------------------------------------------------------------------------------- bricks
    def link(self, layer: Layer, index: int) -> str:
        """Return the name of a connection."""
        return f"{layer.name}.in" if len(self.sources) < 2 else f"{layer.name}.in{index}"

    def columns(self, weight: np.ndarray) -> list[np.ndarray]:
        """Cut a matrix into the parts that read each source."""
        return np.split(weight, np.cumsum([prod(source.shape) for source in self.sources])[:-1], axis=1)

    def share(self, delay: np.ndarray | None, index: int) -> np.ndarray | None:
        """Return the delays of one source's synapses."""
        if delay is None or delay.shape[1] == 1:
            return delay
        return self.columns(delay)[index]

    def note(self, layer: Layer, code: str, what: str) -> None:
        """Note something for the user."""
        self.notes.append(Diagnostic(f"netx-{code}", layer.where, what, severity="note"))

    def layer(self, layer: Layer, connections: list[IntConnection], shape: Shape) -> None:
        """Add a layer's connections and neurons."""
        self.ops += connections
        self.fire(layer, shape, connections, neurons.soma(layer, shape))

    def fire(self, layer: Layer, shape: Shape, connections: list[IntConnection], soma: somas.Soma) -> None:
        """Add the neurons; the next layer reads them."""
        inputs = tuple(op.name for op in connections)
        neuron = IntNeuron(name=layer.name, inputs=inputs, shape=shape, soma=soma)
        self.ops.append(neuron)
        self.sources = (Source(neuron.name, neuron.shape, flat=len(neuron.shape) == 1),)
        silent = neurons.silent(layer)
        held, scale = neurons.sigma_delta(layer), 1.0
        if held:
            scale = neurons.SDNN_STATE if silent else neurons.SDNN_MESSAGE
        self.readout = ("membrane" if silent else "spikes", scale, held)
        if isinstance(soma, somas.Lif) and soma.refractory > 1:
            after = soma.refractory - 1
            self.note(
                layer,
                "refractory",
                f"neurons are silent for {after} step{'s' * (after > 1)} behind a spike (refDelay {soma.refractory}), as on "
                "the chip; lava-dl's own loader ignores it",
            )

    def result(self, net: NetFile) -> Graph:
        """Close the graph, of no known length; its answer is a sum over the steps."""
        if not any(isinstance(op, IntNeuron) for op in self.ops):
            raise ImportingError("has no layer with neurons", where=net.layers[0].file, help="export the whole net")
        (kind, scale, held), last = self.readout, self.sources[-1].name
        self.ops.append(IntOutput(name="output", inputs=(last,), readout=kind, scale=scale, held=held))  # type: ignore[arg-type]
        return Graph(tuple(self.ops), timesteps=0, dt_s=net.dt_s)


STEPS: dict[str, Callable[[Builder, Layer], None]] = {
    "input": Builder.input,
    "dense": Builder.dense,
    "dense_rec": Builder.dense,
    **dict.fromkeys(("conv", "pool", "convT", "unpool"), Builder.conv),
    "flatten": Builder.flatten,
    "average": Builder.average,
    "concat": Builder.concat,
}
"""What each layer type adds."""
