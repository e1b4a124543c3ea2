"""Linear maps of signals, and what two in a row are: ``compose(a, b)`` is ``x -> b(a(x))`` in the smallest class that holds it.

    Diagonal   y = s x, one factor for all, a channel, or a value; a batch norm's, and a flatten (its target is flat)
    Kernel     y = W * x, a convolution; a sum pool is one (depthwise)
    Means      y[c] = R x[c] K^T, a pool to a size that does not divide the map
    Matrix     y = W x in C order: what is none of these

    Kernel, Kernel:  K[o, i, p + q] = sum over m of B[o, m, q] A[m, i, p]
                     taps p of A dilation_A apart, q of B stride_A dilation_B apart
                     stride = stride_A stride_B,  padding = padding_A + stride_A padding_B

The zeros that B pads with are what A makes of zeros only where the window of A just outside its grid lies outside its map,
``stride_A + padding_A >= reach_A`` (and the same at the far edge). Else two convolutions are no convolution: a matrix, or two.
Exact in real arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd, prod

import numpy as np

from spikewright.hw_sim.linear import conv2d, planar
from spikewright.toolchain.ops import AdaptivePool, Affine, Array, Conv, Flatten, Op, Pair, Scale, Shape, SumPool
from spikewright.toolchain.parameters import aligned, grid, least

LARGEST = 1 << 24
"""Entries of a ``Matrix`` that is found column by column, at most (128 MiB of float64)."""
COLUMNS = 256
"""Columns that are found at once."""
WIDEST = 4096
"""Values in a row that may have a factor each, as a matrix (of this size squared)."""


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A map from signals of shape ``source`` to those of shape ``target``."""

    source: Shape
    target: Shape

    def apply(self, x: Array) -> Array:
        """Return what it makes of signals (N, *source): (N, *target)."""
        raise NotImplementedError

    @property
    def synapses(self) -> int:
        """Products it sums for all its values, at most: synaptic operations where every message comes."""
        raise NotImplementedError

    def op(self, name: str, inputs: tuple[str, ...], block: str, bias: Array | None) -> Op | None:
        """Return it as connection of a chip; None where it is none, or too large a one."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Diagonal(LinearMap):
    """y = s x, in least form (``parameters.least``) over the source's shape; its target may be flat."""

    factor: Array

    @property
    def is_one(self) -> bool:
        """Whether it changes no value."""
        return bool((self.factor == 1).all())

    @property
    def by_channel(self) -> bool:
        """Whether it has one factor for all, or one a channel."""
        return self.factor.ndim <= 1

    def apply(self, x: Array) -> Array:
        """Scale signals (N, *source); values keep their C order."""
        return (x * grid(self.factor, self.source)).reshape(x.shape[0], *self.target)

    @property
    def synapses(self) -> int:
        """One a value."""
        return prod(self.target)

    def values(self) -> Array:
        """Return the factor of every value, flat: (n,)."""
        return np.broadcast_to(grid(self.factor, self.source), self.source).reshape(-1)

    def op(self, name: str, inputs: tuple[str, ...], block: str, bias: Array | None) -> Op | None:
        """Return a kernel of one tap, or a diagonal matrix."""
        if self.by_channel and len(self.source) > 1 and self.target == self.source:
            channels = self.source[0]
            weight = np.broadcast_to(self.factor, (channels,)).reshape(-1, 1, 1, 1).copy()
            return Conv(name=name, inputs=inputs, block=block, weight=weight, bias=bias, groups=channels)
        if prod(self.source) > WIDEST:
            return None
        return Affine(name=name, inputs=inputs, block=block, weight=np.diag(self.values()), bias=bias)


