"""Tiny deployed nets around one attention block under a strategy, with random weights, for what is asked of every lowering."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.block_registry import GROUP, load_block
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.gates import GATES
from spikewright.toolchain.lowerings import SHAPE, T, net_of, variants
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples


@cache
def taken(strategy: str) -> dict[str, AttentionBlock]:
    """Return every variant of every installed block that a strategy takes, by family and variant."""
    kinds = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    found = ((f"{point.name} {name}", block) for point in kinds for name, block in variants(load_block(point)))
    return {name: block for name, block in found if not block.refusal(strategy)}


def with_weights(block: AttentionBlock, seed: int) -> AttentionBlock:
    """Return a block with other weights and another gate function."""
    rng = np.random.default_rng(seed)
    parameters = {name: np.asarray(rng.normal(size=np.shape(w))) for name, w in block.parameters.items()}
    return replace(block, parameters=parameters, gate=str(rng.choice(GATES)))  # type: ignore[arg-type]


def events(seed: int, samples: int = 4) -> Samples:
    """Return random events for the tiny nets."""
    x = np.random.default_rng(seed).random((T, samples, 2, *SHAPE[1:])) < 0.6
    return Samples(x.astype(np.float32), None, "random", simulated=True)


def lowered(block: AttentionBlock, strategy: str, seed: int = 0) -> Deployment:
    """Deploy the tiny net around a block."""
    data = events(seed)
    graph = net_of(block, hosted=strategy == "host")
    return deploy_graph(graph, Options(gates=strategy, mapping="greedy"), data, name=block.kind, samples=data)
