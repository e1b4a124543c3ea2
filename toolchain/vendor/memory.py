"""Memory used per core, as the board's probe ``total_mpds`` shows it: used = 0.1536 + words / 20,480.

words = AxonIn + Neurons + Synapses + AxonMap + AxonMem of the core itself: a list's last core holds fewer neurons and less, a
grid's part-filled last core is allocated whole. Both constants were fitted on the 74 bars of one net (PilotNet LIF).

Two groups of bars stand off the printed tables, for reasons that are inferred: the table prints a grid's AxonMap as a mean,
where every core is allocated the full one (last convolution: 2048 words, 1280 printed, 3.75 points); and the input layer's
bar has no room for the 731 words of AxonMem printed for it (3.3 points). AxonMem of a layer that feeds a convolution is not
known and counts as nothing here; the other printed rows have 9 to 93 words of it, at most 0.5 points of a core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from spikewright.toolchain.errors import MappingError
from spikewright.toolchain.vendor.layers import Layer
from spikewright.toolchain.vendor.numbers import BASE_FRACTION, CORE_WORDS, REGISTERS, Compiler
from spikewright.toolchain.vendor.partition import Cut, Slice, partition
from spikewright.toolchain.vendor.table import Cells, grid_core, list_core

COUNTED = tuple(name for name in REGISTERS if name != "NeuronGr")


@dataclass(frozen=True)
class Bar:
    """One core.

    Args:
        layer: What sits on it.
        neurons: How many of it.
        words: Words the net takes, known part.
        complete: Whether every column was known.
    """

    layer: str
    neurons: int
    words: int
    complete: bool

    @property
    def used(self) -> float:
        """Share of the core's memory in use: 0.1536 before the net, and its words of 64 bits over 20,480."""
        return BASE_FRACTION + self.words / CORE_WORDS


def memory_bars(
    layers: Sequence[Layer], compiler: Compiler, *, axon_mem: Mapping[str, int] | None = None
) -> tuple[Bar, ...]:
    """Return the bars of a net, core 0 = the first of the last layer, as the board numbers them.

    Args:
        layers: First layer first.
        compiler: Which version cut them.
        axon_mem: Words of AxonMem by layer, where a printed table says them.

    Raises:
        MappingError: A layer does not converge.
    """
    bars: list[Bar] = []
    for layer in reversed(layers):
        cut = partition(layer, compiler)
        if cut.cores is None:
            raise did_not_converge(layer, cut)
        for neurons, cells in _cores(layer, cut, compiler):
            if axon_mem is not None and layer.name in axon_mem:
                cells["AxonMem"] = axon_mem[layer.name]
            counted = [cells[name] for name in COUNTED]
            bars.append(Bar(layer.name, neurons, sum(words or 0 for words in counted), None not in counted))
    return tuple(bars)


def did_not_converge(layer: Layer, cut: Cut) -> MappingError:
    """Return the refusal of a layer."""
    last, passes = cut.passes[-1], len(cut.passes)
    return MappingError(
        f"the vendor's partition does not converge: {last.register} {last.allocation}/{last.limit} in pass {passes}, and "
        "nothing is left to divide",
        where=f"layer {layer.name!r}",
        help="make the layer's input or its grid smaller, or use another mapping strategy",
    )


def _cores(layer: Layer, cut: Cut, compiler: Compiler) -> list[tuple[int, Cells]]:
    """Return neurons and cells of every core of a layer."""
    if cut.chunk is not None:
        spans = [(k, min(k + cut.chunk, layer.size)) for k in range(0, layer.size, cut.chunk)]
        return [(last - first, list_core(layer, first, last)) for first, last in spans]
    assert cut.slice is not None
    return [(n, grid_core(layer, cut.slice, compiler)) for n in slice_neurons(layer.grid_shape, cut.slice)]


def slice_neurons(shape: tuple[int, int, int], core: Slice) -> list[int]:
    """Return the neurons on each core of a grid, x fastest, then y, then channels.

    ``shape`` is (C, H, W), a slice (x, y, c); returns (cores,).
    """
    c, h, w = shape
    x, y, k = core
    starts = [(a, b, d) for a in range(0, c, k) for b in range(0, h, y) for d in range(0, w, x)]
    return [prod((min(k, c - a), min(y, h - b), min(x, w - d))) for a, b, d in starts]