@dataclass(frozen=True, eq=False)
class Kernel(LinearMap):
    """y = W * x, torch cross-correlation: W (Co, Ci // groups, kh, kw)."""

    weight: Array
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def depthwise(self) -> bool:
        """Whether it makes one channel of each."""
        return self.weight.shape[:2] == (self.groups, 1) and self.groups == self.source[0]

    @property
    def picks(self) -> bool:
        """Whether every channel is one of the source's, times a factor."""
        return self.weight.shape[2:] == (1, 1) and bool((np.count_nonzero(self.weight, axis=(1, 2, 3)) <= 1).all())

    @property
    def reach(self) -> Pair:
        """Rows and columns from a window's first to its last tap."""
        (kh, kw), (dh, dw) = self.weight.shape[2:], self.dilation
        return (kh - 1) * dh + 1, (kw - 1) * dw + 1

    def apply(self, x: Array) -> Array:
        """Convolve signals (N, C, H, W); a source without planes is one of 1 x 1."""
        frames = x.reshape(-1, *planar(self.source))
        y = conv2d(frames, self.weight, self.stride, self.padding, self.dilation, self.groups)
        return y.reshape(x.shape[0], *self.target)

    @property
    def synapses(self) -> int:
        """Taps of every value; those on padding count."""
        return prod(self.target) * prod(self.weight.shape[1:])

    def op(self, name: str, inputs: tuple[str, ...], block: str, bias: Array | None) -> Op:
        """Return a convolution of weights (C_out, C_in / groups, kh, kw)."""
        return Conv(
            name=name, inputs=inputs, block=block, weight=self.weight, bias=bias,
            stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups,
        )  # fmt: skip

    def ends_in(self, after: Kernel) -> bool:
        """Say whether zeros that ``after`` pads with are what this one makes of zeros."""
        sizes = zip(
            planar(self.source)[1:], planar(self.target)[1:], self.stride, self.padding, self.reach, after.padding,
            strict=True,
        )  # fmt: skip
        return all(not zeros or (s + p >= reach and made * s - p >= n) for n, made, s, p, reach, zeros in sizes)


@dataclass(frozen=True, eq=False)
class Means(LinearMap):
    """y[c] = R x[c] K^T: rows R (h, H) and columns K (w, W) of means."""

    rows: Array
    columns: Array

    def apply(self, x: Array) -> Array:
        """Take the means of signals (N, C, H, W) over uneven windows."""
        return np.asarray(self.rows @ x @ self.columns.T)

    @property
    def synapses(self) -> int:
        """Values in the window of each."""
        return self.source[0] * int(np.count_nonzero(self.rows)) * int(np.count_nonzero(self.columns))

    def op(self, name: str, inputs: tuple[str, ...], block: str, bias: Array | None) -> Op | None:
        """Return the matrix it is."""
        found = listed((self,))
        return None if found is None else found.op(name, inputs, block, bias)


@dataclass(frozen=True, eq=False)
class Matrix(LinearMap):
    """y = W x; x and y in C order, W (O, I)."""

    weight: Array

    def apply(self, x: Array) -> Array:
        """Multiply signals (N, *source), flat, with the weights (n_target, n_source)."""
        return (x.reshape(x.shape[0], -1) @ self.weight.T).reshape(x.shape[0], *self.target)

    @property
    def synapses(self) -> int:
        """Entries, zeros too."""
        return self.weight.size

    def op(self, name: str, inputs: tuple[str, ...], block: str, bias: Array | None) -> Op:
        """Return all synapses."""
        return Affine(name=name, inputs=inputs, block=block, weight=self.weight, bias=bias)


def identity(shape: Shape) -> Diagonal:
    """Return the map of signals (N, *shape) that changes nothing."""
    return Diagonal(shape, shape, np.ones(()))


def of(op: Op, source: Shape, target: Shape) -> LinearMap | None:
    """Return an op's map, without what it adds; None where it is not linear."""
    match op:
        case Affine():
            return Matrix(source, target, op.weight)
        case Conv():
            return Kernel(source, target, op.weight, op.stride, op.padding, op.dilation, op.groups)
        case SumPool():
            return Kernel(
                source, target, np.full((source[0], 1, *op.kernel), op.scale), op.stride, op.padding, (1, 1), source[0]
            )
        case AdaptivePool():
            return Means(source, target, op.rows(0, source[1]), op.rows(1, source[2]))
        case Scale():
            return Diagonal(source, target, _factor(op.scale, source))
        case Flatten():
            return Diagonal(source, target, np.ones(()))
        case _:
            return None


