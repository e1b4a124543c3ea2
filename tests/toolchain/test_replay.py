"""Lowerings that are exact: on the machine as in the captured net, also where gates need steps to come, or all membranes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_counts import examples
from hypothesis import given
from lowered_blocks import events, lowered, taken, with_weights
from random_nets import seeds

import spikewright as sw
from spikewright.toolchain import replay
from spikewright.toolchain.attention_block import replayed
from spikewright.toolchain.backends import IntArray, Progress, RunResult
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.errors import BackendError, UnsupportedNodeError
from spikewright.toolchain.integer import IntNeuron, replays_of
from spikewright.toolchain.lowerings import net_of
from spikewright.toolchain.ops import Affine
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.stage import EXACT


@pytest.mark.parametrize("strategy", ["replay", "barrier", "causal"])
@examples(15)
@given(seed=seeds)
def test_every_variant_is_the_captured_net_and_runs_alike_bit_for_bit(strategy: str, seed: int) -> None:
    blocks = taken(strategy)
    name = sorted(blocks)[seed % len(blocks)]

    made = lowered(with_weights(blocks[name], seed), strategy, seed)

    errors = {record.name: record.answer_error for record in made.passes if record.check == "exact"}
    assert errors["lower-gates"] < EXACT
    compared = made.compare()
    assert compared.equal, name
    assert compared.to_dict()["membranes_compared"] > 0
    found = made.check()
    assert found.faithful is not None
    assert found.faithful.faults == (), name
    assert found.audit is not None
    assert found.audit.ok
    assert found.spike_driven is (strategy == "causal"), found.text()


def test_every_form_that_looks_ahead_can_be_replayed_and_every_pool_of_membranes_waited_for() -> None:
    assert {
        "ma code TCS",
        "ma paper TCS",
        "ma paper T",
        "staa reconstruction",
        "tcja published TC",
        "tcja causal TC",
    } <= {*taken("replay")}
    assert {*taken("barrier")} == {"ma paper C", "ma paper S", "ma paper CS"}


@pytest.fixture(scope="module")
def made() -> Deployment:
    return lowered(with_weights(taken("replay")["ma code TCS"], 3), "replay", 3)


def test_the_machine_computes_its_gates_from_what_it_read_and_counts_every_run(made: Deployment) -> None:
    (ta, *_), x = replays_of(made.integer), made.encode(events(3).x)
    T, B = x.shape[:2]

    result = replay.run(made.backend("hw_sim"), made, x, record=True)

    (tap,) = ta.inputs
    read = made.integer[tap]
    assert isinstance(read, IntNeuron)
    v = result.recordings[tap].v * read.scale.reshape(-1, *(1,) * (len(read.shape) - 1))
    assert result.last is not None
    assert result.trace is not None
    levels = np.round(replayed(ta, [v]) * 256)
    np.testing.assert_array_equal(result.last.spikes[ta.name], levels)
    assert result.trace.chip_steps == 2 * result.last.chip_steps
    assert result.trace.neuron_updates.sum() == 2 * result.last.neuron_updates.sum()
    sent = sum(result.last.populations[op.name].spikes for op in replays_of(made.integer))
    assert result.trace.host_messages.sum() > result.last.host_messages.sum() >= sent
    nothing = replay.run(made.backend("hw_sim"), made, np.zeros_like(x)).trace
    assert nothing is not None
    assert nothing.host_messages.sum() >= T * B * read.size


def test_a_run_says_how_often_a_sample_runs_and_what_the_host_reads_and_computes(made: Deployment) -> None:
    run = made.run()

    block = taken("replay")["ma code TCS"]
    assert run.to_dict()["replay"] == {"runs": 2, "values_read": 64 * 6}
    assert run.to_dict()["host_macs"] == round(block.cost().macs)
    assert "replay      2 runs a sample; between them the host reads 384 values and computes the gates" in run.text()


def test_a_bundle_of_a_replayed_net_runs_as_before(made: Deployment, tmp_path: Path) -> None:
    made.save(tmp_path / "net")

    again = sw.load(tmp_path / "net")

    assert again.compare().equal
    np.testing.assert_array_equal(again.run().answer, made.run().answer)


def test_the_verdict_says_that_a_host_computes_the_gates_of_a_block_between_two_runs(made: Deployment) -> None:
    (violation,) = made.check().verdict.violations

    assert (violation.name, violation.cost_class, violation.causal, violation.in_step_barrier) == (
        "block",
        "D",
        False,
        False,
    )
    assert violation.violation == (
        "the gates of 'block' come from the host, which computes them from a whole run before (64 values read out in every "
        "step): exact only offline, a stream has had no run before"
    )  # fmt: skip


def test_the_verdict_says_that_pooled_membranes_are_no_events() -> None:
    made = lowered(taken("barrier")["ma paper CS"], "barrier")

    (violation,) = made.check().verdict.violations

    assert (violation.cost_class, violation.causal, violation.in_step_barrier) == ("D", True, True)
    assert "'block' pools 64 membranes in every step, before any of its neurons may fire" in str(violation.violation)
    assert violation.macs_per_step >= 2 * (2 * 4 + 4 * 2) + 2 * 9 * 16


def test_blocks_that_read_each_other_are_known_one_run_after_the_other() -> None:
    block = taken("replay")["ma code T"]
    second = replace(
        block, name="second", block="second", inputs=("between",), neuron=replace(block.neuron, name="second")
    )  # type: ignore[type-var]
    weight = np.random.default_rng(5).normal(size=(64, 64))
    ops = [op if op.name != "fc" else replace(op, inputs=("second",)) for op in net_of(block)]
    ops[-2:-2] = [Affine(name="between", inputs=("block",), weight=weight), second]
    graph = net_of(block).with_ops(ops)
    data = events(5)

    made = deploy_graph(graph, Options(gates="replay", mapping="greedy"), data, name="two", samples=data)

    assert [[op.block for op in known] for known in replay.rounds(made.integer)] == [["block"], ["second"]]
    assert made.compare().equal
    assert made.run().to_dict()["replay"] == {"runs": 3, "values_read": 2 * 64 * 6}
    with_one = deploy_graph(graph, Options(gates="block=replay,second=static", mapping="greedy"), data, name="one")
    assert with_one.strategies == {"block": "replay", "second": "static"}
    assert len(replay.rounds(with_one.integer)) == 1


class Plain:
    """A backend that takes no gates."""

    name = "plain"
    counts = False

    def run(
        self, deployment: Deployment, x: IntArray, *, record: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Return nothing."""
        return RunResult(np.zeros((x.shape[1], 1), np.int64))


