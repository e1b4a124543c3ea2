"""Cells of the table family x variant x lowering on Lava: many blocks side by side in one net, each by its own strategy."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import prod

import numpy as np
import pytest
from lowered_blocks import events, taken, with_weights

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.lowerings import SHAPE, T
from spikewright.toolchain.ops import Add, Affine, Conv, Input, Lif, Op, Output
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph

CELLS = {
    "in one run": (
        ("ma causal TCS", "causal"), ("ma paper TC", "static"), ("ma paper CS", "barrier"), ("ma sda TCS", "causal"),
        ("staa causal", "causal"), ("tcja causal T", "causal"), ("tcja causal TC count", "causal"),
        ("spike-attention channel", "causal"), ("spike-attention token", "causal"),
    ),
    "with gates from a run before": (
        ("ma code TCS", "replay"), ("staa reconstruction", "replay"), ("tcja published TC", "replay"),
    ),
}  # fmt: skip
"""A cell for every kind of neuron and every kind of source of gates that a lowering uses, by family and variant."""


def side_by_side(cells: tuple[tuple[str, str], ...]) -> Graph:
    """Return events - conv - [neuron] - block for each cell; the sum of what each answers."""
    rng = np.random.default_rng(1)
    ops: list[Op] = [Input(name="input", shape=(2, *SHAPE[1:]))]
    for k, (name, strategy) in enumerate(cells):
        block: AttentionBlock = with_weights(taken(strategy)[name], k)
        reads = f"spikes{k}" if "spikes" in block.inputs else f"conv{k}"
        weight = rng.normal(size=(block.reads[0], 2, 3, 3))
        ops.append(Conv(name=f"conv{k}", inputs=("input",), weight=weight, padding=(1, 1)))
        if reads != f"conv{k}":
            half, most = np.array(0.5), np.array(0.7)
            ops.append(Lif(name=reads, inputs=(f"conv{k}",), shape=block.reads, beta=half, v_threshold=most))
        ops.append(replace(block, name=f"block{k}", block=f"block{k}", inputs=(reads,)))
        ops.append(Affine(name=f"fc{k}", inputs=(f"block{k}",), weight=rng.normal(size=(3, prod(SHAPE)))))
    total = Add(name="sum", inputs=tuple(f"fc{k}" for k in range(len(cells))))
    return Graph((*ops, total, Output(name="output", inputs=("sum",))), T)


@cache
def deployed(kind: str) -> Deployment:
    gates = ",".join(f"block{k}={strategy}" for k, (_, strategy) in enumerate(CELLS[kind]))
    data = events(3)
    return deploy_graph(
        side_by_side(CELLS[kind]), Options(gates=gates, mapping="greedy"), data, name="cells", samples=data
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", CELLS)
def test_blocks_side_by_side_get_each_its_strategy_and_machine_and_interpreter_agree(kind: str) -> None:
    made = deployed(kind)

    assert made.strategies == {f"block{k}": strategy for k, (_, strategy) in enumerate(CELLS[kind])}
    assert made.compare(backends=("interpreter", "hw_sim")).equal


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("kind", CELLS)
def test_lava_agrees_on_every_cell(kind: str) -> None:
    assert deployed(kind).compare(backends=("interpreter", "lava"), limit=1).equal