def _factor(scale: Array, shape: Shape) -> Array:
    value = np.asarray(scale, np.float64)
    found = aligned(grid(value, shape), shape)
    assert found is not None, "shapes were checked"
    return least(found, shape)


def compose(a: LinearMap, b: LinearMap) -> LinearMap | None:
    """Return ``x -> b(a(x))``; None where only a matrix found column by column (``listed``) or no single map holds it."""
    match a, b:
        case Diagonal(), Diagonal():
            factor = grid(a.factor, a.source) * _seen_from(b, a.source)
            return Diagonal(a.source, b.target, least(np.asarray(factor), a.source))
        case Diagonal(), Matrix():
            weight = b.weight if a.is_one else b.weight * a.values()
            return Matrix(a.source, b.target, weight)
        case Matrix(), Diagonal():
            weight = a.weight if b.is_one else a.weight * b.values()[:, None]
            return Matrix(a.source, b.target, weight)
        case Diagonal(), Kernel() if a.by_channel:
            return replace(b, source=a.source, weight=_channels_scaled(b, a.factor))
        case Kernel(), Diagonal() if b.by_channel and b.target == b.source:
            factor = np.broadcast_to(b.factor, a.weight.shape[:1]).reshape(-1, 1, 1, 1)
            return replace(a, weight=a.weight * factor)
        case Matrix(), Matrix():
            return Matrix(a.source, b.target, b.weight @ a.weight)
        case Kernel(), Kernel() if a.ends_in(b):
            return _convolved(a, b)
        case Kernel(), Matrix() if a.depthwise and a.dilation == (1, 1) and len(a.source) == 3:
            return Matrix(a.source, b.target, _spread_back(a, b.weight))
        case Means(), Means():
            return Means(a.source, b.target, b.rows @ a.rows, b.columns @ a.columns)
        case _:
            return None


def _seen_from(b: Diagonal, shape: Shape) -> Array:
    """Return the factor of a diagonal map over the shape in front of a flatten."""
    if b.factor.ndim == 0 or b.source == shape:
        return grid(b.factor, shape)
    return b.values().reshape(shape)


def _channels_scaled(b: Kernel, factor: Array) -> Array:
    """Return the kernel with a factor on each input channel."""
    outs, inner = b.weight.shape[:2]
    first = np.arange(outs) // (outs // b.groups) * inner  # input channel of each output's group
    whole = np.broadcast_to(factor, b.source[:1])
    return np.asarray(b.weight * whole[first[:, None] + np.arange(inner)][:, :, None, None])


def listed(maps: tuple[LinearMap, ...]) -> Matrix | None:
    """Return maps in a row as one matrix (n_target, n_source), found on unit inputs; None where it is too large."""
    source, target = maps[0].source, maps[-1].target
    n, made = prod(source), prod(target)
    if n * made > LARGEST:
        return None
    weight = np.empty((made, n))
    for start in range(0, n, COLUMNS):
        x = np.eye(min(COLUMNS, n - start), n, start).reshape(-1, *source)
        for each in maps:
            x = each.apply(x)
        weight[:, start : start + COLUMNS] = x.reshape(x.shape[0], -1).T
    return Matrix(source, target, weight)


