"""What decided the cores: the limit that is full on most of them, the count at half and twice of it, and tiles of maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from int_nets import int_conv, int_input, int_lif

from spikewright.hw_sim import Chip, load_chip
from spikewright.toolchain.integer import IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import Greedy
from spikewright.toolchain.mapping.decided import decided
from spikewright.toolchain.mapping.partition import Partition, cores_used

SIDE = 16


def net(channels: int = 8) -> Graph:
    weight = 2 * np.random.default_rng(0).integers(1, 60, (channels, channels, 3, 3))
    whole = int_lif(
        name="n", inputs=("c",), shape=(channels, SIDE, SIDE), decay_v=np.array([2048]), bias=np.array([0]),
        threshold=np.array([300 << 6]),
    )  # fmt: skip
    conv = int_conv(name="c", inputs=("in",), weight=weight, padding=(1, 1))
    source = int_input(name="in", shape=(channels, SIDE, SIDE))
    return Graph(
        (source, conv, replace(whole, start=1), IntOutput(name="out", inputs=("n",), readout="spikes")), timesteps=4
    )


def cramped(**limits: int) -> Chip:
    chip = load_chip("loihi2")
    return replace(chip, core=replace(chip.core, **limits))


def test_axons_that_are_full_on_most_cores_decided_and_are_assumed_so_other_values_are_counted() -> None:
    chip, graph = cramped(max_axons_in=500), net()
    program = Greedy()(graph, chip)

    found = decided(program, chip, graph)

    assert (found.resource, found.limit, found.basis) == ("max_axons_in", 500, "assumed")
    assert found.cores == cores_used(program) > found.neurons_alone == 1
    (low, more), (high, fewer) = found.others
    assert (low, high) == (250, 1000)
    assert more is not None
    assert fewer is not None
    assert more > found.cores > fewer
    assert f"{found.cores} cores, decided by max_axons_in = 500 [assumed]" in str(found)


def test_a_limit_that_is_published_stands_alone_and_none_is_named_where_none_is_half_used() -> None:
    chip, graph = cramped(max_neurons=512), net()

    assert decided(Greedy()(graph, chip), chip, graph).resource == "max_neurons"
    assert decided(Greedy()(graph, chip), chip, graph).others == ()
    roomy = load_chip("loihi2")
    assert decided(Greedy()(graph, roomy), roomy, graph).resource == ""


@pytest.mark.parametrize("shape", [(4, 12, 12), (3, 5, 9), (2, 1, 7)])
def test_parts_are_numbered_without_gaps_and_even_however_fine_the_cut(shape: tuple[int, ...]) -> None:
    cut: Partition | None = Partition(shape)
    while cut is not None:
        sizes = np.bincount(cut.part_of(), minlength=cut.parts)
        assert sizes.size == cut.parts
        assert sizes.min() > 0
        cut = cut.finer()


def test_a_tile_sees_less_beyond_its_border_than_a_row() -> None:
    tiled = Partition((8, SIDE, SIDE), space=8).finer()
    assert tiled is not None
    assert tiled.tiles == (4, 4)
