"""The table family x variant x lowering: each cell is a tiny net that was deployed and compared, or a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from spikewright.toolchain.attention_block import BEHIND, AttentionBlock
from spikewright.toolchain.block_registry import GROUP, load_block
from spikewright.toolchain.compare import compare
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, Conv, Input, Lif, Op, Output, Shape
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.split_host import first_blocks
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.plugins import points
from spikewright.toolchain.results import Result, Row
from spikewright.toolchain.samples import Samples

STRATEGIES = ("static", "causal", "barrier", "replay", "host")
T, SHAPE, HIDDEN, SAMPLES = 6, (4, 4, 4), 3, 4
"""Steps, neurons, the length of every free axis of a block's weights, and samples of a tiny net."""
WEIGHT = 0.3
"""Spread of the weights of its gates: small, so that a gate stays between shut and open."""


@dataclass(frozen=True)
class Cell:
    """One variant of a block under one lowering.

    Args:
        family: The block's kind.
        variant: Its variant, dimensions and other options.
        strategy: The lowering.
        works: Whether it deploys, and interpreter and machine agree bit for bit.
        exact: Whether the lowered net answers as the captured one.
        reason: Why it does not work; "" where it does.
    """

    family: str
    variant: str
    strategy: str
    works: bool
    exact: bool
    reason: str


