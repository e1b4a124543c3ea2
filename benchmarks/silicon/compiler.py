"""The twin of the closed Loihi 2 compiler against its printed tables, core counts and the memory bars of one board.

Rows with public weights: PilotNet LIF, Oxford, MNIST (14 rows); ten of YOLO-KP with weight bits taken from the row itself, as
its weights are not public: there the row is reproduced, not predicted. The rules were found on these rows; see
``toolchain.vendor``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikewright.export.netx import import_net
from spikewright.toolchain.integer import IntArray
from spikewright.toolchain.vendor import (
    FACTS,
    Bar,
    Conv,
    Dense,
    Layer,
    Row,
    VendorTable,
    compiler_called,
    layers_of,
    memory_bars,
    table_of,
    weight_bits,
)
from spikewright.toolchain.vendor.lists import bits_by_range
from spikewright.toolchain.vendor.numbers import CAPACITY, REGISTERS, TOTAL_WORDS

Printed = dict[str, str]
"""One row of ``compiler_tables.csv``."""

FILES = {
    "PilotNet LIF": ("silicon/pilotnet_snn.net", "2022"),
    "Oxford": ("nets/oxford_200_256_200.net", "2022"),
    "MNIST netx": ("nets/mnist_784_128_64_10.net", "2023"),
}
"""Nets whose weights are public: file and the compiler that printed their table."""
SHAPES = {"YOLO-KP SDNN": "2023"}
"""Nets of which shapes and weight bits only are known."""
BARS = "PilotNet LIF"
QUBO = Layer("QUBO", (1000,), (Dense(1000, 1),), ("list", "list"))
"""1000 x 1000, weight bits fitted on its row (1 is also what weights of one value, as in its problem class, take)."""


@dataclass(frozen=True)
class Compared:
    """One net: our table beside the printed one, row by row."""

    net: str
    table: VendorTable
    printed: tuple[Printed, ...]

    @property
    def pairs(self) -> list[tuple[Row, Printed]]:
        """(ours, printed) rows, last layer first."""
        return list(zip(self.table.rows, self.printed, strict=True))

    @property
    def cores(self) -> list[int | None]:
        """[ours, vendor]."""
        return [self.table.cores, int(self.printed[0]["table_total_cores"])]


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file whose first line is a comment."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def printed_rows(folder: Path, net: str) -> tuple[Printed, ...]:
    """Return the rows of the first table of a net."""
    rows = [row for row in rows_of(folder / "silicon" / "compiler_tables.csv") if row["net"] == net]
    return tuple(row for row in rows if row["table"] == rows[0]["table"])


def net_layers(folder: Path, net: str, *, by_range: bool = False) -> tuple[Layer, ...]:
    """Return the layers of a net; ``by_range``: weight bits before the chip's weight field."""

    def bits(weight: IntArray) -> int:
        return bits_by_range(weight) if by_range else weight_bits(weight)

    if net in FILES:
        return layers_of(import_net(folder / FILES[net][0]), bits)
    return tuple(shaped(row) for row in rows_of(folder / "silicon" / "net_shapes.csv") if row["net"] == net)


def shaped(row: dict[str, str]) -> Layer:
    """Return a convolution from a row of ``net_shapes.csv``; of several weight bits that fit, the fewest."""
    c, h, w = int(row["C"]), int(row["H"]), int(row["W"])
    kernel = [int(k) for k in row["type"].removeprefix("conv ").split("x")]
    bits = min(int(n) for n in row["weight_bits"].replace("..", "|").split("|"))
    last = row["layer"] == "L10"
    conv = Conv(int(row["in_channels"]), kernel[0] * kernel[1], bits, c)
    return Layer(row["layer"], (c, h, w), (conv,), ("host",) if last else ("grid",))


def compared(folder: Path, net: str, *, by_range: bool = False) -> Compared:
    """Return our table of a net beside the printed one."""
    version = compiler_called(FILES[net][1] if net in FILES else SHAPES[net])
    return Compared(net, table_of(net_layers(folder, net, by_range=by_range), version), printed_rows(folder, net))


def same(ours: int | None, printed: str, name: str, unit: str) -> bool:
    """Whether a cell prints as the vendor's; a percent to its two decimals."""
    if ours is None:
        return False
    return ours == int(printed) if unit == "words" else f"{100 * ours / CAPACITY[name]:.2f}" == f"{float(printed):.2f}"


def word_rows(found: list[Compared]) -> list[tuple[str, bool]]:
    """Return (net and layer, whether the synapse words are the printed ones) of every layer with synapses."""
    return [
        (f"{one.net} {printed['layer']}", same(row.cells["Synapses"], printed["Synapses"], "Synapses", printed["unit"]))
        for one in found
        for row, printed in one.pairs
        if float(printed["Synapses"]) > 0
    ]


