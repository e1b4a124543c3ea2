"""The torch interpreters of a lowered graph: the float one is the float interpreter, the chip's the integer one, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from example_counts import examples
from hypothesis import given
from hypothesis import strategies as st
from lowered_blocks import events
from random_nets import random_net, seeds
from residual_nets import stream
from tiny import tiny_graph
from trained_nets import deployed, quarters

from spikewright.models.lowered.chip_net import ChipNet
from spikewright.models.lowered.float_net import FloatNet
from spikewright.toolchain.blocks.ma import MAAttention
from spikewright.toolchain.calibration import observe
from spikewright.toolchain.coding import payloads
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.interpret import run_float, run_int
from spikewright.toolchain.lowerings import net_of, variants
from spikewright.toolchain.ops import AnyOutput, GatedRelay, Neuron, Relay
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph, quantizer
from spikewright.toolchain.samples import Samples


def made_of(seed: int, gates: str) -> tuple[Deployment, np.ndarray]:
    graph, x = random_net(seed)
    return deploy_graph(graph, Options(gates=gates), Samples(x, None, "random"), name="random"), x


@examples(10)
@given(seed=seeds, gates=st.sampled_from(["auto", "static"]))
def test_any_net_does_in_torch_what_it_does_in_the_interpreters(seed: int, gates: str) -> None:
    made, x = made_of(seed, gates)
    like_the_float_one(made, x)
    for dtype in (torch.float32, torch.float64):
        like_the_integer_one(made, x, dtype)


@pytest.mark.parametrize("gated", [False, True])
def test_relays_do_in_torch_what_they_do_in_the_interpreters(gated: bool) -> None:
    graph, x = stream(0, blocks=3)
    if gated:  # a current that attention gates goes to a sum behind: a rectified relay with gate ports
        block = replace(dict(variants(MAAttention))["TCS"], rectifier="relu", gate="sigmoid")
        graph, x = net_of(block, hosted=False), np.asarray(events(3).x, np.float64)
    options = Options(gates="static", streams="auto" if gated else "relay", mapping="greedy")
    made = deploy_graph(graph, options, Samples(x.astype(np.float32), None, "random"), name="net")
    assert any(isinstance(op, GatedRelay if gated else Relay) for op in made.lowered)

    like_the_float_one(made, x)
    for dtype in (torch.float32, torch.float64):
        like_the_integer_one(made, x, dtype)
    found = []
    for numbers in ("float", "int"):
        net = FloatNet(made.lowered, torch.float64)
        sent = payloads(made.integer, x) if numbers == "int" else x
        run = net.run if numbers == "float" else ChipNet(net, made.integer).run
        run(torch.as_tensor(sent)).answers[:, 0].sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    real, chip = found
    assert float(real @ chip / (real.norm() * chip.norm())) > 0.9


def like_the_float_one(made: Deployment, x: np.ndarray) -> None:
    signals = run_float(made.lowered, x)
    seen = FloatNet(made.lowered, torch.float64).run(torch.as_tensor(x))
    for op in made.lowered:
        if isinstance(op, Neuron) and op.fires:
            found = seen.signals[op.name].detach().numpy()
            assert np.array_equal(found != 0, signals[op.name] != 0), op.name
            assert np.allclose(found, signals[op.name], atol=1e-9), op.name


def like_the_integer_one(made: Deployment, x: np.ndarray, dtype: torch.dtype) -> None:
    chip = ChipNet(FloatNet(made.lowered, dtype), made.integer)
    given_in = payloads(made.integer, x)
    seen, wanted = chip.run(torch.as_tensor(given_in)), run_int(made.integer, given_in)
    for name, recorded in wanted.recordings.items():
        assert np.array_equal(seen.signals[name].detach().numpy(), recorded.out), name
    answers = seen.answers.detach().double().numpy()
    assert np.allclose(answers, wanted.answer * made.answer_scale, rtol=1e-6, atol=1e-6)


def test_gradients_of_the_chip_point_where_those_of_the_real_numbers_do() -> None:
    made, samples = deployed(), quarters(64)
    found = []
    for numbers in ("float", "int"):
        net = FloatNet(made.lowered, torch.float64)
        run = net.run if numbers == "float" else ChipNet(net, made.integer).run
        answers = run(torch.as_tensor(samples.x)).answers
        torch.nn.functional.cross_entropy(answers, torch.as_tensor(samples.y)).backward()
        found.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    real, chip = found
    assert real.abs().max() > 0
    assert float(real @ chip / (real.norm() * chip.norm())) > 0.95
    assert 0.8 < float(chip.norm() / real.norm()) < 1.25


def test_the_integers_follow_the_arrays_as_the_pass_quantizes_them() -> None:
    made, samples = deployed(), quarters(32)
    net = FloatNet(made.lowered)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.25)
    moved = net.updated()
    step = quantizer(made.options, made.chip, made.input, observe(moved, samples.x))
    integer = step(moved)
    given_in = payloads(integer, samples.x)
    seen = ChipNet(net, integer).run(torch.as_tensor(given_in))
    wanted = run_int(integer, given_in)
    assert all(np.array_equal(seen.signals[n].detach().numpy(), r.out) for n, r in wanted.recordings.items())
    assert not np.array_equal(wanted.answer, run_int(made.integer, given_in).answer)


def test_a_weight_of_zero_stays_no_synapse_and_maps_that_only_sum_are_left_alone() -> None:
    graph = tiny_graph()
    graph["conv"].weight[0, 0, 1] = 0.0  # type: ignore[attr-defined]
    made = deployed(graph)
    net = FloatNet(made.lowered)
    net.run(torch.as_tensor(quarters(8).x)).answers.square().sum().backward()
    grad = net.get_parameter(net.slots["conv", "weight"]).grad
    assert grad is not None
    assert not grad[0, 0, 1].any()
    assert grad.any()


def test_neurons_whose_spikes_are_the_answer_may_fire_without_input() -> None:
    made = deployed()
    sent = torch.zeros(4, 1, *made.samples.x.shape[2:], dtype=torch.float64)
    chip = ChipNet(FloatNet(made.lowered, torch.float64), made.integer)
    (answering,) = (op.inputs[0] for op in made.integer if isinstance(op, AnyOutput))

    assert {"lif1", "lif2"} <= chip.run(sent, silent=False).signals.keys()
    assert answering == "lif2"
    assert chip.run(sent, silent=True).peaks.keys() == {"lif1"}
    assert FloatNet(made.lowered, torch.float64).run(sent, silent=True).peaks.keys() == {"lif1"}
