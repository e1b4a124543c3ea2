"""Every net that ships deploys, exactly where its gates are causal; it answers as it did (golden)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.zoo_check import beside
from numpy.typing import NDArray
from zoo_nets import LOOKS_AHEAD, captured, classifying, deployed, gates_of, zoo_answers

from spikewright import toolchain
from spikewright.models import zoo
from spikewright.toolchain.compare import compare
from spikewright.toolchain.data_sets import load_split
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.importing import Imported
from spikewright.toolchain.spike_driven.deployed import verdict_of

HOST = ("gac-fashion-published",)
"""A net whose gates stay on the host, though ``auto`` has too few samples to say that this loses nothing."""
QUICK = ("ma-digits", "gac-digits", "tcja-digits", "staa-digits-published")
"""Nets that are deployed in a quick run too: one a family, one that looks ahead."""
WEEKLY = {"gac-cifar10", "staa-cifar10"}
"""Nets that take a minute each; smaller ones of their families show the same, and what they answer is compared below."""
NETS = [
    name if name in QUICK else pytest.param(name, marks=[pytest.mark.slow, *[pytest.mark.weekly] * (name in WEEKLY)])
    for name in classifying()
]
GOLDEN = Path(__file__).parents[1] / "golden" / "zoo.json"


@pytest.fixture
def data(request: pytest.FixtureRequest, name: str) -> Path | None:
    """Return the folder of the net's data; None for the digits, which are always there."""
    if zoo.card(name).dataset == "digits":
        return None
    folder: Path = request.getfixturevalue("data_dir")
    return folder


def few(imported: Imported, data: Path | None, count: int) -> NDArray[np.float32]:
    card = imported.card
    return load_split(card["dataset"], card, timesteps=card["timesteps"], split="test", limit=count, data=data).x


@pytest.mark.parametrize("name", NETS)
def test_a_shipped_net_is_exact_on_the_interpreter_and_deploys(name: str, data: Path | None) -> None:
    module, card = zoo.build(name)
    imported = captured(name, data)
    x = few(imported, data, 12)

    expected, found, differ, compared = beside(module.double(), imported.float_graph(), torch.tensor(x))

    assert compared > 0
    assert (differ, int((expected != found).sum())) == (0, 0)
    gates = gates_of(name)
    if name in HOST:
        gates = "host"
    elif card.family != "gac" and card.variant in LOOKS_AHEAD:
        with pytest.raises(GateLoweringError, match=r"cannot be lowered by 'causal'") as refusal:
            deployed(name, "causal", data)
        assert "block" in refusal.value.where
        assert "--gates static" in refusal.value.help
    made = deployed(name, gates, data)
    assert verdict_of(made).spike_driven
    assert compare(made, ["interpreter", "hw_sim"], made.encode(x[:, :2])).equal


@pytest.mark.slow
@pytest.mark.parametrize("name", classifying())
def test_a_net_of_the_zoo_answers_as_it_did(name: str, data: Path | None) -> None:
    assert zoo_answers(name, data) == json.loads(GOLDEN.read_text())[name]


def test_auto_says_why_no_other_lowering_is_exact() -> None:
    with pytest.raises(
        GateLoweringError, match=r"static loses .*no other is exact: .*its temporal gate needs all T steps"
    ) as refusal:
        toolchain.deploy("ma-digits-published", options=toolchain.Options(tolerance=-1.0))

    assert refusal.value.where == "ma-digits-published, --gates auto"
    assert "--gates yourself (static" in refusal.value.help


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sdsa-digits", "qk-digits", "tcja-digits"])
def test_a_net_trained_with_the_silence_term_sends_only_what_its_input_causes(name: str) -> None:
    made = deployed(name, gates_of(name), None)
    check = made.check()

    assert check.ok
    assert check.event_driven is not None
    assert check.event_driven.share >= 0.95
    assert made.compare(limit=8).equal
