"""The synapse kinds, one class each: their integers, what they deliver, their legal ranges, who reaches whom.

``deliver`` is plain numpy and is what the interpreter runs; the kernels of ``compiled`` stand apart and are tested against it.
Messages and sums are flat, (..., n) in C order; the shapes of both ends come with the call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.fixed_point import WEIGHT_BITS
from spikewright.hw_sim.linear import BLOCK, Pair, conv2d, exact, planar, transposed_conv2d
from spikewright.hw_sim.ranges import Wrong, ranked, sizes, within
from spikewright.hw_sim.text import shown

if TYPE_CHECKING:
    from spikewright.hw_sim.chip import CoreLimits

IntArray = NDArray[np.int64]
Counts = NDArray[np.int32]
Shape = tuple[int, ...]
_Seen = dict[tuple[object, ...], tuple[Counts, Counts, Counts]]
"""What parts of a target reach, by their form: source neurons relative to the part's, synapses, entries walked."""
Entries = tuple[IntArray, IntArray, IntArray]
"""Non-zero synapses one by one: target neuron, source neuron, weight."""
WEIGHT_HELP = "scale and round the weights, and move the factor into the exponent"


@dataclass(frozen=True, eq=False)
class Reached:
    """Which source neurons reach which parts of a target, as entries: part k has entries ``start[k] : start[k + 1]``.

    Args:
        start: (parts + 1,).
        source: (E,) source neuron, ascending in each part.
        synapses: (E,) its non-zero synapses there, at least 1.
        walked: (E,) stored entries one of its messages walks, zeros included.
        kernel: (parts,) entries of a shared kernel that each part holds.
    """

    start: IntArray
    source: Counts
    synapses: Counts
    walked: Counts
    kernel: IntArray

    @property
    def part(self) -> IntArray:
        """(E,) the part of each entry."""
        return np.repeat(np.arange(self.start.size - 1), np.diff(self.start))

    @cached_property
    def sums(self) -> tuple[IntArray, IntArray]:
        """Of each source neuron up to the last one with an entry: its synapses on all parts, and its parts."""
        synapses = np.bincount(self.source, weights=self.synapses).astype(np.int64)
        return synapses, np.bincount(self.source)

    def table(self, sources: int) -> IntArray:
        """Return the synapses as a table (n_source, parts)."""
        found = np.zeros((sources, self.start.size - 1), np.int64)
        found[self.source, self.part] = self.synapses
        return found


class MisfitError(ValueError):
    """Synapses that do not fit a population; ``found`` is its shape, ``allowed`` what they take."""

    def __init__(self, found: object, allowed: object, help: str) -> None:
        super().__init__(f"reads shape {found}; it takes {allowed}")
        self.found, self.allowed, self.help = found, allowed, help


