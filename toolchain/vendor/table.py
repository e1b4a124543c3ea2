"""The table the compiler prints: one row a layer, last layer first; words (2022) or percent of a core (2023).

    Total = 100 (AxonIn + NeuronGr + Neurons + Synapses + AxonMap + AxonMem) / 20,000 percent, or the plain sum in words

exact on 62 percent and 3 word rows. Lists of the 2022 compiler are printed as the mean over the layer's cores, cut to an
integer; grids, and all of 2023, as the full-size core; a grid's AxonMap of 2022 is a mean too (6 of 6 rows of PilotNet).

======== ============================================================= =====================================================
column   list                                                          grid, full core of x, y, c
======== ============================================================= =====================================================
AxonIn   inputs                                                        powers of two in c, per convolution (16 of 16 rows)
NeuronGr 1                                                             2022: 1; 2023: powers of two in c (two in one row)
Synapses see ``lists``                                                 see ``lists``
AxonMap  neurons x destinations, to lists or the host                  x y times powers of two in c, per convolution it feeds
                                                                       (16 of 16 rows)
AxonMem  0 (all rows)                                                  0 to lists and host; to a convolution ``n/a``
======== ============================================================= =====================================================

AxonMem of a layer that feeds a convolution is not known (no rule fits all 14 rows): it is ``n/a``, and so is its Total, of
which the known part is printed as ``>``. The same holds for axons of gate ports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spikewright.toolchain.vendor.layers import ONE_TO_ONE, Layer, layers_of
from spikewright.toolchain.vendor.lists import Conv, FromHost, axon_pieces, pieces
from spikewright.toolchain.vendor.numbers import (
    CAPACITY,
    REGISTERS,
    TOTAL_WORDS,
    Compiler,
    compiler_called,
)
from spikewright.toolchain.vendor.partition import Cut, Slice, partition

if TYPE_CHECKING:
    from spikewright.toolchain.deployment import Deployment

Cells = dict[str, int | None]
"""Words by column of the table; None is not known."""


def total(cells: Cells) -> int | None:
    """Return the words of all columns, or None where one is not known."""
    known = [words for words in cells.values() if words is not None]
    return sum(known) if len(known) == len(REGISTERS) else None


def total_percent(percents: Sequence[float]) -> float:
    """Return Total in percent from the six printed percents, in the table's order."""
    return sum(p * CAPACITY[name] for p, name in zip(percents, REGISTERS, strict=True)) / TOTAL_WORDS


@dataclass(frozen=True)
class Row:
    """One layer.

    Args:
        layer: Its name.
        neurons: How many it has.
        cells: What is printed, in words (neurons, groups).
        cut: How it is cut.
        unit: Of the printed table.
        notes: What of it no printed row shows.
    """

    layer: str
    neurons: int
    cells: Cells
    cut: Cut
    unit: str
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int | None:
        """Words of all columns, or None where one is not known. In words of 64 bits."""
        return total(self.cells)

    @property
    def known(self) -> int:
        """Words of the columns that are known. In words of 64 bits."""
        return sum(words for words in self.cells.values() if words is not None)

    @property
    def core(self) -> str:
        """What a full core holds."""
        if self.cut.slice is not None:
            return "({}, {}, {})".format(*self.cut.slice)
        return "does not converge" if self.cut.chunk is None else f"{min(self.cut.chunk, self.neurons)} neurons"

    def texts(self) -> list[str]:
        """Return the printed cells."""
        shown = [_shown(words, CAPACITY[name], self.unit) for name, words in self.cells.items()]
        whole = _shown(self.known, TOTAL_WORDS, self.unit)
        cores = "none" if self.cut.cores is None else str(self.cut.cores)
        return [*shown, whole if self.total is not None else f">{whole}", cores, self.core]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "layer": self.layer,
            **self.cells,
            "Total": self.total,
            "Total_known": self.known,
            "Cores": self.cut.cores,
            "slice": self.cut.slice,
            "chunk": self.cut.chunk,
            "converged": self.cut.converged,
            "passes": [str(p) for p in self.cut.passes],
            "notes": list(self.notes),
        }


HEAD = (*REGISTERS, "Total", "Cores", "core holds")