@dataclass(frozen=True, repr=False)
class Lowerings(Result):
    """The table, as deployments of tiny nets found it."""

    cells: tuple[Cell, ...]

    def headline(self) -> str:
        """Return how many cells work."""
        works, exact = sum(cell.works for cell in self.cells), sum(cell.exact for cell in self.cells)
        return f"{works} of {len(self.cells)} lowerings of attention work, {exact} of them exactly"

    def text(self) -> str:
        """Return the table, and the reasons below it."""
        reasons = list(dict.fromkeys(cell.reason for cell in self.cells if cell.reason))
        rows: list[tuple[str, ...]] = [("family", "variant", *STRATEGIES)]
        for (family, variant), cells in self.by_variant().items():
            rows.append((family, variant, *(_mark(cell, reasons) for cell in cells)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([self.headline(), "", *lines, "", *_notes(reasons)])

    def markdown(self) -> str:
        """Return the table as README has it: variants that go alike share a row; the reasons are left to the command."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for (family, variant), cells in self.by_variant().items():
            alike.setdefault((family, *(_word(cell) for cell in cells)), []).append(variant)
        lines = [f"| family | variant | {' | '.join(STRATEGIES)} |", "|---" * (2 + len(STRATEGIES)) + "|"]
        lines += [
            f"| {family} | {', '.join(names)} | {' | '.join(words)} |" for (family, *words), names in alike.items()
        ]
        return "\n".join(lines)

    def by_variant(self) -> dict[tuple[str, str], list[Cell]]:
        """Return the cells of each variant, in the order of the strategies."""
        found: dict[tuple[str, str], list[Cell]] = {}
        for cell in self.cells:
            found.setdefault((cell.family, cell.variant), []).append(cell)
        return found

    def to_dict(self) -> Any:
        """Return what ``--json`` prints: one dict a cell."""
        return self.rows()

    def rows(self) -> list[Row]:
        """Return one dict a cell."""
        return [dict(vars(cell)) for cell in self.cells]


def _word(cell: Cell) -> str:
    return ("exact" if cell.exact else "drift") if cell.works else "no"


def _mark(cell: Cell, reasons: list[str]) -> str:
    return _word(cell) if cell.works else f"no ({reasons.index(cell.reason) + 1})"


def _notes(reasons: list[str]) -> list[str]:
    return [f"({number}) {reason}" for number, reason in enumerate(reasons, 1)]


def lowerings() -> Lowerings:
    """Deploy a tiny net for every cell of the table: all installed families, all variants, all strategies."""
    cells = [
        tried(block, variant, strategy)
        for point in points(GROUP)
        for variant, block in variants(load_block(point))
        for strategy in STRATEGIES
    ]
    return Lowerings(tuple(cells))


def variants(kind: type[AttentionBlock]) -> Iterator[tuple[str, AttentionBlock]]:
    """Yield every variant of a block with random weights, and what to call it; options that change nothing are left out."""
    seen: dict[str, str] = {}
    for values in product(*kind.choices.values()):
        block = _made(kind, dict(zip(kind.choices, values, strict=True)))
        what = repr((values[:1], sorted(block.expected().items()), [block.refusal(s) for s in STRATEGIES], block.title))
        usual = {f.name: f.default for f in fields(kind)}
        named = zip(kind.choices, values, strict=True)
        name = " ".join(value for option, value in named if option == "variant" or value != usual[option])
        if what not in seen:
            seen[what] = name
            yield name, block


def _made(kind: type[AttentionBlock], options: dict[str, str]) -> AttentionBlock:
    rng = np.random.default_rng(0)
    neuron = _lif("block.neuron") if kind.spiking else None
    bare = kind(
        name="block",
        inputs=("conv",) if kind.spiking or kind.gates_currents else ("spikes",),
        shape=SHAPE,
        neuron=neuron,
        timesteps=T,
        parameters={},
        gate="hard",
        **options,
    )
    parameters: dict[str, Array] = {}
    for name, shape in bare.expected().items():
        size = tuple(HIDDEN if n is None else n for n in shape)
        parameters[name] = np.asarray(WEIGHT * rng.normal(size=size))
    made = replace(bare, parameters=parameters, inputs=("spikes",) if bare.reads != SHAPE else bare.inputs)
    made.check()
    return made


def _lif(name: str, *reads: str, shape: Shape = SHAPE) -> Lif:
    return Lif(name=name, inputs=reads, shape=shape, beta=np.array(0.5), v_threshold=np.array(0.7))


def net_of(block: AttentionBlock, *, hosted: bool = True) -> Graph:
    """Return events (2, 4, 4) - conv - [neuron] - block - [neuron, where it sends currents] - 3 answers.

    One that gates currents stands in front of the first spike (``hosted``), or behind a layer of neurons of its own.
    """
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(block.reads[0], 2, 3, 3))
    front: list[Op] = [_lif("spikes", "conv", shape=block.reads)] if "spikes" in block.inputs else []
    if block.gates_currents and not hosted:
        mixed = rng.normal(size=(block.reads[0], block.reads[0], 1, 1))
        front = [_lif("spikes", "conv", shape=block.reads), Conv(name="mixed", inputs=("spikes",), weight=mixed)]
        block = replace(block, inputs=("mixed",))
    behind = [_lif("after", "block")] if block.gates_currents else []
    ops: list[Op] = [
        Input(name="input", shape=(2, *SHAPE[1:])),
        Conv(name="conv", inputs=("input",), weight=weight, padding=(1, 1)),
        *front,
        block,
        *behind,
        Affine(name="fc", inputs=("after" if behind else "block",), weight=rng.normal(size=(3, prod(SHAPE)))),
        Output(name="output", inputs=("fc",)),
    ]
    return Graph(tuple(ops), T)


def _not_hosted(block: AttentionBlock) -> str:
    """Return why no host computes a block; "" where one can that stands in front of the first spike."""
    return "" if first_blocks(net_of(block)) else BEHIND if block.spiking else block.refusal("host")


def tried(block: AttentionBlock, variant: str, strategy: str) -> Cell:
    """Deploy a tiny net with the block under a strategy, and compare interpreter and machine."""
    if strategy != "host" and (reason := block.refusal(strategy)):
        return Cell(block.kind, variant, strategy, False, False, reason)
    if strategy == "host" and (reason := _not_hosted(block)):
        return Cell(block.kind, variant, strategy, False, False, reason)
    rng = np.random.default_rng(2)
    shape = (T, SAMPLES, 2, *SHAPE[1:])
    x = np.repeat(rng.random((1, *shape[1:])), T, axis=0) if strategy == "host" else rng.random(shape) < 0.4
    samples = Samples(x.astype(np.float32), None, "random")
    try:
        made = deploy_graph(
            net_of(block, hosted=strategy == "host"),
            Options(gates=strategy, mapping="greedy"),
            samples,
            name=f"{block.kind} {variant}",
        )
        same = compare(made, ["interpreter", "hw_sim"], made.encode(samples.x)).equal
    except ToolchainError as error:
        return Cell(block.kind, variant, strategy, False, False, str(error).splitlines()[0])
    drifts = any(record.check == "drift" for record in made.passes if record.name != "quantize")
    return Cell(
        block.kind, variant, strategy, same, same and not drifts, "" if same else "interpreter and machine differ"
    )
