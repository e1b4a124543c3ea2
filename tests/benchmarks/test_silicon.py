"""PilotNet LIF against Loihi 2 silicon: the agreement that was found must stay (fewer steps than the benchmark)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.silicon import measured
from benchmarks.silicon.__main__ import random_spikes, record
from benchmarks.silicon.compare import Comparison, compare
from benchmarks.silicon.net import (
    SLICES,
    as_on_silicon,
    compiler_columns,
    fed_with_spikes,
    graph,
    intel_partition,
)
from benchmarks.silicon.text import table

from spikewright.hw_sim import Program, compile, load_chip, simulate
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import Greedy

STEPS = 320


@pytest.fixture(scope="module")
def net(data_dir: Path) -> Graph:
    """Return the integer graph of the file."""
    return graph(data_dir / "silicon" / "pilotnet_snn.net")


@pytest.fixture(scope="module")
def program(net: Graph) -> Program:
    """Return the net under Intel's partition."""
    return as_on_silicon(net, load_chip("loihi2"), intel_partition(net))


@pytest.fixture(scope="module")
def result(program: Program, data_dir: Path) -> Comparison:
    """Compare a short run."""
    return compare(simulate(program, {}, steps=STEPS), load_chip("loihi2"), measured.counters(data_dir))


def test_intels_partition_uses_74_cores(program: Program) -> None:
    neurons = np.bincount(np.concatenate([p.core for p in program.populations]))
    assert neurons.size == measured.CORES
    assert neurons.sum() == 158_509
    counts = {int(n): int((neurons == n).sum()) for n in (3168, 3072, 2160, 2688, 2048)}
    assert counts == {3168: 12, 3072: 24, 2160: 12, 2688: 3, 2048: 3}


def test_one_rule_gives_the_columns_of_all_grid_layers(net: Graph) -> None:
    assert {name: compiler_columns(net[name].shape) for name in SLICES} == SLICES  # type: ignore[attr-defined]


def test_operations_of_the_busiest_cores_are_within_half_a_percent_of_silicon(result: Comparison) -> None:
    assert abs(result.sops_core_error_max) <= 0.005


def test_operations_of_each_conv3_core_and_of_all_cores_are_within_two_percent(result: Comparison) -> None:
    assert np.abs(result.sops_errors(measured.CONV3)).max() <= 0.02
    assert abs(result.sops_total_error) <= 0.02


def test_one_coefficient_gives_all_four_step_times_within_five_percent(result: Comparison) -> None:
    assert result.phase_errors[0] == pytest.approx(0)
    assert abs(result.phase_ratio_error_max) <= 0.05


def test_the_energy_band_of_the_chip_file_holds_the_measured_energy(result: Comparison) -> None:
    low, nominal, high = result.energy_errors
    assert low <= 0 <= high
    assert low <= nominal <= high


def test_our_mapper_needs_at_most_81_cores(net: Graph) -> None:
    chip = load_chip("loihi2")
    assert compile(as_on_silicon(net, chip, Greedy()), chip).cores <= 81


def test_placement_does_not_change_what_the_net_does(net: Graph, program: Program) -> None:
    ours = as_on_silicon(net, load_chip("loihi2"), Greedy())
    a, b = (simulate(p, {}, steps=32) for p in (program, ours))
    assert {n: p.spikes for n, p in a.populations.items()} == {n: p.spikes for n, p in b.populations.items()}
    assert a.sops.sum() == b.sops.sum()


def test_random_spikes_reach_the_first_convolution_and_do_not_repeat(program: Program) -> None:
    fed = fed_with_spikes(program)
    x = random_spikes(fed, 3)
    trace = simulate(fed, x, steps=3)
    assert trace.projections["1.conv.in"].sops > 0
    (spikes,) = x.values()
    assert (spikes[0] != spikes[1]).any()


def test_the_record_and_the_table_say_the_errors(result: Comparison) -> None:
    found = record(result, 35, 3.0, 4.0)
    assert {
        "sops_total_error", "sops_core_error_max", "phase_ratio_error_max", "dynamic_energy_error", "energy_band", "cores",
        "compiler_cores", "seconds_for_10000_steps", "seconds_for_10000_random_steps",
    } <= set(found)  # fmt: skip
    said = table(result, 35, 3.0, 4.0, load_chip("loihi2"))
    assert "One net on one board: a comparison, not a validation." in said


def test_a_net_larger_than_a_chip_runs_on_a_board_with_the_same_spikes(
    net: Graph, program: Program, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(
        "chip: small\nbase: kapoho-point\ndescription: small cores\ncore:\n"
        "  max_neurons: {value: 1024, unit: neurons, basis: assumed, source: none}\n"
    )
    board = load_chip(tmp_path / "small.yaml")
    spread = compile(as_on_silicon(net, board, Greedy()), board)
    assert spread.cores > board.mesh.usable_cores_per_chip
    apart, together = simulate(spread, {}, steps=16), simulate(program, {}, steps=16)
    assert apart.chip_crossings.sum() > 0
    assert {n: p.spikes for n, p in apart.populations.items()} == {n: p.spikes for n, p in together.populations.items()}