@dataclass(frozen=True)
class VendorTable:
    """The table of a net; rows in printed order, last layer first."""

    rows: tuple[Row, ...]
    compiler: Compiler

    @property
    def converged(self) -> bool:
        """Whether every layer was cut."""
        return all(row.cut.converged for row in self.rows)

    @property
    def cores(self) -> int | None:
        """Cores of the net, or None where a layer does not converge."""
        found = [row.cut.cores for row in self.rows if row.cut.cores is not None]
        return sum(found) if len(found) == len(self.rows) else None

    def __str__(self) -> str:
        """Return the table as text, with the log of the passes and what is not known."""
        unit = "words of 64 bits" if self.compiler.unit == "words" else "percent of a core"
        cells = [[*row.texts(), row.layer] for row in self.rows]
        widths = [max(map(len, column)) for column in zip([*HEAD, "layer"], *cells, strict=True)]
        lines = [f"Per core utilization, {unit} (compiler of {self.compiler.name}, rebuilt from its printed tables)"]
        for line in ([*HEAD, "layer"], *cells):
            lines.append("|" + "|".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + "|")
        cores = "none: a layer does not converge" if self.cores is None else str(self.cores)
        lines.append(f"Total cores: {cores}")
        for row in reversed(self.rows):
            if row.cut.passes:
                lines.append(f"{row.layer}: partition\n  " + row.cut.log().replace("\n", "\n  "))
        lines += [f"{row.layer}: {note}" for row in reversed(self.rows) for note in row.notes]
        if any(row.total is None for row in self.rows):
            lines.append("n/a: not known, no rule fits the printed tables; Total is then the sum of the known columns")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; words, whatever the unit of the printed table. A word has 64 bits."""
        return {
            "compiler": self.compiler.name,
            "printed_unit": self.compiler.unit,
            "cores": self.cores,
            "converged": self.converged,
            "rows": [row.to_dict() for row in self.rows],
        }


def vendor_table(deployment: Deployment, compiler: str = "2023") -> VendorTable:
    """Return the table the vendor's compiler would print for a deployment; the chip it was mapped to plays no part.

    Args:
        deployment: Its integer graph is read.
        compiler: ``2022`` (words, 12,000 words of synapses a core) or ``2023`` (percent, 16,000).

    Raises:
        MappingError: A layer no printed table shows the like of.
        InputError: No such compiler.
    """
    return table_of(layers_of(deployment.integer), compiler_called(compiler))


def table_of(layers: Sequence[Layer], compiler: Compiler) -> VendorTable:
    """Return the table of layers, first layer first."""
    return VendorTable(tuple(_row(layer, compiler) for layer in reversed(layers)), compiler)


def _row(layer: Layer, compiler: Compiler) -> Row:
    cut = partition(layer, compiler)
    cells: Cells = dict.fromkeys(REGISTERS)
    if cut.chunk is not None:
        cells = _list_cells(layer, cut.chunk, mean=compiler.unit == "words")
    elif cut.slice is not None:
        cells = _grid_cells(layer, cut, compiler)
    return Row(layer.name, layer.size, cells, cut, compiler.unit, layer.notes)


def _list_cells(layer: Layer, chunk: int, *, mean: bool) -> Cells:
    """Return the mean core, cut to integers, or the full one."""
    firsts = range(0, layer.size, chunk)
    cores = [list_core(layer, k, min(k + chunk, layer.size)) for k in (firsts if mean else firsts[:1])]
    return {name: _mean([core[name] for core in cores]) for name in REGISTERS}


def list_core(layer: Layer, first: int, last: int) -> Cells:
    """Return what one core of a list takes. Words of 64 bits by column, None where no rule is known."""
    n = last - first
    axons = sum(link.axons_in(first, last) for link in layer.on_lists)
    axons += sum(isinstance(link, FromHost) for link in layer.connections)
    known = not layer.gated
    feeds_grid = "grid" in layer.targets
    return {
        "AxonIn": axons if known else None,
        "NeuronGr": 1,
        "Neurons": n,
        "Synapses": layer.words(first, last),
        "AxonMap": n * len(layer.targets) if known and not feeds_grid else None,
        "AxonMem": 0 if known and not feeds_grid else None,
    }


def grid_core(layer: Layer, core: Slice, compiler: Compiler) -> Cells:
    """Return what a full core of a grid takes; a part-filled one is allocated the same.

    Words of 64 bits by column, None where no rule is known.
    """
    x, y, c = core
    known = not layer.gated and ONE_TO_ONE not in layer.notes
    convolutions = [link for link in layer.connections if isinstance(link, Conv)]
    hosts = sum(isinstance(link, FromHost) for link in layer.connections)
    pieced = axon_pieces(c)
    to_grid = layer.targets.count("grid")
    mapped = x * y * (pieced * to_grid + c * (len(layer.targets) - to_grid))
    return {
        "AxonIn": pieced * len(convolutions) + hosts if known else None,
        "NeuronGr": 1 if compiler.cuts == "x" else len(pieces(c)),
        "Neurons": x * y * c,
        "Synapses": sum(link.words(c) for link in convolutions) if ONE_TO_ONE not in layer.notes else None,
        "AxonMap": mapped if not layer.gated else None,
        "AxonMem": None if to_grid or layer.gated else 0,
    }


def _grid_cells(layer: Layer, cut: Cut, compiler: Compiler) -> Cells:
    assert cut.slice is not None
    assert cut.cores is not None
    cells = grid_core(layer, cut.slice, compiler)
    x, y, c = cut.slice
    mapped = cells["AxonMap"]
    if mapped is not None and compiler.unit == "words":
        cells["AxonMap"] = mapped * layer.size // (x * y * c * cut.cores)
    return cells


def _mean(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) // len(known) if known else None


def _shown(words: int | None, capacity: int, unit: str) -> str:
    if words is None:
        return "n/a"
    return str(words) if unit == "words" else f"{100 * words / capacity:.2f}"