@dataclass(frozen=True, eq=False)
class Synapses:
    """A synapse kind; a subclass is a frozen dataclass of its integers.

    Class attributes:
        gate: Carries gate levels to a port, not a current.
        storage: How a core stores it: ``listed`` (dense or sparse, whichever is smaller there), ``conv``, or ``gate``.
    """

    gate: ClassVar[bool] = False
    storage: ClassVar[Literal["listed", "conv", "gate"]] = "listed"

    @property
    def weights(self) -> IntArray:
        """All weights, of any shape."""
        return np.asarray(vars(self)["weight"], np.int64)

    def with_weights(self, weights: IntArray) -> Self:
        """Return the same synapses with other weights, of the shape of ``weights``."""
        return replace(self, weight=weights)  # type: ignore[call-arg]  # every kind with weights has the field

    def malformed(self) -> Iterator[Wrong]:
        """Yield what is wrong with the form of their fields, which everything else relies on."""
        yield from ()

    def shape(self, source: Shape) -> Shape:
        """Return the shape of what they deliver.

        Raises:
            MisfitError: They do not take such a source.
        """
        raise NotImplementedError

    def misfit(self, source: Shape, target: Shape) -> str:
        """Return in words why they do not fit between two populations, or nothing; a flat target may stand for a grid."""
        try:
            made = self.shape(source)
        except MisfitError as error:
            return f"synapses of shape {self.weights.shape}: a source {error.found}; they take {error.allowed}"
        fits = made == target or (prod(made) == prod(target) and 1 in (len(made), len(target)))
        return "" if fits else f"synapses deliver {made} to {target}"

    def deliver(self, x: IntArray, source: Shape, target: Shape) -> IntArray:
        """Return W x, (..., n_target), for messages ``x`` (..., n_source)."""
        raise NotImplementedError

    def entries(self, source: Shape, target: Shape) -> Entries:
        """Return every non-zero synapse.

        Returns three arrays (synapses,): flat target, flat source, weight.

        Raises:
            NotImplementedError: The kind does not say.
        """
        raise NotImplementedError

    def heaviest(self) -> int:
        """Return the largest sum of absolute weights, (n_target,) maximised: what one target neuron has."""
        raise NotImplementedError

    def worst_sum(self, payload: int) -> int:
        """Return the largest |W x| for messages up to ``payload``. Over all of (n_target,), in units of the weight."""
        return self.heaviest() * payload

    def targets(self, neuron: int, source: Shape, target: Shape) -> IntArray:
        """Return the target neurons, (n,), that a source neuron reaches by a non-zero synapse."""
        rows, columns, _ = self.entries(source, target)
        reached: IntArray = rows[columns == neuron]
        return reached

    def fan_in(self, source: Shape, target: Shape) -> IntArray:
        """Return the number of non-zero synapses of every target neuron, (n_target,)."""
        return np.bincount(self.entries(source, target)[0], minlength=prod(target))

    def fan_out(self, source: Shape, target: Shape, part: IntArray, parts: int) -> Reached:
        """Count synapses by source neuron and by part of the target's neurons.

        Args:
            source: Shape of the source.
            target: Shape of the target.
            part: (n_target,) the part of every target neuron, 0 .. parts - 1.
            parts: How many.
        """
        rows, columns, _ = self.entries(source, target)
        keys, counts = np.unique(part[rows] * prod(source) + columns, return_counts=True)
        return _listed(keys // max(prod(source), 1), keys % max(prod(source), 1), counts, parts)

    def wrong(self, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal: b-bit weights are 0 .. 2^b - 1, -(2^b - 1) .. 0, or mixed: even, -2^b .. 2^b - 2.

        Without a chip, only their size counts: odd weights of both signs can still be two projections, one for each sign.
        """
        w = np.asarray(vars(self)["weight"])
        top = 1 << (WEIGHT_BITS if core is None else core.weight_bits)
        if core is None or w.dtype.kind != "i":
            yield from within("weight", w, -top, top - 1, "quantize again, and use the exponent")
            return
        low, high = int(w.min(initial=0)), int(w.max(initial=0))
        if low >= 0 or high <= 0:
            if max(-low, high) >= top:
                yield Wrong(f"weights {low} .. {high}; allowed -{top - 1} .. 0 or 0 .. {top - 1}", WEIGHT_HELP)
        elif low < -top or high > top - 2 or bool((w % 2).any()):
            odd = "" if not bool((w % 2).any()) else ", some odd"
            yield Wrong(f"mixed weights {low} .. {high}{odd}; allowed even, -{top} .. {top - 2}", WEIGHT_HELP)


@dataclass(frozen=True, eq=False)
class DenseSynapses(Synapses):
    """``weight`` (n_target, n_source), integers as the chip uses them."""

    weight: IntArray

    def malformed(self) -> Iterator[Wrong]:
        """Yield what is wrong with the form of the weight. Its form is (n_target, n_source)."""
        yield from ranked("weight", self.weight, 2)

    def shape(self, source: Shape) -> Shape:
        """Return (n_target,)."""
        out, inner = np.shape(self.weight)
        if prod(source) != inner:
            raise MisfitError(source, f"{inner} values", "flatten the signal in front, or fix the weight's columns")
        return (int(out),)

    def misfit(self, source: Shape, target: Shape) -> str:
        """Return in words why they do not fit between two populations, or nothing."""
        found, wanted = tuple(self.weight.shape), (prod(target), prod(source))
        return "" if found == wanted else f"synapses of shape {found} do not fit the populations; expected {wanted}"

    def deliver(self, x: IntArray, source: Shape, target: Shape) -> IntArray:
        """Return W x in the fastest type that holds every sum exactly. From (..., n_source) to (..., n_target)."""
        kind = exact(x, self.weight)
        found: IntArray = (x.astype(kind) @ self.weight.T.astype(kind)).astype(np.int64)
        return found

    def entries(self, source: Shape, target: Shape) -> Entries:
        """Return every non-zero synapse. Returns three arrays (synapses,): target, source, weight."""
        rows, columns = np.nonzero(self.weight)
        return rows, columns, self.weight[rows, columns]

    def heaviest(self) -> int:
        """Return the largest sum of absolute weights in a row. That is of one target of (n_target,)."""
        return int(np.abs(self.weight).sum(axis=1).max(initial=0))

    def targets(self, neuron: int, source: Shape, target: Shape) -> IntArray:
        """Return the non-zero rows of a column. Returns (n,), ascending."""
        return np.flatnonzero(self.weight[:, neuron])

    def fan_in(self, source: Shape, target: Shape) -> IntArray:
        """Count the non-zero weights of each row. Returns (n_target,)."""
        counts: IntArray = np.count_nonzero(self.weight, axis=1)
        return counts

    def fan_out(self, source: Shape, target: Shape, part: IntArray, parts: int) -> Reached:
        """Count the non-zero weights of each column by part of the rows."""
        rows = np.argsort(part, kind="stable")
        counts = np.zeros((parts, prod(source)), np.int32)
        here, first = np.unique(part[rows], return_index=True)
        if rows.size:
            counts[here] = np.add.reduceat((self.weight != 0)[rows], first, axis=0, dtype=np.int32)
        of_part, column = np.nonzero(counts)
        return _listed(of_part, column, counts[of_part, column], parts)

    def __str__(self) -> str:
        return f"dense {self.weight.shape[0]}x{self.weight.shape[1]} {shown(self.weight)}"


@dataclass(frozen=True, eq=False)
class ConvSynapses(Synapses):
    """Shared kernel: ``weight`` (Co, Ci // groups, kh, kw), torch cross-correlation; source (Ci, H, W), target (Co, H', W').

    n' = (n + 2 padding - dilation (k - 1) - 1) // stride + 1

    A source (Ci, L) is a map of height 1; with a kernel of one row its target is (Co, L').
    """

    storage: ClassVar[Literal["listed", "conv", "gate"]] = "conv"
    weight: IntArray
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def malformed(self) -> Iterator[Wrong]:
        """Yield what is wrong with the form of the kernel and its steps. Its form is (Co, Ci // groups, kh, kw)."""
        yield from ranked("weight", self.weight, 4)
        for name, low in (("stride", 1), ("padding", 0), ("dilation", 1)):
            yield from sizes(name, getattr(self, name), low)
        yield from sizes("groups", (self.groups,), 1)

    def shape(self, source: Shape) -> Shape:
        """Return (Co, H', W'), or (Co, L')."""
        co, per_group, *kernel = (int(n) for n in np.shape(self.weight))
        channels = per_group * self.groups
        flat = len(source) == 2 and (kernel[0], self.stride[0], self.padding[0]) == (1, 1, 0)
        if not (len(source) == 3 or flat) or source[0] != channels or co % self.groups:
            raise MisfitError(source, f"({channels}, H, W)", "fix the channels of the weight, or groups")
        size = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(planar(source)[1:], kernel, self.stride, self.padding, self.dilation, strict=True)
        ]
        if min(size) < 1:
            least = f"at least a {kernel[0]} x {kernel[1]} window"
            raise MisfitError(source, least, "pad more, or use a smaller kernel")
        return (co, size[1]) if flat else (co, *size)

    def deliver(self, x: IntArray, source: Shape, target: Shape) -> IntArray:
        """Return W * x in the fastest type that holds every sum exactly.

        From (..., n_source) to (..., n_target), both flat in C order of (C, H, W).
        """
        kind = exact(x, self.weight)
        frames = x.reshape((-1, *planar(source))).astype(kind)
        out = conv2d(frames, self.weight.astype(kind), self.stride, self.padding, self.dilation, self.groups)
        found: IntArray = out.astype(np.int64).reshape((*x.shape[:-1], -1))
        return found

    def entries(self, source: Shape, target: Shape) -> Entries:
        """Return every non-zero synapse: tap (i, j) of output (y, x) reads input (y s - p + i d, x s - p + j d).

        Returns three arrays (synapses,): target, source, weight; neurons flat, in C order of (C, H, W).
        """
        source, target = planar(source), planar(target)
        co, per_group, kh, kw = self.weight.shape
        o, c, i, j, y, x = (
            axis.reshape(-1) for axis in np.indices((co, per_group, kh, kw, *target[1:]), dtype=np.int64)
        )
        row = y * self.stride[0] - self.padding[0] + i * self.dilation[0]
        column = x * self.stride[1] - self.padding[1] + j * self.dilation[1]
        channel = o // (co // self.groups) * per_group + c
        weight = self.weight[o, c, i, j]
        real = (row >= 0) & (row < source[1]) & (column >= 0) & (column < source[2]) & (weight != 0)
        rows = (o * target[1] + y) * target[2] + x
        columns = (channel * source[1] + row) * source[2] + column
        return rows[real], columns[real], weight[real]

    def heaviest(self) -> int:
        """Return the largest sum of absolute weights of one output channel.

        The kernel is (Co, Ci // groups, kh, kw); the sum is over all but Co.
        """
        return int(np.abs(self.weight).reshape(self.weight.shape[0], -1).sum(axis=1).max(initial=0))

    def targets(self, neuron: int, source: Shape, target: Shape) -> IntArray:
        """Find the windows that cover a pixel: y = (pixel + padding - k dilation) / stride, where that is whole and inside.

        Returns (n,), flat in C order of the target's (C, H, W).
        """
        source, target = planar(source), planar(target)
        channel, *pixel = np.unravel_index(neuron, source)
        out, per_group, *kernel = self.weight.shape
        group, inner = divmod(int(channel), per_group)
        members = np.arange(out).reshape(self.groups, -1)[group]
        taps, places = [], []
        for k in (0, 1):
            tap = np.arange(kernel[k])
            shifted = int(pixel[k]) + self.padding[k] - tap * self.dilation[k]
            place = shifted // self.stride[k]
            hit = (shifted % self.stride[k] == 0) & (place >= 0) & (place < target[1 + k])
            taps.append(tap[hit])
            places.append(place[hit])
        reaching = self.weight[members, inner][:, taps[0][:, None], taps[1]] != 0
        i, j, member = np.nonzero(reaching.transpose(1, 2, 0))
        reached: IntArray = (members[member] * target[1] + places[0][i]) * target[2] + places[1][j]
        return reached

    def fan_in(self, source: Shape, target: Shape) -> IntArray:
        """Let every source fire once through weights of one: what arrives is the fan-in. Returns (n_target,)."""
        ones = replace(self, weight=(self.weight != 0).astype(np.int64))
        return ones.deliver(np.ones(prod(source), np.int64), source, target)

    def fan_out(self, source: Shape, target: Shape, part: IntArray, parts: int) -> Reached:
        """Count by taps: a source pixel under tap k of a window reaches, of each part, its channels with a non-zero weight.

        counts[c, pixel] = sum over taps k of (weights of c at k that are not zero) x (windows with tap k on the pixel)
        """
        source, target = planar(source), planar(target)
        order = np.argsort(part, kind="stable")
        start, kernel = np.searchsorted(part[order], np.arange(parts + 1)), np.zeros(parts, np.int64)
        each: list[tuple[IntArray | Counts, Counts, Counts]] = []
        plane, taken = prod(target[1:]), _Taken(self.weight != 0, self.groups)
        seen: _Seen = {}
        for k in range(parts):
            neurons = order[start[k] : start[k + 1]]
            channels, first = np.unique(neurons // plane, return_index=True)
            kernel[k] = channels.size * prod(self.weight.shape[1:])
            alike: dict[bytes, list[int]] = {}
            for c, places in zip(channels, np.split(neurons % plane, first[1:]), strict=False):
                alike.setdefault(places.tobytes(), []).append(int(c))
            each.append(self._reached(source, target, alike, taken, seen))
        sizes = [found[0].size for found in each]
        joined = [np.concatenate([found[i] for found in each]) for i in range(3)]
        return Reached(
            np.concatenate([[0], np.cumsum(sizes)]), joined[0].astype(np.int32), joined[1], joined[2], kernel
        )

    def _reached(
        self, source: Shape, target: Shape, alike: Mapping[bytes, list[int]], taken: _Taken, seen: _Seen
    ) -> tuple[IntArray | Counts, Counts, Counts]:
        """Return (source neuron, synapses, entries walked) of one part: by flat places, the channels it has there."""
        if len(alike) == 1:
            ((places, channels),) = alike.items()
            return self._alone(source, _grid(places, target), tuple(channels), taken, seen)
        counts, walked = (np.zeros(source, np.int32) for _ in range(2))
        for places, channels in alike.items():
            grid = _grid(places, target)
            box = _box(grid, self, source)
            found = self._count(taken.of(channels), grid, box)
            counts[:, box[0], box[1]] += found[0]
            walked[:, box[0], box[1]] += found[1]
        flat = np.flatnonzero(counts)
        return flat, counts.ravel()[flat], walked.ravel()[flat]

    def _alone(
        self, source: Shape, grid: NDArray[np.bool_], channels: tuple[int, ...], taken: _Taken, seen: _Seen
    ) -> tuple[Counts, Counts, Counts]:
        """Do as ``_reached`` for channels with the same places; parts that are moved copies of each other are counted once."""
        box = _box(grid, self, source)
        held = [np.flatnonzero(grid.any(axis=1 - axis)) for axis in (0, 1)]
        window = grid[tuple(slice(here[0], here[-1] + 1) for here in held)]
        moved = [int(h[0]) * step - at.start for h, step, at in zip(held, self.stride, box, strict=True)]
        size = [at.stop - at.start for at in box]
        key = (channels, window.shape, window.tobytes(), *moved, *size)
        if key not in seen:
            counts, walked = self._count(taken.of(channels), grid, box)
            c, y, x = np.nonzero(counts)
            first = ((c * source[1] + y) * source[2] + x).astype(np.int32)
            seen[key] = first, counts[c, y, x], walked[c, y, x]
        first, synapses, entries = seen[key]
        return first + (box[0].start * source[2] + box[1].start), synapses, entries

    def _count(
        self, taken: tuple[NDArray[np.float32], Counts], places: NDArray[np.bool_], box: tuple[slice, slice]
    ) -> tuple[Counts, Counts]:
        """Return what source neurons (Ci, box) reach of the channels ``taken`` at ``places`` (H', W'), and the taps stored."""
        real, stored = taken
        size = (box[0].stop, box[1].stop)
        inside = (box[0].stop - box[0].start, box[1].stop - box[1].start)
        if np.count_nonzero(places) == 1:
            return self._seen(taken, places, box)
        covered = np.zeros((real.shape[1], *inside), np.float32)
        under = []
        for axis in (0, 1):
            held = np.flatnonzero(places.any(axis=1 - axis))
            found = (_under(tap, axis, held, self, size[axis]) for tap in range(self.weight.shape[2 + axis]))
            under.append([(here, _moved(there, box[axis].start)) for here, there in found])
        for tap, ((rows, top), (columns, left)) in enumerate(product(*under)):
            covered[tap, top, left] = places[rows, columns]
        counts = (real @ covered.reshape(real.shape[1], prod(inside))).astype(np.int32)
        return counts.reshape(real.shape[0], *inside), stored[:, None, None] * covered.sum(axis=0).astype(np.int32)

    def _seen(
        self, taken: tuple[NDArray[np.float32], Counts], places: NDArray[np.bool_], box: tuple[slice, slice]
    ) -> tuple[Counts, Counts]:
        """Do as ``_count`` for a single place: its taps lie on one pixel each, and a window of the whole map has many."""
        real, stored = taken
        under = []
        for axis, place in enumerate(np.unravel_index(int(places.argmax()), places.shape)):
            taps = np.arange(self.weight.shape[2 + axis])
            pixels = int(place) * self.stride[axis] - self.padding[axis] + taps * self.dilation[axis]
            inside = (pixels >= box[axis].start) & (pixels < box[axis].stop)
            under.append((taps[inside], pixels[inside] - box[axis].start))
        (top, rows), (left, columns) = under
        size = [at.stop - at.start for at in box]
        counts, walked = (np.zeros((real.shape[0], *size), np.int32) for _ in range(2))
        counts[:, rows[:, None], columns] = real.reshape(-1, *self.weight.shape[2:])[:, top[:, None], left]
        walked[:, rows[:, None], columns] = stored[:, None, None]
        return counts, walked

    def __str__(self) -> str:
        usual = (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)))
        extra = "".join(
            f" {name} {'x'.join(map(str, vars(self)[name]))}" for name, value in usual if vars(self)[name] != value
        )
        groups = f" groups {self.groups}" if self.groups != 1 else ""
        return f"conv {'x'.join(map(str, self.weight.shape))}{extra}{groups} {shown(self.weight)}"


class _Taken:
    """What of a kernel some of its output channels take, counted once for each set of channels.

    Args:
        real: (Co, Ci // groups, kh, kw) where the weight is not zero.
        groups: Of the convolution.
    """

    def __init__(self, real: NDArray[np.bool_], groups: int) -> None:
        self.real, self.groups = real, groups
        self.known: dict[tuple[int, ...], tuple[NDArray[np.float32], Counts]] = {}

    def of(self, channels: Sequence[int]) -> tuple[NDArray[np.float32], Counts]:
        """Return by input channel the synapses at each tap (Ci, taps), and the output channels stored (Ci,)."""
        key = tuple(channels)
        if key not in self.known:
            group = np.asarray(channels) // (self.real.shape[0] // self.groups)
            counts = np.zeros((self.groups, *self.real.shape[1:]), np.int32)
            for one in np.unique(group):
                counts[one] = self.real[np.asarray(channels)[group == one]].sum(axis=0, dtype=np.int32)
            stored = np.repeat(np.bincount(group, minlength=self.groups), self.real.shape[1]).astype(np.int32)
            taps = prod(self.real.shape[2:])
            self.known[key] = counts.reshape(-1, taps).astype(np.float32), stored
        return self.known[key]


def _listed(part: IntArray, source: IntArray, counts: NDArray[np.signedinteger[Any]], parts: int) -> Reached:
    """Return entries in order of part and source; a message walks its synapses."""
    few = counts.astype(np.int32)
    start = np.searchsorted(part, np.arange(parts + 1))
    return Reached(start, source.astype(np.int32), few, few, np.zeros(parts, np.int64))


def _grid(places: bytes, target: Shape) -> NDArray[np.bool_]:
    """Return which places (H', W') of a target are held."""
    grid = np.zeros(prod(target[1:]), bool)
    grid[np.frombuffer(places, np.int64)] = True
    return grid.reshape(target[1:])


def _moved(at: slice, by: int) -> slice:
    return slice(at.start - by, at.stop - by, at.step) if at.stop > at.start else slice(0, 0, at.step)


def _box(places: NDArray[np.bool_], conv: ConvSynapses, source: Shape) -> tuple[slice, slice]:
    """Return the rows and columns of the source that windows at ``places`` can see."""
    found = []
    for axis in (0, 1):
        held = np.flatnonzero(places.any(axis=1 - axis))
        reach = (conv.weight.shape[2 + axis] - 1) * conv.dilation[axis]
        low = int(held[0]) * conv.stride[axis] - conv.padding[axis]
        high = int(held[-1]) * conv.stride[axis] - conv.padding[axis] + reach + 1
        size = source[1 + axis]
        found.append(slice(min(max(low, 0), size), max(min(high, size), min(max(low, 0), size))))
    return found[0], found[1]


def _under(tap: int, axis: int, held: IntArray, conv: ConvSynapses, size: int) -> tuple[slice, slice]:
    """Return along one axis the windows that have places (``held``), and the source pixels under one of their taps."""
    step, offset = conv.stride[axis], tap * conv.dilation[axis] - conv.padding[axis]
    first = max(int(held[0]), -(offset // step)) if held.size else 0
    last = min(int(held[-1]), (size - 1 - offset) // step) if held.size else -1
    count = max(last - first + 1, 0)
    start = first * step + offset if count else 0
    return slice(first, first + count), slice(start, start + max(count - 1, 0) * step + bool(count), step)


@dataclass(frozen=True, eq=False)
class TransposedConvSynapses(Synapses):
    """A kernel that each source neuron lays over the target: ``weight`` (Co, Ci, kh, kw); (Ci, H, W) to (Co, H', W').

    y[o, s i - p + a, s j - p + b] += weight[o, c, a, b] x[c, i, j];   n' = (n - 1) stride - 2 padding + k + output_padding

    Stored as lists, one entry a synapse; that a core shared the kernel is not assumed.
    """

    weight: IntArray
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)

    def malformed(self) -> Iterator[Wrong]:
        """Yield what is wrong with the form of the kernel and its steps."""
        yield from ranked("weight", self.weight, 4)
        for name, low in (("stride", 1), ("padding", 0), ("output_padding", 0)):
            yield from sizes(name, getattr(self, name), low)
        for axis, k in enumerate(np.shape(self.weight)[2:]):
            if np.ndim(self.weight) == 4 and self.padding[axis] >= k:
                yield Wrong(f"padding {self.padding} of a {k} wide kernel", "pad less than the kernel is wide")
            if self.output_padding[axis] >= self.stride[axis]:
                yield Wrong(
                    f"output_padding {self.output_padding} at stride {self.stride}", "let it be below the stride"
                )

    def shape(self, source: Shape) -> Shape:
        """Return (Co, H', W')."""
        co, ci, *kernel = (int(n) for n in np.shape(self.weight))
        if len(source) != 3 or source[0] != ci:
            raise MisfitError(source, f"({ci}, H, W)", "fix the channels of the weight")
        size = [
            (n - 1) * s - 2 * p + k + m
            for n, s, p, k, m in zip(source[1:], self.stride, self.padding, kernel, self.output_padding, strict=True)
        ]
        if min(size) < 1:
            raise MisfitError(source, "a larger map", "pad less, or use a larger kernel")
        return (co, *size)

    def deliver(self, x: IntArray, source: Shape, target: Shape) -> IntArray:
        """Return W x in the fastest type that holds every sum exactly."""
        kind = exact(x, self.weight)
        frames = x.reshape((-1, *source)).astype(kind)
        out = transposed_conv2d(frames, self.weight.astype(kind), self.stride, self.padding, self.output_padding)
        found: IntArray = out.astype(np.int64).reshape((*x.shape[:-1], -1))
        return found

    def entries(self, source: Shape, target: Shape) -> Entries:
        """Return every non-zero synapse: tap (a, b) of source (i, j) reaches (i s - p + a, j s - p + b)."""
        _, height, width = self.shape(source)
        o, c, a, b, i, j = (
            axis.reshape(-1) for axis in np.indices((*np.shape(self.weight), *source[1:]), dtype=np.int64)
        )
        row = i * self.stride[0] - self.padding[0] + a
        column = j * self.stride[1] - self.padding[1] + b
        weight = np.asarray(self.weight, np.int64)[o, c, a, b]
        real = (row >= 0) & (row < height) & (column >= 0) & (column < width) & (weight != 0)
        rows, columns = (o * height + row) * width + column, (c * source[1] + i) * source[2] + j
        return rows[real], columns[real], weight[real]

    def heaviest(self) -> int:
        """Return the largest sum of absolute weights of one target neuron: of taps a stride apart."""
        size, (down, across) = np.abs(self.weight), self.stride
        sums = [
            size[:, :, a::down, b::across].sum(axis=(1, 2, 3)).max(initial=0)
            for a in range(down)
            for b in range(across)
        ]
        return int(max(sums))

    def __str__(self) -> str:
        return f"transposed conv {self.weight.shape} stride {self.stride} {shown(self.weight)}"


@dataclass(frozen=True, eq=False)
class SparseSynapses(Synapses):
    """CSR over targets: row pointers ``indptr`` (n_target + 1), source ``indices``, ``weight`` per synapse."""

    indptr: IntArray
    indices: IntArray
    weight: IntArray

    def malformed(self) -> Iterator[Wrong]:
        """Yield what is wrong with the row pointers and the axes."""
        yield from ranked("indptr", self.indptr, 1)
        if np.ndim(self.indices) != 1 or np.shape(self.indices) != np.shape(self.weight):
            yield Wrong(
                f"indices {np.shape(self.indices)} and weight {np.shape(self.weight)}; one axis, as long", "correct it"
            )
        elif np.ndim(self.indptr) == 1 and np.size(self.indptr):
            rows = np.diff(self.indptr)
            if self.indptr[0] != 0 or bool((rows < 0).any()) or self.indptr[-1] != self.indices.size:
                yield Wrong("indptr does not rise from 0 to the number of synapses", "correct it")

    def shape(self, source: Shape) -> Shape:
        """Return (n_target,)."""
        synapses = int(self.indptr[-1]) if self.indptr.size else 0
        if self.indices.shape != self.weight.shape or self.indices.shape != (synapses,):
            raise MisfitError(source, f"{synapses} indices and weights", "give one source and one weight a synapse")
        if self.indices.size and (self.indices.min() < 0 or self.indices.max() >= prod(source)):
            raise MisfitError(source, f"at least {int(self.indices.max()) + 1} values", "fix the indices")
        return (self.indptr.size - 1,)

    def deliver(self, x: IntArray, source: Shape, target: Shape) -> IntArray:
        """Return W x, block by block of its steps. From (..., n_source) to (..., n_target)."""
        rows, columns, weight = self.entries(source, target)
        frames = x.reshape(-1, x.shape[-1])
        out = np.zeros((len(frames), prod(target)), np.int64)
        reached, first = np.unique(rows, return_index=True)  # the synapses of a row lie side by side
        step = max(1, BLOCK // max(1, rows.size))
        for i in range(0, len(frames) if rows.size else 0, step):
            out[i : i + step, reached] = np.add.reduceat(frames[i : i + step, columns] * weight, first, axis=1)
        return out.reshape(*x.shape[:-1], prod(target))

    def entries(self, source: Shape, target: Shape) -> Entries:
        """Return every non-zero synapse. Returns three arrays (synapses,): target, source, weight."""
        keep = self.weight != 0
        rows = np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))
        return rows[keep], np.asarray(self.indices, np.int64)[keep], np.asarray(self.weight, np.int64)[keep]

    def heaviest(self) -> int:
        """Return the largest sum of absolute weights in a row. That is of one target of (n_target,)."""
        rows, _, weight = self.entries((), ())
        return int(np.bincount(rows, weights=np.abs(weight)).max(initial=0))

    def __str__(self) -> str:
        return f"sparse {self.weight.size} synapses {shown(self.weight)}"


@dataclass(frozen=True, eq=False)
class IdentitySynapses(Synapses):
    """One synapse per neuron, source i to target i, all with the same ``weight``."""

    weight: int

    def malformed(self) -> Iterator[Wrong]:
        """Yield what is wrong with the weight."""
        yield from sizes("weight", (abs(int(self.weight)),), 0)

    def with_weights(self, weights: IntArray) -> Self:
        """Return synapses of the one weight given."""
        return replace(self, weight=int(weights.item()))

    def shape(self, source: Shape) -> Shape:
        """Return the shape of the source."""
        return source

    def misfit(self, source: Shape, target: Shape) -> str:
        """Return in words why they do not fit between two populations, or nothing."""
        found, wanted = (prod(source),), (prod(target),)
        return "" if found == wanted else f"synapses of shape {found} do not fit the populations; expected {wanted}"

    def deliver(self, x: IntArray, source: Shape, target: Shape) -> IntArray:
        """Return w x."""
        return x * self.weight

    def entries(self, source: Shape, target: Shape) -> Entries:
        """Return every non-zero synapse."""
        flat = np.arange(prod(source) if self.weight else 0)
        return flat, flat, np.full(flat.size, self.weight, np.int64)

    def heaviest(self) -> int:
        """Return the absolute weight."""
        return abs(int(self.weight))

    def __str__(self) -> str:
        return f"identity {self.weight}"


@dataclass(frozen=True, eq=False)
class GateLink(Synapses):
    """Carries gate levels to gate port ``port`` (0 ..) of a soma that has ports.

    The source shape broadcasts to the target shape as ``gate_axes`` says; before the first level arrives (local step < lag)
    the level is 2**gate_bits.
    """

    gate: ClassVar[bool] = True
    storage: ClassVar[Literal["listed", "conv", "gate"]] = "gate"
    port: int = 0

    def malformed(self) -> Iterator[Wrong]:
        """Yield what is wrong with the port."""
        yield from sizes("port", (self.port,), 0)

    @property
    def weights(self) -> IntArray:
        """None."""
        return np.zeros(0, np.int64)

    def shape(self, source: Shape) -> Shape:
        """Return the shape of the gate."""
        return source

    def deliver(self, x: IntArray, source: Shape, target: Shape) -> IntArray:
        """Return the levels, one for each target neuron or one for all.

        From (..., n_gate) to (..., n_target) or (..., 1).
        """
        return spread(x, source, target)

    def entries(self, source: Shape, target: Shape) -> Entries:
        """Return which gate neuron scales which target neuron.

        Returns three arrays (links,): target, gate element, 1.
        """
        rows = np.arange(prod(target))
        return rows, gate_index(source, target), np.ones(rows.size, np.int64)

    def heaviest(self) -> int:
        """Return 1: a level arrives as it is sent."""
        return 1

    def fan_in(self, source: Shape, target: Shape) -> IntArray:
        """Return zeros: a level ends at a gain, not at a weight. Returns (n_target,)."""
        return np.zeros(prod(target), np.int64)

    def wrong(self, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield nothing: there are no weights."""
        yield from ()

    def __str__(self) -> str:
        return f"gate port {self.port}"


def gate_axes(gate: Shape, shape: Shape) -> Shape:
    """Return a gate's shape with as many axes as the neurons it scales: the one rule of how a gate broadcasts.

    Channel first: a gate (C,) on neurons (C, H, W) is one gain a channel, (C, 1, 1). Each axis of a gate is then 1 or that of
    the neurons, as in numpy: (1, H, W), (1, 1, 1), (C, H, W). One single level is the gain of all.

    Raises:
        MisfitError: Any other shape.
    """
    padded = (1,) * len(shape) if prod(gate) == 1 else gate + (1,) * (len(shape) - len(gate) if len(gate) == 1 else 0)
    if len(padded) != len(shape) or any(g not in (1, n) for g, n in zip(padded, shape, strict=True)):
        raise MisfitError(gate, f"a shape that broadcasts to {shape}", "e.g. (C, 1, 1) for a channel gate")
    return padded


def spread(levels: NDArray[Any], gate: Shape, shape: Shape) -> NDArray[Any]:
    """Return gate levels (..., n_gate) for every neuron (..., n); one single level stays one."""
    axes = gate_axes(gate, shape)
    if prod(gate) in (1, prod(shape)):
        return levels
    lead = levels.shape[:-1]
    return np.broadcast_to(levels.reshape((*lead, *axes)), (*lead, *shape)).reshape((*lead, -1))


def gate_index(gate: Shape, shape: Shape) -> IntArray:
    """Return the flat gate element of every neuron. Returns (n,), flat in C order of ``shape``."""
    return np.broadcast_to(spread(np.arange(prod(gate)), gate, shape), (prod(shape),)).copy()


KINDS: Mapping[str, type[Synapses]] = {
    kind.__name__: kind
    for kind in (DenseSynapses, ConvSynapses, TransposedConvSynapses, SparseSynapses, IdentitySynapses, GateLink)
}
"""The kinds by the name files know them by."""