def synapses_of(a: LinearMap, b: LinearMap) -> float:
    """Return the synapses of both in one, before it is made."""
    match a, b:
        case Kernel(), Kernel() if a.picks and a.ends_in(b):
            return float(b.synapses)
        case Kernel(), Kernel() if a.ends_in(b):
            grown = [len(np.unique(_positions(a, b, axis))) for axis in (0, 1)]
            inside = a.weight.shape[1] * (1 if b.depthwise else a.groups // gcd(a.groups, b.groups))
            return float(prod(b.target) * inside * prod(grown))
        case Diagonal(), _:
            return float(b.synapses)
        case _, Diagonal():
            return float(a.synapses)
        case _:
            return float(prod(a.source) * prod(b.target))


def _positions(a: Kernel, b: Kernel, axis: int) -> Array:
    """Return the taps of both in one along an axis, in pixels: (taps of b, taps of a)."""
    k, more = a.weight.shape[2 + axis], b.weight.shape[2 + axis]
    step = a.stride[axis] * b.dilation[axis]
    return np.arange(more)[:, None] * step + np.arange(k) * a.dilation[axis]


def _convolved(a: Kernel, b: Kernel) -> Kernel:
    """Return two kernels as one; see the module's equation."""
    at, dilation = [], []
    for axis in (0, 1):
        taps = _positions(a, b, axis)
        unit = gcd(*(int(tap) for tap in taps.flat)) or 1
        at.append(taps // unit)
        dilation.append(unit)
    product, inside, groups = _product(a, b)
    weight = np.zeros((b.weight.shape[0], inside, int(at[0].max()) + 1, int(at[1].max()) + 1))
    for y, x in np.ndindex(*b.weight.shape[2:]):
        weight[:, :, at[0][y][:, None], at[1][x]] += product(y, x)
    return Kernel(
        a.source,
        b.target,
        weight,
        (a.stride[0] * b.stride[0], a.stride[1] * b.stride[1]),
        (a.padding[0] + a.stride[0] * b.padding[0], a.padding[1] + a.stride[1] * b.padding[1]),
        (dilation[0], dilation[1]),
        groups,
    )


def _product(a: Kernel, b: Kernel) -> tuple[Callable[[int, int], Array], int, int]:
    """Return what a tap (y, x) of ``b`` makes of the taps of ``a``, (Co, Ci // groups, kh, kw); and Ci // groups, groups."""
    if b.depthwise:
        return (lambda y, x: b.weight[:, 0, y, x].reshape(-1, 1, 1, 1) * a.weight), a.weight.shape[1], a.groups
    outs, inner = b.weight.shape[:2]
    if a.depthwise:
        read = (np.arange(outs) // (outs // b.groups) * inner)[:, None] + np.arange(inner)
        return (lambda y, x: b.weight[:, :, y, x, None, None] * a.weight[read, 0]), inner, b.groups
    groups = gcd(a.groups, b.groups)
    first, second = _in_groups(a, groups), _in_groups(b, groups)
    inside, size = first.shape[2], first.shape[3:]
    flat = first.reshape(groups, first.shape[1], -1)

    def together(y: int, x: int) -> Array:
        return (second[..., y, x] @ flat).reshape(outs, inside, *size)

    return together, inside, groups


def _in_groups(k: Kernel, groups: int) -> Array:
    """Return weights in fewer groups, (groups, Co // groups, Ci // groups, kh, kw), zeros between those that were apart."""
    outs, inner, high, wide = k.weight.shape
    more = k.groups // groups
    whole = np.zeros((groups, more, outs // k.groups, more, inner, high, wide))
    own = k.weight.reshape(groups, more, outs // k.groups, inner, high, wide)
    for part in range(more):
        whole[:, part, :, part] = own[:, part]
    return whole.reshape(groups, outs // groups, more * inner, high, wide)


def _spread_back(a: Kernel, weight: Array) -> Array:
    """Return weights (O, C h' w') on a pooled map as weights on the map (O, C H W)."""
    (c, h, w), (kh, kw), (sh, sw), (ph, pw) = a.source, a.weight.shape[2:], a.stride, a.padding
    _, high, wide = a.target
    seen = weight.reshape(-1, c, high, wide)
    out = np.zeros((weight.shape[0], c, h + 2 * ph, w + 2 * pw))
    for y in range(kh):
        for x in range(kw):
            out[:, :, y : y + sh * (high - 1) + 1 : sh, x : x + sw * (wide - 1) + 1 : sw] += seen * a.weight[
                :, 0, y, x
            ].reshape(-1, 1, 1)
    return out[:, :, ph : ph + h, pw : pw + w].reshape(weight.shape[0], -1)
