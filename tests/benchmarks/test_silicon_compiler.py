"""The compiler twin against everything the closed compiler printed of the four public nets, and the bars of one board."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.silicon import compiler

from spikewright.export.netx import import_net
from spikewright.hw_sim import load_chip
from spikewright.toolchain.mapping import Vendor
from spikewright.toolchain.mapping.partition import cores_used
from spikewright.toolchain.passes.align import Align
from spikewright.toolchain.vendor.partition import partition
from spikewright.toolchain.vendor.table import total_percent

NETS = (*compiler.FILES, *compiler.SHAPES)


def test_synapse_words_of_all_24_rows_and_of_23_by_the_range_of_weights_alone(data_dir: Path) -> None:
    found = compiler.summary(data_dir)
    assert (found["compiler_rows_exact"], found["compiler_rows"]) == (24, 24)
    assert found["compiler_rows_exact_by_range_alone"] == 23
    assert found["compiler_rows_not_exact_by_range_alone"] == ["Oxford dense2 256->200"]
    assert found["compiler_row_qubo_exact"]
    assert (found["totals_exact"], found["totals"]) == (65, 65)
    assert found["core_counts"] == {
        "PilotNet LIF": [74, 74],
        "Oxford": [5, 5],
        "MNIST netx": [5, 5],
        "YOLO-KP SDNN": [574, 574],
    }


@pytest.mark.parametrize("net", NETS)
def test_every_cell_is_the_printed_one_or_not_known(data_dir: Path, net: str) -> None:
    for row, printed in compiler.compared(data_dir, net).pairs:
        for name, ours in row.cells.items():
            assert ours is None or compiler.same(ours, printed[name], name, printed["unit"]), (row.layer, name)
        unknown = [name for name, ours in row.cells.items() if ours is None]
        assert unknown in ([], ["AxonMem"])
        assert str(row.cut.cores) == printed["Cores"]
        assert printed["core_slice_WxHxC"] == ("" if row.cut.slice is None else "x".join(map(str, row.cut.slice)))
        if printed["Total"] and row.total is not None:
            assert f"{row.total / 200:.2f}" == f"{float(printed['Total']):.2f}"


def test_total_by_formula_is_within_what_rounding_allows(data_dir: Path) -> None:
    rows = compiler.rows_of(data_dir / "silicon" / "compiler_tables.csv")
    percent = [row for row in rows if row["first_of_distinct"] == "1" and row["unit"] == "percent"]
    errors = [total_percent([float(row[n]) for n in compiler.REGISTERS]) - float(row["Total"]) for row in percent]
    assert len(errors) == 62
    assert max(map(abs, errors)) < 0.012


def test_chunks_and_logged_allocations_of_the_lists(data_dir: Path) -> None:
    def passes(net: str, layer: str) -> tuple[tuple[object, ...], list[int]]:
        table = compiler.compared(data_dir, net).table
        cut = next(row.cut for row in table.rows if row.layer == layer)
        return cut.chunks, [p.allocation for p in cut.passes]

    assert passes("Oxford", "0.dense") == ((4095, 2047, 1023, 511, 255, 127), [16200] * 4 + [16000])
    assert passes("Oxford", "1.dense") == ((4095, 2047, 1023, 511, 255, 127), [16128] * 5)
    assert passes("PilotNet LIF", "7.dense") == ((4095, 682, 113, 18, 9), [61440] * 3 + [12800])
    assert passes("MNIST netx", "0.dense") == ((4095, 1365, 455, 151, 50), [32144] * 4)
    mnist = compiler.compared(data_dir, "MNIST netx").table.rows[-1].cut
    assert mnist.log().endswith("converged after iteration=5")
    qubo = partition(compiler.QUBO, compiler.compiler_called("2022"))
    assert (qubo.chunks, [p.allocation for p in qubo.passes], qubo.cores) == ((4095, 240, 48), [204_000, 49_000], 21)


def test_memory_bars_of_every_core_from_the_net_file_alone(data_dir: Path) -> None:
    bars = compiler.bars(data_dir)
    assert len(bars) == 74
    assert max(abs(bar.used - silicon) for bar, silicon in bars) < 0.004
    measured = compiler.rows_of(data_dir / "silicon" / "pilotnet_lif_memory_bars.csv")
    assert [bar.neurons for bar, _ in bars] == [int(row["neurons_on_core"]) for row in measured]


def test_with_the_printed_axon_memory_bars_are_within_a_quarter_point(data_dir: Path) -> None:
    layers = compiler.net_layers(data_dir, compiler.BARS)
    printed = {"1.conv": 93, "2.conv": 32, "3.conv": 46, "4.conv": 9}
    ours = compiler.memory_bars(layers, compiler.compiler_called("2022"), axon_mem=printed)
    assert (
        max(abs(bar.used - silicon) for bar, (_, silicon) in zip(ours, compiler.bars(data_dir), strict=True)) < 0.0025
    )


def test_the_strategy_maps_pilotnet_to_the_compilers_74_cores(data_dir: Path) -> None:
    graph = Align()(import_net(data_dir / "silicon" / "pilotnet_snn.net"))
    program = Vendor("2022")(graph, load_chip("loihi2"))
    assert cores_used(program) == 74
    assert (program.population("10.dense").core == 0).all()
    assert [int((program.population("7.dense").core == core).sum()) for core in range(3, 15)] == [9] * 11 + [1]
