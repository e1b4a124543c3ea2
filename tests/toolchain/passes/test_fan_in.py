"""Sums over more neurons than a core has axons for: added up in two levels, or a gate refused with the delay it needs."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from spikewright.hw_sim.chip import Chip, load_chip
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.blocks.ma import MALIF
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.interpret import run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, Conv, Flatten, Input, Lif, Op, Output, Relay, Shape, SumPool
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.fan_in import FanIn
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples

T, SHAPE, AXONS = 6, (4, 8, 8), 128


def net(dims: str, gate_delay: int) -> Graph:
    rng = np.random.default_rng(2)
    weights = {
        "ta_w": np.array(-9.0), "ta_b": np.array(0.8), "ca_w0": rng.normal(size=(2, 4)), "ca_w1": 4 * rng.normal(size=(4, 2)),
        "ca_b": rng.normal(size=4),
    }  # fmt: skip
    neuron = Lif(name="n", shape=SHAPE, beta=np.array(0.5), v_threshold=np.array(0.4))
    block = MALIF(
        name="block", inputs=("conv1",), neuron=neuron, timesteps=T, dims=dims, variant="causal", gate="hard",
        gate_delay=gate_delay, parameters={key: w for key, w in weights.items() if key[0].upper() in dims},
    )  # fmt: skip
    block.check()
    ops = (
        Input(name="input", shape=(2, 8, 8)),
        Conv(name="conv1", inputs=("input",), weight=rng.normal(size=(4, 2, 3, 3)), padding=(1, 1)),
        block,
        Conv(name="conv2", inputs=("block",), weight=rng.normal(size=(2, 4, 4, 4)), stride=(4, 4)),
        Lif(name="last", inputs=("conv2",), shape=(2, 2, 2), beta=np.array(0.5), v_threshold=np.array(0.5)),
        Affine(name="fc", inputs=("last",), weight=rng.normal(size=(3, 8))),
        Output(name="output", inputs=("fc",)),
    )
    return Graph(ops, T)


def small_chip() -> Chip:
    chip = load_chip("loihi2")
    return replace(chip, core=replace(chip.core, max_axons_in=AXONS))


def events() -> Samples:
    x = np.random.default_rng(1).random((T, 4, 2, 8, 8)) < 0.5
    return Samples(x.astype(np.float32), None, "random", simulated=True)


def deployed(dims: str, gate_delay: int) -> Deployment:
    return deploy_graph(
        net(dims, gate_delay), Options(gates="causal"), events(), name="net", samples=events(), chip=small_chip()
    )


@pytest.mark.parametrize(("dims", "gate_delay"), [("T", 3), ("C", 4), ("TC", 4)])
def test_a_gate_over_many_neurons_is_counted_in_two_levels_and_exact(dims: str, gate_delay: int) -> None:
    made = deployed(dims, gate_delay)
    x = events().x.astype(float)

    captured = run_float(made.captured, x)["block"]
    np.testing.assert_array_equal(run_float(made.lowered, x)["block"], captured)
    assert (captured != run_float(_ungated(made.captured), x)["block"]).any()
    counters = [op for op in made.lowered if isinstance(op, Relay)]
    assert len(counters) == len(dims)
    assert made.check().ok
    assert made.compare().equal
    (note,) = [one for one in made.diagnostics if one.code == "added-in-two-levels"]
    assert (note.severity, note.where) == ("note", "block")


def _ungated(graph: Graph) -> Graph:
    block = graph["block"]
    assert isinstance(block, AttentionBlock)
    assert block.neuron is not None
    return graph.replace((block,), replace(block.neuron, name="block", inputs=block.inputs))


def test_a_counter_that_a_core_takes_is_left_alone() -> None:
    captured = net("T", 3)
    block = captured["block"]
    assert isinstance(block, AttentionBlock)
    graph = block.lowerings()["causal"](captured, {})

    assert FanIn(most=256)(graph) is graph
    last = FanIn(most=64)(graph)["block.ta.count"]
    assert isinstance(last, Affine)
    assert last.weight.shape == (1, 8)


@pytest.mark.parametrize(("dims", "gate_delay", "needed"), [("T", 2, 3), ("C", 3, 4), ("TC", 3, 4)])
def test_a_gate_that_would_come_too_late_is_refused_before_data_is_read(
    dims: str, gate_delay: int, needed: int
) -> None:
    def read() -> Samples:
        raise AssertionError("data was read")

    with pytest.raises(GateLoweringError) as caught:
        deploy_graph(net(dims, gate_delay), Options(gates="causal"), read, name="net", chip=small_chip())

    assert str(caught.value) == (
        f"block 'block': its gate counts more neurons than the {AXONS} axons of a core, in two levels: from spike to gate it "
        f"is {needed} synapses, one step each; gate_delay is {gate_delay}\n"
        f"  help: train and deploy with gate_delay={needed}, or deploy with --gates block=static"
    )


def wide(kind: str) -> Graph:
    """Return a net with a neuron, or an answer, that reads more than ``AXONS`` neurons."""
    rng = np.random.default_rng(5)
    front = [Input(name="input", shape=(2, 8, 8)), *layer("a", "input", rng.normal(size=(4, 2, 3, 3)), (4, 8, 8))]
    match kind:
        case "pooled answer":  # 4 x 8 x 8 and a gain
            ops = [
                SumPool(name="pool", inputs=("a",), kernel=(8, 8), stride=(8, 8), scale=1 / 64),
                Flatten(name="flat", inputs=("pool",)),
                Affine(name="fc", inputs=("flat",), weight=rng.normal(size=(3, 4)), bias=rng.normal(size=3)),
            ]
        case "answer":
            ops = [Flatten(name="flat", inputs=("a",)), fully("fc", "flat", rng.normal(size=(3, 256)))]
        case "vector":
            ops = [
                Flatten(name="flat", inputs=("a",)),
                fully("w", "flat", rng.normal(size=(6, 256))),
                Lif(name="b", inputs=("w",), shape=(6,), beta=np.array(0.5), v_threshold=np.array(0.5)),
                fully("fc", "b", rng.normal(size=(3, 6))),
            ]
        case _:  # 16 channels x 3 x 3 taps
            ops = [
                *layer("b", "a", rng.normal(size=(16, 4, 1, 1)), (16, 8, 8)),
                *layer("c", "b", rng.normal(size=(2, 16, 3, 3)) / 4, (2, 8, 8)),
                Flatten(name="flat", inputs=("c",)),
                fully("fc", "flat", rng.normal(size=(3, 128))[:, :128] * (np.arange(128) < 100)),
            ]
    return Graph((*front, *ops, Output(name="output", inputs=("fc",))), T)


def layer(name: str, reads: str, weight: Array, shape: Shape) -> list[Op]:
    side = weight.shape[-1] // 2
    bias = np.linspace(-0.5, 0.5, shape[0])
    return [
        Conv(name=f"{name}.conv", inputs=(reads,), weight=weight, bias=bias, padding=(side, side)),
        Lif(name=name, inputs=(f"{name}.conv",), shape=shape, beta=np.array(0.5), v_threshold=np.array(0.5)),
    ]


def fully(name: str, reads: str, weight: Array) -> Affine:
    return Affine(name=name, inputs=(reads,), weight=weight, bias=np.linspace(-0.5, 0.5, len(weight)))


WIDE = {"pooled answer": 3 * 2, "answer": 3 * 2, "vector": 6 * 2, "channels": 2 * 8 * 8}
"""Nets, and the relays that they need."""


@pytest.mark.parametrize("kind", WIDE)
def test_neurons_that_read_more_than_a_core_has_axons_for_read_partial_sums(kind: str) -> None:
    made = deploy_graph(wide(kind), Options(), events(), name="net", samples=events(), chip=small_chip())
    x = events().x.astype(float)

    (answer,) = (run_float(graph, x)[graph.output.inputs[0]] for graph in (made.captured,))
    lowered = run_float(made.lowered, x)
    np.testing.assert_allclose(sum(lowered[n] for n in made.lowered.output.inputs), answer, atol=1e-9)
    assert sum(prod(op.shape) for op in made.lowered if isinstance(op, Relay)) == WIDE[kind]
    (note,) = [one for one in made.diagnostics if one.code == "added-in-two-levels"]
    assert f"{WIDE[kind]:,} neurons send partial sums" in note.what
    assert not [one for one in made.diagnostics if one.severity == "warning"]
    assert made.check().ok
    assert made.compare().equal


def test_a_chip_with_room_adds_up_at_once() -> None:
    made = deploy_graph(wide("vector"), Options(), events(), name="net", samples=events())

    assert not any(isinstance(op, Relay) for op in made.lowered)


@pytest.mark.lava
@pytest.mark.slow
def test_lava_counts_alike() -> None:
    assert deployed("TC", 4).compare(backends=("interpreter", "lava"), limit=1).equal


@pytest.mark.lava
@pytest.mark.slow
def test_lava_adds_up_alike() -> None:
    made = deploy_graph(wide("answer"), Options(), events(), name="net", samples=events(), chip=small_chip())

    assert made.compare(backends=("interpreter", "lava"), limit=1).equal
