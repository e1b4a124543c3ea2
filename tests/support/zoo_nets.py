"""The zoo's nets as tests deploy them: each is captured once a session, and compiled once for a gate strategy."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from golden_nets import counted

from spikewright.models import zoo
from spikewright.toolchain.data_sets import load_split
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.importing import Imported, load_model
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.lower_gates import Strategy
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

SAMPLES = 64
"""Test samples that travel with each."""
CALIBRATION = 64
"""Train samples that decide ranges, drawn by seed 0."""


LOOKS_AHEAD = ("paper", "code", "published", "reconstruction")
"""Variants of MA, TCJA and STAA whose gates need steps to come."""


def gates_of(name: str) -> Strategy:
    """Return the strategy a net is deployed with: a causal one exactly, one that looks ahead with constants, unjudged."""
    card = zoo.card(name)
    if card.family != "gac" and card.variant in (*LOOKS_AHEAD, "causal"):
        return "causal" if card.variant == "causal" else "static"
    return "auto"


@cache
def captured(name: str, data: Path | None) -> Imported:
    return load_model(name, data=data)


@cache
def deployed(name: str, gates: Strategy, data: Path | None) -> Deployment:
    imported = captured(name, data)

    def few(split: str, limit: int, seed: int | None) -> Samples:
        card, steps = imported.card, imported.card["timesteps"]
        return load_split(card["dataset"], card, timesteps=steps, split=split, limit=limit, seed=seed, data=data)

    return deploy_graph(
        imported.float_graph(),
        Options(gates=gates),
        few("train", CALIBRATION, 0),
        name=name,
        card=imported.card,
        samples=few("test", SAMPLES, None),
    )


def classifying() -> list[str]:
    """Return the nets that classify."""
    return [name for name in zoo.names() if zoo.card(name).accuracy is not None]


def zoo_answers(name: str, data: Path | None) -> dict[str, Any]:
    """Deploy a net of the zoo, causal ones with causal gates, and count; or say how it is refused."""
    gates = gates_of(name)
    try:
        return {"gates": gates, **counted(deployed(name, gates, data))}
    except ToolchainError as error:
        return {"gates": gates, "refused": f"{type(error).__name__}: {error.where}"}