def cells(found: list[Compared]) -> dict[str, list[int]]:
    """Return, by column, [exact, not exact, n/a here] over all rows."""
    counts = {name: [0, 0, 0] for name in REGISTERS}
    for one in found:
        for row, printed in one.pairs:
            for name, ours in row.cells.items():
                exact = same(ours, printed[name], name, printed["unit"])
                counts[name][2 if ours is None else int(not exact)] += 1
    return counts


def totals(folder: Path) -> list[bool]:
    """Return, for every distinct row that prints a Total, whether the formula gives it.

    A percent row: there are whole words, each rounding to its printed percent, whose sum rounds to the printed Total.
    """
    rows = rows_of(folder / "silicon" / "compiler_tables.csv")
    distinct = [row for row in rows if row["first_of_distinct"] == "1" and row["Total"]]
    return [_words_total(row) if row["unit"] == "words" else _percent_total(row) for row in distinct]


def _words_total(row: Printed) -> bool:
    return sum(int(row[name]) for name in REGISTERS) == int(row["Total"])


def _percent_total(row: Printed) -> bool:
    low = high = 0
    for name in REGISTERS:
        found = whole_words(float(row[name]), CAPACITY[name])
        low, high = low + found.start, high + found.stop - 1
    sums = whole_words(float(row["Total"]), TOTAL_WORDS)
    return max(low, sums.start) <= min(high, sums.stop - 1)


def whole_words(percent: float, capacity: int) -> range:
    """Return the whole numbers that print as a percent of two decimals, to half a last digit, ends included."""
    edge = 1e-9
    low, high = ((percent + side) * capacity / 100 for side in (-0.005 - edge, 0.005 + edge))
    return range(max(-int(-low // 1), 0), int(high // 1) + 1)


def bars(folder: Path) -> list[tuple[Bar, float]]:
    """Return, for every core of PilotNet LIF, our bar and the one read off the board's plot; nothing of its table enters."""
    measured = rows_of(folder / "silicon" / "pilotnet_lif_memory_bars.csv")
    ours = memory_bars(net_layers(folder, BARS), compiler_called(FILES[BARS][1]))
    return [(bar, float(row["mem_used_fraction_silicon"])) for bar, row in zip(ours, measured, strict=True)]


def qubo(folder: Path) -> bool:
    """Whether the 1000 x 1000 QUBO row comes out, cores too."""
    (row,) = table_of((QUBO,), compiler_called("2022")).rows
    printed = next(r for r in rows_of(folder / "silicon" / "compiler_tables.csv") if r["distinct_id"] == "25")
    return row.cut.cores == int(printed["Cores"]) and all(row.cells[name] == int(printed[name]) for name in REGISTERS)


def summary(folder: Path) -> dict[str, Any]:
    """Return what ``--json`` prints of the compiler; ``memory_bar_error_max`` is a signed fraction of a core's memory."""
    nets = [*FILES, *SHAPES]
    found = [compared(folder, net) for net in nets]
    rows = word_rows(found)
    plain = word_rows([compared(folder, net, by_range=True) for net in nets])
    formula = totals(folder)
    return {
        "compiler_rows_exact": sum(exact for _, exact in rows),
        "compiler_rows": len(rows),
        "compiler_rows_not_exact": [name for name, exact in rows if not exact],
        "compiler_rows_exact_by_range_alone": sum(exact for _, exact in plain),
        "compiler_rows_not_exact_by_range_alone": [name for name, exact in plain if not exact],
        "compiler_row_qubo_exact": qubo(folder),
        "compiler_cells": cells(found),
        "totals_exact": sum(formula),
        "totals": len(formula),
        "core_counts": {one.net: one.cores for one in found},
        "memory_bar_error_max": max((bar.used - silicon for bar, silicon in bars(folder)), key=abs),
    }


def text(folder: Path) -> str:
    """Return the same for people."""
    made = summary(folder)
    alone, but = made["compiler_rows_exact_by_range_alone"], ", ".join(made["compiler_rows_not_exact_by_range_alone"])
    fields = "; ".join(f"{net} {ours} / {vendor}" for net, (ours, vendor) in made["core_counts"].items())
    known = "; ".join(
        f"{name} {good} + {bad} wrong + {none} n/a" for name, (good, bad, none) in made["compiler_cells"].items()
    )
    return "\n".join(
        [
            f"vendor's compiler: synapse words {made['compiler_rows_exact']} of {made['compiler_rows']} rows exact "
            f"(ten with weight bits taken from the row); by the range of weights alone {alone}, without {but}",
            f"  Total {made['totals_exact']} of {made['totals']} rows; cores ours / vendor: {fields}",
            f"  cells exact: {known}",
            f"  memory bars of {BARS}, 74 cores: largest error {made['memory_bar_error_max'] * 100:+.2f} points of a core "
            f"({int(FACTS['core_words'].value):,} words; base and size fitted on these bars)",
        ]
    )
