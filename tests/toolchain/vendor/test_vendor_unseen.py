"""Nets that no printed table shows: ``fit`` beside the rules written down a second time, from the facts and not from the code.

wb = 8 - floor(log2(min(127 / max, -128 / min))) - 1 (mixed signs, even), 8 - floor(log2(255 / max)) (none negative), 7 is 8;
dense: inputs ceil((n (wb + 12) + 6) / 64);  convolution: in kernel sum over powers of two of ceil((2^k wb + 6) / 64);
lists: chunk 4095, divided by ceil(words / limit);  2022: columns 2^k <= 4095 / (H C);  2023: x, y halved in turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from int_nets import int_conv, int_dense, int_input, int_lif

from spikewright.toolchain.integer import IntOutput
from spikewright.toolchain.ir import Graph
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
