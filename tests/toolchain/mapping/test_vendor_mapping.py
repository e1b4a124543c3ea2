"""Mapping ``vendor``: the same integers as any other cut, cores from the last layer back, refusals by name."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compile_random import compile_random
from golden_nets import golden_deployment
from hypothesis import given, settings
from int_nets import int_conv, int_dense, int_input, int_lif
from random_nets import random_net, seeds

from spikewright.hw_sim import CapacityError, load_chip, simulate
from spikewright.hw_sim import compile as load
from spikewright.toolchain import bundle
from spikewright.toolchain.cli import fit as verb
from spikewright.toolchain.errors import MappingError
from spikewright.toolchain.integer import IntArray, IntNeuron, IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import Greedy, Vendor, strategy_called
from spikewright.toolchain.mapping.partition import cores_used
from spikewright.toolchain.passes.align import Align
from spikewright.toolchain.vendor import layers_of, partition, table_of, vendor_table
from spikewright.toolchain.vendor.numbers import COMPILERS


def neuron(name: str, source: str, shape: tuple[int, ...]) -> IntNeuron:
    values = [np.array([n]) for n in (2048, 0, 300 << 6)]
    return int_lif(
        name=name, inputs=(source,), shape=shape, decay_v=values[0], bias=values[1], threshold=values[2]
    )  # fmt: skip


def net(shape: tuple[int, int, int], outputs: int, inputs: int = 2) -> Graph:
    """A convolution and a dense read-out."""
    rng = np.random.default_rng(0)
    c, h, w = shape
    kernel: IntArray = 2 * rng.integers(-40, 60, (c, inputs, 3, 3))
    matrix: IntArray = 2 * rng.integers(-60, 60, (outputs, c * h * w))
    ops = (
        int_input(name="in", shape=(inputs, h, w)),
        int_conv(name="c", inputs=("in",), weight=kernel, padding=(1, 1)),
        neuron("conv", "c", shape),
        int_dense(name="d", inputs=("conv",), weight=matrix),
        neuron("fc", "d", (outputs,)),
        IntOutput(name="out", inputs=("fc",), readout="spikes"),
    )
    return Align()(Graph(ops, timesteps=4))


def test_cores_run_from_the_last_layer_back_in_chunks_and_slices() -> None:
    graph = net((6, 20, 44), 30)  # 5280 inputs: few neurons a core; W is no power of two
    program = strategy_called("vendor", None)(graph, load_chip("loihi2"))
    fc, conv = program.population("fc").core, program.population("conv").core
    cuts = {layer.name: partition(layer, COMPILERS["2023"]) for layer in layers_of(graph)}
    assert cuts["fc"].chunk is not None
    np.testing.assert_array_equal(fc, np.arange(30) // cuts["fc"].chunk)
    x, y, c = cuts["conv"].slice or (0, 0, 0)
    assert (x, y, c) == (32, 20, 6)
    grid = conv.reshape(6, 20, 44) - fc.max() - 1
    np.testing.assert_array_equal(grid, np.broadcast_to(np.arange(44) // 32, grid.shape))
    table = table_of(layers_of(graph), COMPILERS["2023"])
    assert table.cores == cores_used(program)


@settings(max_examples=25)
@given(seed=seeds)
def test_random_nets_give_the_same_answers_as_greedy_or_are_refused_by_name(seed: int) -> None:
    graph, data = random_net(seed)
    integer, x = compile_random(graph, data)
    chip = load_chip("loihi2")
    try:
        program = Vendor()(integer, chip)
    except MappingError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.where.startswith("layer ")
        return
    source = integer.input.name
    ours, greedy = (simulate(load(p, chip), {source: x}).outputs for p in (program, Greedy()(integer, chip)))
    np.testing.assert_array_equal(ours, greedy)


def test_refusals_name_the_layer() -> None:
    chip = load_chip("loihi2")
    with pytest.raises(MappingError, match=r"layer 'fc'.*does not converge"):
        Vendor("2022")(net((4, 64, 64), 3), chip)
    with pytest.raises(MappingError, match=r"layer 'staa'.*convolution and all-to-all"):
        vendor_table(golden_deployment("staa"))
    cramped = replace(chip, mesh=replace(chip.mesh, usable_cores_per_chip=1))
    with pytest.raises(CapacityError, match="too few"):
        Vendor()(net((6, 20, 44), 30), cramped)


def test_the_verb_prints_the_table_of_a_bundle(tmp_path: Path) -> None:
    made = golden_deployment("tcja")
    bundle.save(made, tmp_path / "net")
    parser = ArgumentParser()
    verb.add(parser.add_subparsers())
    outcome = verb.run(parser.parse_args(["fit", str(tmp_path / "net"), "--compiler", "2022"]))
    table = vendor_table(made, "2022")
    assert (outcome.text, outcome.code) == (str(table), 0)
    assert outcome.data == table.to_dict()
    assert "gate ports have no counterpart" in outcome.text
