"""TCJA: its meaning against golden values, its causal forms lowered exactly, all others by constants or refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from joint_nets import C, H, T, events, joint, joint_net

from spikewright.toolchain.blocks.tcja import TCJA
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.interpret import answer, run_float
from spikewright.toolchain.ops import GateNeuron, Lif
from spikewright.toolchain.passes.lower_gates import LowerGates, mean_gates, strategy_for
from spikewright.toolchain.passes.lower_max_pool import LowerMaxPool

Z = np.array([[0.2, 0.4], [0.6, 0.0], [1.0, 0.8]])


def golden(dims: str) -> np.ndarray:
    op = TCJA(
        name="tcja",
        shape=(2,),
        dims=dims,  # type: ignore[arg-type]
        variant="published",
        timesteps=3,
        parameters={
            "cla": np.arange(18).reshape(3, 3, 2) * 0.1 - 0.5,
            "tla": np.arange(8).reshape(2, 2, 2) * 0.2 - 0.6,
        },
    )
    return op.gains(Z[:, None])[:, 0]


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def test_published_gains_are_the_golden_ones() -> None:
    np.testing.assert_allclose(logit(golden("C")), [[-0.54, -0.28], [1.26, 0.44], [3.06, 1.16]], atol=1e-12)
    np.testing.assert_allclose(logit(golden("T")), [[-0.44, 0.52], [-0.76, 1.16], [-0.76, 0.68]], atol=1e-12)
    wanted = [[0.559122, 0.463664], [0.277359, 0.624900], [0.089025, 0.687574]]
    np.testing.assert_allclose(golden("TC"), wanted, atol=1e-6)


@pytest.mark.parametrize("memory", ["table", "count"])
@pytest.mark.parametrize("dims", ["T", "C", "TC"])
def test_causal_gains_do_not_see_the_last_step_before_they_act(
    dims: str, memory: str, rng: np.random.Generator
) -> None:
    op = joint(rng, dims, memory=memory, gate_delay=2, gate="sigmoid")  # type: ignore[arg-type]
    s = (rng.random((T, 2, C, H, H)) < 0.5).astype(float)
    changed = s.copy()
    changed[T - 3] = 1 - changed[T - 3]

    before, after = op.gains(s), op.gains(changed)

    np.testing.assert_array_equal(before[: T - 1], after[: T - 1])
    assert (before[T - 1] != after[T - 1]).any()
    assert (before[:2] == 1).all()


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("gate", ["hard", "sigmoid", "pow2", "binary"])
@pytest.mark.parametrize("gate_delay", [0, 1, 3])
@pytest.mark.parametrize("dims", ["T", "C", "TC"])
def test_causal_tcja_is_lowered_exactly(
    dims: str, gate_delay: int, gate: str, pooled: bool, rng: np.random.Generator
) -> None:
    graph = joint_net(rng, joint(rng, dims, gate=gate, gate_delay=gate_delay, decay=1.0), pooled=pooled)  # type: ignore[arg-type]
    x = events(rng)

    lowered = LowerGates("causal")(LowerMaxPool()(graph))

    before, after = run_float(graph, x), run_float(lowered, x)
    np.testing.assert_allclose(after["pool" if pooled else "tcja"], before["pool" if pooled else "tcja"], atol=1e-12)
    np.testing.assert_allclose(answer(lowered, after), answer(graph, before), atol=1e-9)
    assert 0 < after["pool" if pooled else "tcja"].mean() < 1
    relay = lowered["pool" if pooled else "tcja"]
    assert isinstance(relay, Lif)
    assert relay.output_gate == (gate != "binary")
    assert sum(isinstance(op, GateNeuron) for op in lowered) == 1


def test_constant_gates_are_sent_by_the_neuron_itself_and_are_exact_where_the_gate_is_constant(
    rng: np.random.Generator,
) -> None:
    graph = joint_net(rng, joint(rng, "TC", "published"))
    still = np.repeat(events(rng, 1), 3, axis=1)
    means = mean_gates(graph, run_float(graph, still))

    lowered = LowerGates("static", means)(graph)

    assert "lif1" not in lowered
    assert isinstance(lowered["tcja"], Lif)
    np.testing.assert_allclose(run_float(lowered, still)["tcja"], run_float(graph, still)["tcja"], atol=1e-12)


REFUSALS = [
    (
        ("TC", "published", "table"),
        "causal",
        "TCJA (TC, variant 'published') cannot be lowered by 'causal': its TLA looks 1 step ahead "
        "and its CLA reads all 6 steps",
    ),
    (
        ("TC", "causal", "table"),
        "causal",
        "TCJA (TC, variant 'causal') cannot be lowered by 'causal': its CLA has other weights for every pair of steps: "
        "synapses are the same in every step",
    ),
    (
        ("C", "causal", "table"),
        "causal",
        "TCJA (C, variant 'causal') cannot be lowered by 'causal': its CLA has other weights for every pair of steps: "
        "synapses are the same in every step",
    ),
    (
        ("T", "causal", "count"),
        "host",
        "TCJA (T, variant 'causal') cannot be lowered by 'host': the block stands behind the first spike; "
        "only blocks in front of it can run on the host",
    ),
]


@pytest.mark.parametrize(("form", "strategy", "message"), REFUSALS)
def test_what_does_not_go_together_is_refused_with_the_reason(
    form: tuple[str, str, str], strategy: str, message: str, rng: np.random.Generator
) -> None:
    dims, variant, memory = form
    op = joint(rng, dims, variant, memory=memory)  # type: ignore[arg-type]

    with pytest.raises(GateLoweringError) as caught:
        strategy_for(op, strategy)  # type: ignore[arg-type]

    trained = "train TCJA(variant='causal', dims='T'), or dims='C' or 'TC' with cla_memory='count', "
    trained += "or deploy with --gates static"
    exact = not op.refusal("causal")
    assert exact == (strategy == "host")
    help = "deploy with --gates causal (or auto)" if exact else trained
    assert str(caught.value) == f"block 'tcja': {message}\n  help: {help}"


@pytest.mark.parametrize("form", [("TC", "published", "table"), ("TC", "causal", "table"), ("C", "causal", "table")])
def test_auto_takes_constants_where_no_exact_lowering_exists(
    form: tuple[str, str, str], rng: np.random.Generator
) -> None:
    dims, variant, memory = form

    assert strategy_for(joint(rng, dims, variant, memory=memory), "auto") == "static"  # type: ignore[arg-type]
    assert strategy_for(joint(rng, "T"), "auto") == "causal"


def test_a_gate_on_graded_spikes_is_refused(rng: np.random.Generator) -> None:
    first = joint(rng, "T")
    second = TCJA(**{**vars(joint(rng, "T")), "name": "again", "block": "again", "inputs": ("tcja",)})
    graph = joint_net(rng, first)
    position = graph.ops.index(first) + 1
    graph = graph.with_ops([*graph.ops[:position], second, *graph.ops[position:]])
    graph = graph.map(lambda op: op if op.name != "fc1" else type(op)(**{**vars(op), "inputs": ("again",)}))

    with pytest.raises(GateLoweringError) as caught:
        LowerGates("causal")(graph)

    assert str(caught.value) == (
        "block 'again': TCJA gates Lif 'tcja', which does not send binary spikes\n"
        "  help: put TCJA right behind a spiking neuron (a max pool between is fine)"
    )
