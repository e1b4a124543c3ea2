"""Partition: "divide in half": how the compiler cuts a layer into cores, pass by pass.

A list of n neurons starts with chunk = 4095. Each pass: allocation = words of synapses of min(chunk, n) targets; while it is
over the limit, chunk <- floor(chunk / r), r = ceil(allocation / limit). Cores = ceil(n / chunk), full ones and a rest. All
chunks and logged allocations of PilotNet FC100, Oxford, MNIST and QUBO come out; below one neuron the partition does not
converge. (The log of FC100's last pass prints a ratio of 1 where 2 was used.)

A grid (C, H, W), compiler of 2022: only x is cut, into the largest power of two <= 4095 / (H C) (6 of 6 rows of PilotNet).
Compiler of 2023, as its ten rows of one net (YOLO-KP) say: x is first rounded down to a power of two, channels are halved
until the synapses fit, then x and y in turn until the neurons fit: x first, or y first where channels were cut (that order is
fitted on the four rows with a channel cut, three of them of one geometry). No row shows an odd y halved (here: rounded down),
a grid that would fit one core whole, or a grid of 2022 whose synapses do not fit (here: does not converge, as only x is cut).

Not explained: a public report of "Partitioning could not converge" (sgluege/sdnn_loihi2_compiler_test, lava-nc 0.8.0). By these
rules its widest layer, 11,352 -> 1,000, converges on 500 cores, which are more than one chip has.
"""

from __future__ import annotations

from dataclasses import dataclass

from spikewright.toolchain.vendor.layers import Layer
from spikewright.toolchain.vendor.lists import Conv
from spikewright.toolchain.vendor.numbers import NEURONS, Compiler

Slice = tuple[int, int, int]
"""x columns, y rows, c channels of a full core."""


@dataclass(frozen=True)
class Pass:
    """One pass that found a register too small.

    Args:
        tried: Neurons of the chunk, or (x, y, c) of the slice.
        register: The column of the table that is over.
        allocation: Words (synapses) or neurons it would take.
        limit: What the register holds.
        ratio: By what the chunk is divided next; 2 for slices.
    """

    tried: int | Slice
    register: str
    allocation: int
    limit: int
    ratio: int

    def __str__(self) -> str:
        tried = f"chunk {self.tried}" if isinstance(self.tried, int) else "slice " + "x".join(map(str, self.tried))
        return f"Violation: {tried}: {self.register} {self.allocation}/{self.limit}, divide by {self.ratio}"


@dataclass(frozen=True)
class Cut:
    """What became of one layer.

    Args:
        chunk: Neurons of a full core of a list; None for a grid.
        slice: (x, y, c) of a full core of a grid; None for a list.
        cores: How many, or None where the partition does not converge.
        passes: The violations on the way.
    """

    chunk: int | None
    slice: Slice | None
    cores: int | None
    passes: tuple[Pass, ...]

    @property
    def converged(self) -> bool:
        """Whether a cut was found."""
        return self.cores is not None

    @property
    def chunks(self) -> tuple[int | Slice, ...]:
        """All chunks (or slices) that were tried, the one that was kept last."""
        kept = self.chunk if self.slice is None else self.slice
        return (*(p.tried for p in self.passes), *(() if kept is None else (kept,)))

    def log(self) -> str:
        """Return the passes as text, one a line."""
        end = (
            f"converged after iteration={len(self.passes) + 1}" if self.converged else "Partitioning could not converge"
        )
        return "\n".join([*map(str, self.passes), end])


def partition(layer: Layer, compiler: Compiler) -> Cut:
    """Return how a layer is cut."""
    if layer.grid is None:
        return _list(layer, compiler.synapse_words)
    return _columns(layer, compiler) if compiler.cuts == "x" else _slices(layer, compiler)


def _list(layer: Layer, limit: int) -> Cut:
    chunk, passes = NEURONS, []
    while (words := layer.fullest(chunk)) > limit:
        ratio = -(-words // limit)
        passes.append(Pass(chunk, "Synapses", words, limit, ratio))
        chunk //= ratio
        if chunk == 0:
            return Cut(None, None, None, tuple(passes))
    return Cut(chunk, None, -(-layer.size // chunk), tuple(passes))


def _columns(layer: Layer, compiler: Compiler) -> Cut:
    c, h, w = layer.grid_shape
    words = _synapses(layer, c)
    room = NEURONS // (h * c)
    if room == 0:
        return Cut(None, None, None, (Pass((1, h, c), "Neurons", h * c, NEURONS, 2),))
    x = min(_power_below(room), w)
    if words > compiler.synapse_words:
        return Cut(None, None, None, (Pass((x, h, c), "Synapses", words, compiler.synapse_words, 2),))
    return Cut(None, (x, h, c), -(-w // x), ())


def _slices(layer: Layer, compiler: Compiler) -> Cut:
    channels, h, w = layer.grid_shape
    x, y, c = _power_below(w), h, channels
    passes = []
    while (words := _synapses(layer, c)) > compiler.synapse_words:
        passes.append(Pass((x, y, c), "Synapses", words, compiler.synapse_words, 2))
        if c == 1:
            return Cut(None, None, None, tuple(passes))
        c //= 2
    turn = "x" if c == channels else "y"
    while x * y * c > NEURONS:
        passes.append(Pass((x, y, c), "Neurons", x * y * c, NEURONS, 2))
        if x == y == 1:
            c //= 2
        elif (turn == "x" and x > 1) or y == 1:
            x, turn = x // 2, "y"
        else:
            y, turn = y // 2, "x"
    return Cut(None, (x, y, c), -(-w // x) * -(-h // y) * -(-channels // c), tuple(passes))


def _synapses(layer: Layer, channels: int) -> int:
    return sum(link.words(channels) for link in layer.connections if isinstance(link, Conv))


def _power_below(n: int) -> int:
    """Return the largest power of two <= n, n >= 1."""
    return 1 << (n.bit_length() - 1)
