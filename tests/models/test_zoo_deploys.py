"""Every net that ships deploys, exactly where its gates are causal, or is refused by name with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.zoo_check import beside

from spikewright import toolchain
from spikewright.models import zoo
from spikewright.toolchain.compare import compare
from spikewright.toolchain.data_sets import load_split
from spikewright.toolchain.deployment import Deployment, Samples
from spikewright.toolchain.errors import GateLoweringError, ToolchainError, UnsupportedNodeError
from spikewright.toolchain.importing import Imported, load_model
from spikewright.toolchain.passes.lower_gates import Strategy
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.verbs.check import check_deployment

LOOKS_AHEAD = ("paper", "code", "published", "reconstruction")
"""Variants of MA, TCJA and STAA whose gates need steps to come."""
NO_LOWERING = {
    "gac-cifar10": "reads the real-valued signal of .*: a dense product every step",
    "staa-cifar10": "the host encoder needs exactly one",
}
"""Nets that no gate lowering makes spike-driven, and what is said: MS-ResNet's shortcuts, attention in the stem."""
BIG = 1_000_000
"""Parameters from which on a net is not deployed in a quick run."""
NETS = [
    pytest.param(name, marks=pytest.mark.slow) if zoo.card(name).parameters > BIG else name
    for name in zoo.names()
    if zoo.card(name).accuracy is not None
]
OTHERS = [name for name in zoo.names() if zoo.card(name).accuracy is None]


@pytest.fixture
def data(request: pytest.FixtureRequest, name: str) -> Path | None:
    """Return the folder of the net's data; None for the digits, which are always there."""
    if zoo.card(name).dataset == "digits":
        return None
    folder: Path = request.getfixturevalue("data_dir")
    return folder


def samples(imported: Imported, data: Path | None, count: int) -> Samples:
    card = imported.card
    return load_split(card["dataset"], card, timesteps=card["timesteps"], split="test", limit=count, data=data)


def deploy(imported: Imported, gates: Strategy, few: Samples) -> Deployment:
    options = toolchain.Options(gates=gates)
    return deploy_graph(imported.float_graph(), options, few, name=imported.name, card=imported.card, samples=few)


@pytest.mark.parametrize("name", NETS)
def test_a_shipped_net_is_exact_on_the_interpreter_and_deploys_or_is_refused(name: str, data: Path | None) -> None:
    module, card = zoo.build(name)
    imported = load_model(name, data=data)
    few = samples(imported, data, 12)

    expected, found, differ, compared = beside(module.double(), imported.float_graph(), torch.tensor(few.x))

    assert compared > 0
    assert (differ, int((expected != found).sum())) == (0, 0)
    gates: Strategy = "causal"
    if card.family in ("gac", "vanilla"):
        gates = "auto"
    elif card.variant in LOOKS_AHEAD:
        with pytest.raises(GateLoweringError, match=r"cannot be lowered by 'causal'") as refusal:
            deploy(imported, "causal", few)
        assert "block" in refusal.value.where
        assert "--gates static" in refusal.value.help
        gates = "static"
    if name in NO_LOWERING:
        with pytest.raises(UnsupportedNodeError, match=NO_LOWERING[name]) as no:
            deploy(imported, gates, few)
        assert no.value.where
        assert no.value.help
        return
    made = deploy(imported, gates, few)
    assert check_deployment(made).spike_driven
    assert compare(made, ["interpreter", "hw_sim"], made.encode(few.x[:, :2])).equal


@pytest.mark.parametrize("name", OTHERS)
def test_a_shipped_net_that_does_not_classify_is_refused(name: str, data: Path | None) -> None:
    with pytest.raises(ToolchainError) as refusal:
        load_model(name, data=data)

    assert refusal.value.where
    assert refusal.value.help


def test_auto_says_why_no_other_lowering_is_exact() -> None:
    with pytest.raises(
        GateLoweringError, match=r"static loses .*its temporal gate needs all T steps.*replay"
    ) as refusal:
        toolchain.deploy("ma-digits-published", toolchain.Options(tolerance=-1.0))

    assert refusal.value.where == "ma-digits-published, --gates auto"
    assert "--gates yourself (static" in refusal.value.help