def test_a_backend_that_takes_no_gates_from_the_host_is_refused_by_name(made: Deployment) -> None:
    with pytest.raises(BackendError) as error:
        replay.run(Plain(), made, made.encode(events(3).x))

    assert str(error.value) == (
        "backend 'plain': takes no gates from a host, which this net (--gates replay) needs\n"
        "  help: run it on interpreter, hw_sim or lava, or give the backend a method run_gated"
    )


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.parametrize(
    ("strategy", "name"),
    [("replay", "ma code TCS"), ("replay", "ma paper TCS"), ("replay", "staa reconstruction"), ("replay", "tcja published TC"),
     ("barrier", "ma paper CS"), ("causal", "tcja causal TC count")],
)  # fmt: skip
def test_lava_runs_them_alike(strategy: str, name: str) -> None:
    made = lowered(with_weights(taken(strategy)[name], 2), strategy, 2)

    assert made.compare(backends=("interpreter", "hw_sim", "lava"), limit=2).equal


@pytest.mark.parametrize(("strategy", "name"), [("barrier", "ma paper CS"), ("replay", "ma paper TC")])
def test_what_no_other_format_can_hold_is_not_written_in_one(strategy: str, name: str, tmp_path: Path) -> None:
    made = lowered(taken(strategy)[name], strategy)

    made.save(tmp_path / "net")

    assert not (tmp_path / "net" / "net.net").exists()
    with pytest.raises(UnsupportedNodeError):
        to_float(made.integer)
