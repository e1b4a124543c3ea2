"""The numbers of the closed compiler's memory model, each with unit, basis and source; the one place they stand.

They are data of one chip. Tables: the ``Total`` of 65 printed rows; logs: the violations of five printed partitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from spikewright.hw_sim.costs import Fact
from spikewright.toolchain.errors import InputError

REGISTERS: Final = ("AxonIn", "NeuronGr", "Neurons", "Synapses", "AxonMap", "AxonMem")
"""Columns of the table, in printed order; all in words but NeuronGr (groups) and Neurons (neurons), one word each in Total."""

TABLES = (
    "tables and logs printed in notebooks of lava-dl (netx: oxford, pilotnet_snn, mnist, yolo_kp) and lava-optimization"
)
BARS = "bar plot of run b9e36917, lava-dl tutorials netx/pilotnet_snn/benchmark.ipynb, read off the picture"
NENGO = "nengo-loihi, SynapseConfig.WEIGHT_BITS_MAP (Loihi 1's weight field)"


def _read(value: float, unit: str, note: str, source: str = TABLES) -> Fact:
    return Fact(value, unit, "secondary", source, note)


FACTS: dict[str, Fact] = {
    "word_bits": _read(64, "bits", "fitted: with 64 the words of all dense and convolution rows come out"),
    "index_bits": _read(12, "bits", "of a synapse of a dense list, beside its weight; fitted on the dense rows"),
    "header_bits": _read(6, "bits", "per list; 1..12 fit every row, 0 and 13 on do not: not determined closer"),
    "register_words": _read(16_000, "words", "AxonIn, Synapses, AxonMap, AxonMem each; the unit of the percent tables"),
    "synapse_words_2022": _read(12_000, "words", "limit in the logs until July 2023 (PilotNet, Oxford, QUBO)"),
    "neurons": _read(4095, "neurons", "65.64 % = 2688 / 4095; also the first chunk of every partition"),
    "neuron_groups": _read(8, "groups", "one is 12.5 %"),
    "total_words": _read(
        20_000, "words", "Total = sum of the six columns / 20,000; exact on 62 percent and 3 word rows"
    ),
    "core_words": _read(20_480, "words", "160 KiB; fitted on 74 bars (free fit: 20,527)", BARS),
    "base_fraction": _read(0.1536, "fraction of a core", "used before the net; fitted on 74 bars (free: 0.1540)", BARS),
}
"""All of it; basis secondary: read or inferred from what the closed compiler and the board printed."""

WORD_BITS: Final = int(FACTS["word_bits"].value)
INDEX_BITS: Final = int(FACTS["index_bits"].value)
HEADER_BITS: Final = int(FACTS["header_bits"].value)
REGISTER_WORDS: Final = int(FACTS["register_words"].value)
NEURONS: Final = int(FACTS["neurons"].value)
NEURON_GROUPS: Final = int(FACTS["neuron_groups"].value)
TOTAL_WORDS: Final = int(FACTS["total_words"].value)
CORE_WORDS: Final = int(FACTS["core_words"].value)
BASE_FRACTION: Final = FACTS["base_fraction"].value

CAPACITY: Final = {name: REGISTER_WORDS for name in REGISTERS} | {"NeuronGr": NEURON_GROUPS, "Neurons": NEURONS}
"""What 100 % of each column is."""

WEIGHT_FIELD: Final = (0, 1, 2, 3, 4, 5, 6, 8)
"""Bits a weight can have: a 3-bit field whose last code means 8 (source: ``NENGO``, for Loihi 1; basis: secondary). That
Loihi 2 kept it is inferred from one row: Oxford dense2 needs 7 bits, and its words and log say 8."""

MIN_PIECE: Final = 4
"""Channels of the smallest piece in AxonIn and AxonMap; fitted on one row: PilotNet's 3 input channels are one, not 2 + 1."""


@dataclass(frozen=True)
class Compiler:
    """One version of the compiler.

    Args:
        name: Year of its first known table.
        synapse_words: Words of synapses a core takes before a layer is cut.
        unit: What its tables print.
        cuts: ``x``: convolutions are cut into columns only; ``xyc``: into columns, rows and channels.
    """

    name: str
    synapse_words: int
    unit: Literal["words", "percent"]
    cuts: Literal["x", "xyc"]


COMPILERS: Final = {
    "2022": Compiler("2022", int(FACTS["synapse_words_2022"].value), "words", "x"),
    "2023": Compiler("2023", REGISTER_WORDS, "percent", "xyc"),
}
"""``2022``: tables of September 2022 to July 2023; ``2023``: those of October 2023 to June 2024."""


def compiler_called(name: str) -> Compiler:
    """Return a version by its year.

    Raises:
        InputError: There is no such version.
    """
    try:
        return COMPILERS[name]
    except KeyError as error:
        raise InputError(
            f"{name!r}; known are {', '.join(COMPILERS)}", where="compiler", help="name one of these years"
        ) from error
