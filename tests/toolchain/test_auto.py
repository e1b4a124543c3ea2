"""Gates block by block: what is asked for, what ``auto`` prefers, and by what statistics it lets constants pass."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checked_nets import T, attention, conv, net

import spikewright as sw
from spikewright.toolchain.auto import Loss, upper
from spikewright.toolchain.bundle import load
from spikewright.toolchain.compare import compare
from spikewright.toolchain.data_sets import load_split
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import GateLoweringError, InputError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples, apart


def two_blocks(first: str = "causal", second: str = "causal") -> Graph:
    """Return a net of two MA blocks, 'ma' and 'late', and an answer of 3 classes."""
    late = attention(second, "C")
    late = replace(late, name="late", block="late", inputs=("conv2",))
    read = Affine(name="fc", inputs=("late",), weight=np.random.default_rng(2).normal(size=(3, 256)))
    return net(conv("conv1", "in", 4, 1), attention(first, "TC"), conv("conv2", "ma", 4, 4), late, read)


def events(n: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    return Samples((rng.random((T, n, 1, 8, 8)) < 0.3).astype(np.float32), rng.integers(0, 3, n), "random")


def deployed(graph: Graph, gates: Any, held_out: Samples | None = None, **more: Any) -> Deployment:
    return deploy_graph(
        graph, Options(gates=gates, mapping="greedy", **more), events(8, 0), name="net", samples=held_out
    )


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ({"ma": "static", "late": "causal"}, {"ma": "static", "late": "causal"}),
        ("late=static", {"ma": "causal", "late": "static"}),
        (["causal", "late=static"], {"ma": "causal", "late": "static"}),
        ("static", {"ma": "static", "late": "static"}),
        ("auto", {"ma": "causal", "late": "causal"}),
    ],
)
def test_every_block_gets_what_is_asked_of_it_and_else_its_exact_lowering(gates: Any, expected: dict[str, str]) -> None:
    made = deployed(two_blocks(), gates, tolerance=1.0)

    assert made.strategies == expected
    assert ({op.name for op in made.integer} >= {"ma.ca.table"}) == (expected["ma"] == "static")
    assert ({op.name for op in made.integer} >= {"late.ca.gate"}) == (expected["late"] == "causal")
    assert compare(made, ["interpreter", "hw_sim"], made.encode(events(2, 1).x)).equal


def test_auto_searches_block_by_block() -> None:
    made = deployed(two_blocks("causal", "paper"), "auto", events(40, 3), tolerance=1.0)

    assert made.strategies == {"ma": "causal", "late": "static"}
    (said,) = [d for d in made.diagnostics if d.code == "constant-gates"]
    assert said.where == "late"
    assert "points on 40 samples of random" in said.what
    assert "with 95 % confidence" in said.what


def test_constants_of_a_zoo_net_are_judged_on_the_end_of_its_train_split_without_what_calibrated() -> None:
    made = sw.deploy("ma-digits-published", gates="auto", tolerance=1.0, mapping="greedy")

    (said,) = [d.what for d in made.diagnostics if d.code == "constant-gates"]
    found = re.search(r"points on the last (\d+) of the 1,437 train samples of digits \(", said)
    assert found is not None
    assert 700 < int(found[1]) < 1000  # the last 1,000, but for those that calibrated
    ends = load_split("digits", made.card, timesteps=made.integer.timesteps, split="train", limit=5, last=True)
    whole = load_split("digits", made.card, timesteps=made.integer.timesteps, split="train")
    np.testing.assert_array_equal(ends.x, whole.x[:, -5:])
    assert ends.source == "the last 5 of the 1,437 train samples of digits"


def test_samples_are_told_from_others_by_what_they_hold() -> None:
    x = np.arange(12.0).reshape(2, 3, 2)
    some, others = Samples(x, np.arange(3), "a"), Samples(x[:, 1:2], None, "b")

    left = apart(some, others)

    np.testing.assert_array_equal(left.x, x[:, [0, 2]])
    np.testing.assert_array_equal(left.y, [0, 2])
    assert len(apart(others, some)) == 0


def test_gates_by_block_are_kept_and_repeated(tmp_path: Any) -> None:
    made = deployed(two_blocks(), {"late": "static"})
    made.save(tmp_path / "out")

    again = load(tmp_path / "out")

    assert again.options == made.options
    assert again.options.words()[:2] == ["--gates", "late=static"]


@pytest.mark.parametrize(
    ("gates", "kind", "message"),
    [
        ("latr=static", GateLoweringError, "there is no attention block 'latr'; there are 'ma', 'late'"),
        ("late=host", GateLoweringError, "cannot be lowered by 'host': the block stands behind the first spike"),
        ("causal", GateLoweringError, "its channel gate reads the membrane inside the step"),
        ("late=statc", InputError, "'statc'; auto, static, causal, barrier, replay, host are allowed"),
    ],
)
def test_what_does_not_go_is_refused_before_any_data_is_read(gates: str, kind: type[Exception], message: str) -> None:
    def read() -> Samples:
        raise AssertionError("data was read")

    with pytest.raises(kind, match=message):
        deploy_graph(two_blocks("causal", "paper"), Options(gates=gates), read, name="net")


@pytest.mark.parametrize(
    ("dims", "variant", "reason"),
    [
        ("C", "paper", "its channel gate reads the membrane inside the step, before any neuron may fire"),
        ("T", "paper", "its temporal gate needs all T steps"),
        ("CS", "code", "its channel and spatial gates pool over all T steps, of which most have not arrived"),
        ("TS", "paper", "its temporal gate needs all T steps, and its spatial gate reads the membrane inside the step, before"
         " any neuron may fire"),
    ],
)  # fmt: skip
def test_a_block_is_refused_for_a_gate_it_has(dims: str, variant: str, reason: str) -> None:
    assert attention(variant, dims).refusal("causal") == reason


def test_a_loss_counts_if_it_is_above_the_tolerance_and_no_chance() -> None:
    assert Loss(30, 8, 1000, "").beyond(0.01)
    assert not Loss(30, 8, 1000, "").beyond(0.03)
    assert not Loss(1, 0, 64, "").beyond(0.01)  # 1.6 points of 64 samples: one sample
    assert not Loss(14, 12, 100, "").beyond(0.01)
    assert Loss(0, 0, 10, "").beyond(-1.0)
    assert Loss(5, 0, 100, "").by_chance == 1 / 32


def test_the_bound_of_a_loss_is_the_exact_binomial_one() -> None:
    assert upper(0, 256, 0.025) == pytest.approx(1 - 0.025 ** (1 / 256))
    assert upper(7, 7, 0.025) == 1.0
    assert upper(3, 20, 0.025) == pytest.approx(
        0.3789, abs=1e-4
    )  # Clopper and Pearson's interval of 3 in 20: 0.0321 .. 0.3789
    assert Loss(22, 0, 1000, "").bound > 0.022


def test_constants_are_judged_on_held_out_samples_and_the_refusal_has_their_counts() -> None:
    with pytest.raises(GateLoweringError) as refusal:
        deployed(two_blocks("causal", "paper"), "auto", events(60, 5), tolerance=-1.0)

    said = str(refusal.value)
    assert "ma=causal, late=static loses" in said
    assert "points on 60 samples of random (" in said
    assert " worse, " in said
    assert "for block 'late', MA attention (C, variant 'paper'), no other is exact: its channel gate reads" in said
