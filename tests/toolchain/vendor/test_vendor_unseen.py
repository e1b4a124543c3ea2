"""Nets that no printed table shows: ``fit`` beside the rules written down a second time, from the facts and not from the code.

wb = 8 - floor(log2(min(127 / max, -128 / min))) - 1 (mixed signs, even), 8 - floor(log2(255 / max)) (none negative), 7 is 8;
dense: inputs ceil((n (wb + 12) + 6) / 64);  convolution: in kernel sum over powers of two of ceil((2^k wb + 6) / 64);
lists: chunk 4095, divided by ceil(words / limit);  2022: columns 2^k <= 4095 / (H C);  2023: x, y halved in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from int_nets import int_conv, int_dense, int_input, int_lif

from spikewright.hw_sim import SparseSynapses
from spikewright.toolchain.integer import IntConnection, IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.vendor import core_of
from spikewright.toolchain.vendor import compiler_called, layers_of, table_of

ONE = np.ones(1, np.int64)
LIMIT = {"2022": 12_000, "2023": 16_000}


@dataclass(frozen=True)
class Expected:
    """What a row must say; ``slice`` (x, y, c) of a grid."""

    cores: int
    synapses: int
    neurons: int
    slice: tuple[int, int, int] | None
    axons_in: int | None = None


def bits(weight: np.ndarray) -> int:
    low, high = int(weight.min()), int(weight.max())
    signed = low < 0
    room = min(127 / high, 128 / -low) if signed else 255 / high
    found = 8 - math.floor(math.log2(room)) - signed
    return 8 if found == 7 else found


def words_of_list(inputs: int, n: int, wb: int) -> int:
    return inputs * math.ceil((n * (wb + 12) + 6) / 64)


def expected_dense(weight: np.ndarray, version: str) -> Expected:
    n, inputs = weight.shape
    wb, chunk = bits(weight), 4095
    while (allocation := words_of_list(inputs, min(chunk, n), wb)) > LIMIT[version]:
        chunk = chunk // math.ceil(allocation / LIMIT[version])
    held = [min(chunk, n - first) for first in range(0, n, chunk)]
    if version == "2022":
        synapses = sum(words_of_list(inputs, k, wb) for k in held) // len(held)
        return Expected(len(held), synapses, sum(held) // len(held), None, inputs)
    return Expected(len(held), words_of_list(inputs, held[0], wb), held[0], None, inputs)


def expected_conv(weight: np.ndarray, shape: tuple[int, int, int], version: str) -> Expected:
    c, h, w = shape
    co, ci, kh, kw = weight.shape
    wb, synapses, left = bits(weight), 0, co
    while left:
        piece = 2 ** int(math.log2(left))
        synapses += ci * kh * kw * math.ceil((piece * wb + 6) / 64)
        left -= piece
    assert synapses <= LIMIT[version], "draw smaller nets: how channels are cut is known from four rows only"
    x, y = 2 ** int(math.log2(w)), h
    if version == "2022":
        x = min(2 ** int(math.log2(4095 // (h * c))), w)
        return Expected(math.ceil(w / x), synapses, x * h * c, (x, h, c))
    turn = 0
    while x * y * c > 4095:
        if turn % 2 == 0:
            x //= 2
        else:
            y //= 2
        turn += 1
    return Expected(math.ceil(w / x) * math.ceil(h / y), synapses, x * y * c, (x, y, c))


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return weights: even ones of both signs, or any without a sign."""
    top = int(rng.integers(1, 120))
    if rng.random() < 0.7:
        weight = 2 * rng.integers(-(top // 2) - 1, top // 2 + 1, shape)
        weight.flat[0], weight.flat[1] = -2, 2
        return weight
    weight = rng.integers(0, top + 1, shape)
    weight.flat[0] = 1
    return weight


def random_net(seed: int, version: str) -> tuple[Graph, dict[str, Expected]]:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 5)), int(2 ** rng.integers(3, 7)), int(rng.integers(9, 200)))
    ops, rows, before = [int_input(name="x", shape=shape)], {}, "x"
    for k in range(int(rng.integers(1, 4))):
        co, kernel = int(rng.integers(2, 40)), int(rng.integers(1, 4))
        stride = (1, 1) if kernel == 1 else (2, 2)
        padding = (kernel // 2, kernel // 2)
        weight = drawn(rng, co, shape[0], kernel, kernel)
        shape = (co, *((n + 2 * p - kernel) // s + 1 for n, p, s in zip(shape[1:], padding, stride, strict=True)))
        if (version == "2023" and shape[1] & (shape[1] - 1)) or shape[1] * co > 4095:
            break
        ops.append(int_conv(name=f"c{k}", inputs=(before,), weight=weight, stride=stride, padding=padding))
        ops.append(int_lif(name=f"l{k}", inputs=(f"c{k}",), shape=shape, decay_v=ONE, bias=0 * ONE, threshold=ONE))
        rows[f"l{k}"], before = expected_conv(weight, shape, version), f"l{k}"
    inputs = int(np.prod(shape if before != "x" else ops[0].shape))
    for k in range(int(rng.integers(1, 4))):
        n = int(rng.integers(1, 400))
        weight = drawn(rng, n, min(inputs, 3000)) if inputs <= 3000 else drawn(rng, n, 1)
        if inputs > 3000:
            break
        ops.append(int_dense(name=f"d{k}", inputs=(before,), weight=weight))
        ops.append(int_lif(name=f"f{k}", inputs=(f"d{k}",), shape=(n,), decay_v=ONE, bias=0 * ONE, threshold=ONE))
        rows[f"f{k}"], before, inputs = expected_dense(weight, version), f"f{k}", n
    return Graph((*ops, IntOutput(name="y", inputs=(before,), readout="spikes")), 4), rows


@pytest.mark.parametrize("version", ["2022", "2023"])
def test_random_nets_are_cut_and_counted_as_the_facts_say(version: str) -> None:
    kinds = {"grid": 0, "list": 0, "cut": 0}
    for seed in range(40):
        net, expected = random_net(seed, version)
        if not expected:
            continue
        table = table_of(layers_of(net), compiler_called(version))
        assert {row.layer for row in table.rows} == set(expected)
        for row in table.rows:
            want = expected[row.layer]
            said = (row.cut.cores, row.cells["Synapses"], row.cells["Neurons"], row.cut.slice)
            assert said == (want.cores, want.synapses, want.neurons, want.slice), (seed, row.layer)
            if want.axons_in is not None:
                assert row.cells["AxonIn"] == want.axons_in
            if None not in row.cells.values():
                assert row.total == sum(words for words in row.cells.values() if words is not None)
            kinds["grid" if want.slice else "list"] += 1
            kinds["cut"] += want.cores > 1
        assert table.cores == sum(want.cores for want in expected.values())
    assert min(kinds.values()) >= 15


# ------------------------------------------------------------------------------------- odd shapes, by the same rules
def out(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Return how many places a kernel has along an axis, counted one by one."""
    reach = dilation * (kernel - 1)
    return len(range(-padding, n + padding - reach, stride))


def grid_words(groups: int, ci: int, area: int, c: int, wb: int, fan: int) -> int:
    """Return the words of a slice of c channels: the groups that it holds, each with lists of what it has of their channels."""
    left, each = min(c, fan), 0
    while left:
        piece = 1
        while 2 * piece <= left:
            piece *= 2
        each, left = each + -(-(piece * wb + 6) // 64), left - piece
    return ci * area * each * -(-c // fan) if groups > 1 else ci * area * each


def grid_cut(shape: tuple[int, int, int], words: Callable[[int], int], version: str) -> tuple[int, int, int] | None:
    """Return (x, y, c), or None where it does not converge."""
    c, h, w = shape
    if version == "2022":
        if h * c > 4095 or words(c) > 12_000:
            return None
        x = 1
        while 2 * x * h * c <= 4095:
            x *= 2
        return min(x, w), h, c
    x = 1
    while 2 * x <= w:
        x *= 2
    y, k = h, c
    while words(k) > 16_000:
        if k == 1:
            return None
        k //= 2
    rows_first = k < c
    while x * y * k > 4095:
        if x == y == 1:
            k //= 2
        elif (y > 1 and rows_first) or x == 1:
            y, rows_first = y // 2, False
        else:
            x, rows_first = x // 2, True
    return x, y, k


ODD = {  # source, (Co, Ci of a group, kernel), stride, padding, dilation, groups
    "1x1": ((12, 20, 40), (48, 12, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    "2x2 by 2": ((20, 17, 33), (20, 20, 2, 2), (2, 2), (0, 0), (1, 1), 1),
    "5x3 by 3 and 2": ((3, 50, 61), (24, 3, 5, 3), (3, 2), (2, 0), (1, 1), 1),
    "dilated": ((4, 40, 50), (9, 4, 3, 3), (1, 1), (4, 2), (4, 2), 1),
    "padded beyond": ((2, 9, 9), (5, 2, 3, 3), (1, 1), (3, 5), (1, 1), 1),
    "groups": ((16, 24, 30), (32, 4, 3, 3), (1, 1), (1, 1), (1, 1), 4),
    "depthwise": ((36, 20, 41), (36, 1, 3, 3), (2, 1), (1, 1), (1, 1), 36),
    "wide": ((1, 2, 3000), (3, 1, 1, 9), (1, 1), (0, 4), (1, 1), 1),
    "tall": ((1, 400, 3), (7, 1, 9, 1), (1, 1), (4, 0), (1, 1), 1),
    "channels cut": ((512, 8, 14), (512, 512, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    "one place": ((64, 3, 3), (300, 64, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    "along one axis": ((6, 1, 700), (20, 6, 1, 5), (1, 2), (0, 2), (1, 1), 1),
    "along one axis, depthwise": ((20, 1, 300), (20, 1, 1, 7), (1, 3), (0, 0), (1, 2), 20),
}


@pytest.mark.parametrize("version", ["2022", "2023"])
@pytest.mark.parametrize("name", ODD)
def test_odd_convolutions_are_cut_and_counted_by_the_rules(name: str, version: str) -> None:
    source, kernel, stride, padding, dilation, groups = ODD[name]
    rng, line = np.random.default_rng(7), name.startswith("along")
    shape = (kernel[0], *map(out, source[1:], kernel[2:], stride, padding, dilation))
    for wb in range(1, 9):
        weight = 2 * rng.integers(-(2 ** (wb - 1)), 2 ** (wb - 1), kernel) if wb > 1 else rng.integers(0, 2, kernel)
        weight.flat[:2] = (0, 1) if wb == 1 else (-(2**wb), 2**wb - 2)  # the ends of what so many bits say
        wb = 8 if wb == 7 else wb
        flat = (source[0], source[2]) if line else source
        made = int_conv(
            name="c", inputs=("x",), weight=weight, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
        target = (shape[0], shape[2]) if line else shape
        neurons = int_lif(name="l", inputs=("c",), shape=target, decay_v=ONE, bias=0 * ONE, threshold=ONE)
        net = Graph(
            (int_input(name="x", shape=flat), made, neurons, IntOutput(name="y", inputs=("l",), readout="spikes")), 4
        )
        layers = layers_of(net)
        (row,) = table_of(layers, compiler_called(version)).rows

        def words(c: int, wb: int = wb) -> int:
            return grid_words(groups, kernel[1], kernel[2] * kernel[3], c, wb, kernel[0] // groups)

        cut = grid_cut(shape, words, version)
        assert row.cut.slice == cut
        assert bool(row.notes) == (line or groups > 1)  # what no printed row shows is said
        if cut is None:
            assert row.cut.cores is None
            assert set(row.cells.values()) == {None}
            continue
        x, y, c = cut
        assert row.cut.cores == len(range(0, shape[2], x)) * len(range(0, shape[1], y)) * len(range(0, shape[0], c))
        assert (row.cells["Synapses"], row.cells["Neurons"]) == (words(c), x * y * c)
        held = np.bincount(core_of(layers[0], row.cut), minlength=row.cut.cores)
        assert held.max() <= x * y * c
        assert held.sum() == np.prod(shape)


@pytest.mark.parametrize("version", ["2022", "2023"])
@pytest.mark.parametrize(
    ("n", "inputs", "density"), [(1, 4000, 1.0), (4100, 3, 1.0), (900, 2500, 0.02), (300, 784, 0.5), (257, 600, 0.3)]
)
def test_sparse_ternary_and_large_lists_are_cut_and_counted_by_the_rules(
    n: int, inputs: int, density: float, version: str
) -> None:
    rng = np.random.default_rng(3)
    weight = np.where(rng.random((n, inputs)) < density, 2 * rng.choice([-1, 1], (n, inputs)), 0)
    weight.flat[:2] = -2, 2
    for listed in (False, True):
        made = sparse_of(weight) if listed else int_dense(name="c", inputs=("x",), weight=weight)
        neurons = int_lif(name="l", inputs=("c",), shape=(n,), decay_v=ONE, bias=0 * ONE, threshold=ONE)
        net = Graph(
            (int_input(name="x", shape=(inputs,)), made, neurons, IntOutput(name="y", inputs=("l",), readout="spikes")),
            4,
        )
        (row,) = table_of(layers_of(net), compiler_called(version)).rows

        def words(first: int, last: int, listed: bool = listed) -> int:
            total = 0
            for column in weight[first:last].T:
                held = int((column != 0).sum()) if listed else last - first
                total += -(-(held * (2 + 12) + 6) // 64) if held else 0
            return total

        chunk = 4095
        while (full := max(words(k, min(k + chunk, n)) for k in range(0, n, chunk))) > LIMIT[version]:
            chunk //= -(-full // LIMIT[version])
        cores = [(k, min(k + chunk, n)) for k in range(0, n, chunk)]
        mean = version == "2022"
        assert row.cut.cores == len(cores)
        assert row.cut.chunk == chunk
        counted = [words(*span) for span in cores]
        assert row.cells["Synapses"] == (sum(counted) // len(cores) if mean else counted[0])
        assert row.cells["Neurons"] == (n // len(cores) if mean else min(chunk, n))
        if not listed:
            assert row.cells["AxonIn"] == inputs
        assert bool(row.notes) == listed


def sparse_of(weight: np.ndarray) -> IntConnection:
    rows, columns = np.nonzero(weight)
    pointers = np.searchsorted(rows, np.arange(len(weight) + 1))
    return IntConnection(name="c", inputs=("x",), synapses=SparseSynapses(pointers, columns, weight[rows, columns]))
