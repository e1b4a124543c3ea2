"""The tables, on classes of the foreign names and fields: every spike equal; what has no row is refused by its class's name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from foreign_nets import (
    GAC,
    TCA,
    TCJA,
    Alpha,
    ConvIFCell,
    IFNode,
    KLIFNode,
    Leaky,
    LIFNode,
    LIFSpike,
    ParametricLIFNode,
    Run,
    SeqToANNContainer,
    Stepped,
    Synaptic,
    mem_update,
    spikes_unlike,
)
from torch import Tensor, nn
from torch.nn.utils import prune

from spikewright.export.foreign import Row, register, tables
from spikewright.export.foreign.registry import forget
from spikewright.export.torch_to_nir import capture
from spikewright.models.attention.ma import MAAttention
from spikewright.models.layers import Linear
from spikewright.models.neurons import LIF
from spikewright.toolchain.api import deploy
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.spike_driven.costs import synapses

T, B = 6, 3


def events(*shape: int) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def dense(neuron: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 12), neuron, nn.Linear(12, 3))
    with torch.no_grad():
        net[0].weight.mul_(3)
    return net


@pytest.mark.parametrize("v_reset", [0.0, None, 0.1, -0.2])
@pytest.mark.parametrize("kind", [LIFNode, IFNode, ParametricLIFNode])
def test_spikingjelly_neurons_fire_alike(kind: Any, v_reset: float | None) -> None:
    for decay_input in (True, False):
        net = dense(kind(v_reset=v_reset, decay_input=decay_input))

        wrong, total, rate = spikes_unlike(net, events(T, B, 8))

        assert (wrong, total) == (0, T * B * 12)
        assert 0.01 < rate < 0.9


def test_a_user_neuron_of_that_name_and_fields_needs_no_framework() -> None:
    graph = capture(dense(LIFNode()), events(T, B, 8))

    assert [type(n).__name__ for n in graph.nodes.values()] == ["Input", "Affine", "LIF", "Affine", "Output"]


def test_the_authors_neurons_and_gates_fire_alike() -> None:
    torch.manual_seed(0)
    conv = lambda: SeqToANNContainer(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4))  # noqa: E731
    gac = Run(lambda m, x: m.gac(y := m.conv(x), m.lif(y)).flatten(2), conv=conv(), lif=LIFSpike(), gac=GAC(T, 4))
    tcja = Run(
        lambda m, x: m.fc(m.gate(m.lif(m.conv(x))).flatten(2)).mean(0),
        conv=conv(), lif=mem_update(), gate=TCJA(T, 4), fc=nn.Linear(4 * 36, 3),
    )  # fmt: skip

    def ma(m: Any, x: Tensor) -> Tensor:
        y = m.gate(m.conv(x))
        out = torch.zeros(y.shape)
        m.cell.reset()
        for t in range(x.shape[1]):
            out[:, t] = m.cell(y[:, t])
        return m.fc(out.reshape(x.shape[0], x.shape[1], -1)).sum(1) / x.shape[1]

    attention = Run(ma, conv=conv(), gate=TCA(T, 4), cell=ConvIFCell(), fc=nn.Linear(4 * 36, 3))

    for net, x in ((gac, events(B, T, 2, 6, 6)), (tcja, events(T, B, 2, 6, 6)), (attention, events(B, T, 2, 6, 6))):
        assert spikes_unlike(net.eval(), x)[0] == 0


MIXED = [0.5, 1.0, 0.9, 0.75] * 3
"""Decays of neurons that leak and of some that do not, as trained ones are where they are clamped to 0 .. 1."""


@pytest.mark.parametrize(
    ("beta", "reset"),
    [(0.9, "subtract"), (0.9, "zero"), (1.0, "subtract"), (MIXED, "subtract"), (MIXED, "zero")],
)
def test_snntorch_subtracts_one_step_late(beta: float | list[float], reset: str) -> None:
    torch.manual_seed(0)
    net = Stepped(Leaky(beta, reset), 8, 12, 3)

    wrong, total, rate = spikes_unlike(net, events(T, B, 8) * 2)

    assert (wrong, total) == (0, T * B * 12)
    assert rate > 0.01
    assert "first is taken as the answer" in capture(net, events(T, B, 8)).metadata["assumed"]


LATE = {"reset_delay": False}
AT_ONCE = "reset_mechanism 'subtract' with reset_delay=False: behind a membrane above twice the threshold"


@pytest.mark.parametrize(
    ("neuron", "message", "otherwise"),
    [
        (Leaky(**LATE), AT_ONCE, Leaky(reset_mechanism="zero", **LATE)),
        (Synaptic(**LATE), AT_ONCE, Synaptic()),
        (Synaptic(reset_mechanism="none"), "a neuron that fires and keeps its membrane", Synaptic()),
        (Synaptic(beta=0.0), "'subtract' and beta = 0: what is taken off", Synaptic(beta=0.1)),
        (Alpha(), "Alpha has no equal here: two currents and a difference of their decays", Leaky()),
    ],
)
def test_what_of_snntorch_has_no_equal_is_refused_and_its_help_helps(
    neuron: nn.Module, message: str, otherwise: nn.Module
) -> None:
    torch.manual_seed(0)

    with pytest.raises(UnsupportedNodeError, match=message) as caught:
        capture(Stepped(neuron, 8, 12, 3), events(T, B, 8), name="mine")

    assert caught.value.where.startswith("mine")
    assert caught.value.help
    wrong, total, rate = spikes_unlike(Stepped(otherwise, 8, 12, 3), events(T, B, 8) * 2)
    assert (wrong, total) == (0, T * B * 12)
    assert rate > 0.01


def test_a_one_dimensional_convolution_deploys_and_is_judged() -> None:
    torch.manual_seed(0)
    parts = {"conv": nn.Conv1d(2, 4, 3, padding=1), "n": LIFNode(), "fc": nn.Linear(32, 3)}
    run = Run(lambda m, x: m.fc(m.n(m.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])).flatten(2)), **parts)

    found = deploy(run, events(T, B, 2, 8))

    assert found.compare().equal
    assert found.check().spike_driven
    (conv,) = (op for op in found.captured if op.name == "conv")
    ones = conv.synapses(np.ones_like(conv.weight, np.int64))
    assert synapses(conv, (2, 8), (4, 8)) == len(ones.entries((2, 8), (4, 8))[0])


@pytest.mark.parametrize("reset", ["none", "subtract", "zero"])
def test_a_membrane_as_the_answer_is_a_read_out_where_it_is_a_filter(reset: str) -> None:
    torch.manual_seed(0)
    net = Stepped(Leaky(0.9), 8, 12, 3)
    net.last = Leaky(0.8, reset)

    def forward(m: Any, x: Tensor) -> Tensor:
        a, b, out = torch.zeros(B, 12), torch.zeros(B, 3), []
        for step in x:
            s, a = m.net.cell(m.net.fc1(step), a)
            _, b = m.net.last(4 * m.net.fc2(s), b)
            b = b.clone()
            out.append(b)
        return torch.stack(out)

    run = Run(forward, net=net)
    if reset == "zero":
        with pytest.raises(UnsupportedNodeError, match="the membrane of a Leaky with reset_mechanism 'zero'") as caught:
            capture(run, events(T, B, 8))
        assert "reset_mechanism='none'" in caught.value.help
        return
    found = deploy(run, events(T, B, 8) * 2)

    assert found.samples is not None
    wanted = torch.as_tensor(found.run_float(found.samples.x))
    assert torch.allclose(wanted, run(events(T, B, 8) * 2).mean(0).double(), atol=1e-5)
    assert found.compare().equal
    assert found.captured.output.inputs == ("net.last.membrane",)


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (KLIFNode(), "KLIFNode has no equal here: v is scaled"),
        (ConvIFCell("mem"), r"mode_select 'mem' \(LIAF\)"),
    ],
)
def test_what_has_no_equal_is_refused_by_its_class(neuron: nn.Module, message: str) -> None:
    net = Run(
        lambda m, x: torch.stack([m.fc2(m.n(m.fc(a))) for a in x]), fc=nn.Linear(8, 12), n=neuron, fc2=nn.Linear(12, 3)
    )
    if isinstance(neuron, KLIFNode):
        net = dense(neuron)

    with pytest.raises(UnsupportedNodeError, match=message) as caught:
        capture(net, events(T, B, 8), name="mine")

    assert caught.value.where.startswith("mine: module")
    assert caught.value.help


class Mine(nn.Module):
    """A neuron of a user's own: no table knows it."""

    def forward(self, x: Tensor) -> Tensor:
        """Take all steps."""
        v, out = torch.zeros_like(x[0]), []
        for step in x:
            v = 0.5 * v + step
            s = (v > 0.3).to(x)
            v = v * (1 - s)
            out.append(s)
        return torch.stack(out)


def test_a_refusal_names_no_line_of_ours() -> None:
    net = nn.Sequential(nn.Linear(8, 12), nn.LayerNorm(12), LIFNode(), nn.Linear(12, 3))

    with pytest.raises(UnsupportedNodeError, match="the module LayerNorm has no meaning") as caught:
        load_model(net, example=events(T, B, 8))

    assert caught.value.where == "Sequential: module '1'"


def test_a_class_of_ones_own_is_registered() -> None:
    net = dense(Mine())
    with pytest.raises(UnsupportedNodeError, match="the op 'gt' has no meaning"):
        capture(net, events(T, B, 8))

    @register(Mine, time_axis=0)
    def mine(module: nn.Module, site: Any) -> nn.Module:
        """v = .5 v + x; s = v > .3; to 0."""
        return LIF(0.5, 0.3, comparison=">")

    try:
        assert spikes_unlike(net, events(T, B, 8))[0] == 0
    finally:
        forget(f"{Mine.__module__}.{Mine.__qualname__}")


def test_a_wrong_row_is_found_out() -> None:
    register(Mine, lambda module, site: LIF(0.5, 0.3, comparison=">", reset="subtract"))
    try:
        with pytest.raises(Exception, match="spikes differ between the module and its capture"):
            capture(dense(Mine()), events(T, B, 8))
    finally:
        forget(f"{Mine.__module__}.{Mine.__qualname__}")


def test_every_table_says_what_its_classes_compute() -> None:
    assert {"authors", "norse", "sinabs", "snntorch", "spikingjelly", "torch.nn"} <= set(tables())
    rows: list[Row] = [row for table in tables().values() for row in table.rows]

    assert all(row.equation and (row.ours or row.make is None or row.kind == "layer") for row in rows)


@pytest.mark.parametrize("rectifier", ["relu", "none"])
def test_an_attention_is_one_block_with_the_one_neuron_that_reads_it(rectifier: Any) -> None:
    torch.manual_seed(0)
    attention = MAAttention(T, 12, dims="TC", rectifier=rectifier)
    net = nn.Sequential(nn.Linear(8, 12), attention, LIF(0.3, 0.1), nn.Linear(12, 3))
    joined = Run(
        lambda m, x: m.fc2(m.n(m.gate(y := m.fc(x)) + y)).mean(0),
        fc=nn.Linear(8, 12), gate=attention, n=LIF(0.3, 0.1), fc2=nn.Linear(12, 3),
    )  # fmt: skip

    for one, kinds in ((net, ["ma"]), (joined, ["ma-attention"])):
        assert [n.kind for n in capture(one, events(T, B, 8)).nodes.values() if hasattr(n, "kind")] == kinds
        wrong, _, rate = spikes_unlike(one, events(T, B, 8))
        assert wrong == 0
        assert rate > 0.01
    made = deploy(joined, events(T, B, 8))  # in front of the first spike a host computes it
    assert made.host is not None
    assert made.compare(backends=["interpreter", "hw_sim"]).equal
    behind = nn.Sequential(nn.Linear(8, 8), LIF(0.3, 0.1), joined)
    made = deploy(behind, events(T, B, 8))  # behind it neurons of its own send what it gates
    assert made.host is None
    assert made.compare(backends=["interpreter", "hw_sim"]).equal


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.Linear(8, 3), (T, B, 8)),
        (Linear(8, 3), (T, B, 8)),
        (LIF(0.5, 0.3), (T, B, 8)),
        (LIFNode(), (T, B, 8)),
        (MAAttention(2, 8, size=(4, 4), dims="TCS", reduction_t=1, reduction_c=2), (2, B, 8, 4, 4)),
    ],
)
def test_a_net_of_one_module_is_captured_under_its_class_name(net: nn.Module, shape: tuple[int, ...]) -> None:
    graph = capture(net.eval(), events(*shape))

    assert list(graph.nodes) == ["input", type(net).__name__, "output"]


# ------------------------------------------------------------------------------------------- layouts
def spiking(mode: str) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 12), LIFNode(step_mode=mode), nn.Linear(12, 3))


def loop(m: Any, x: Tensor) -> Tensor:
    return torch.stack([m.net(a) for a in x]).mean(0)


@pytest.mark.parametrize(
    ("forward", "mode", "shape", "said"),
    [
        (lambda m, x: m.net(x).mean(0), "m", (T, B, 8), None),
        (lambda m, x: m.net(x.transpose(0, 1)).mean(0), "m", (B, T, 8), "(B, T, ...)"),
        (lambda m, x: m.net(x.permute(1, 0, 2)).transpose(0, 1), "m", (B, T, 8), "(B, T, ...)"),
        (loop, "s", (T, B, 8), None),
        (lambda m, x: loop(m, x.transpose(0, 1)), "s", (B, T, 8), "(B, T, ...)"),
        (lambda m, x: m.net(x.unsqueeze(0).repeat(T, 1, 1)).mean(0), "m", (B, 8), "repeats it T = 6 times"),
        (lambda m, x: m.net(x.expand(T, *x.shape)).mean(0), "m", (B, 8), "repeats it T = 6 times"),
        (lambda m, x: sum(m.net(x) for _ in range(T)) / T, "s", (B, 8), "repeats it T = 6 times"),
        (lambda m, x: (m.net(x), None), "s", (T, B, 8), "takes one step (B, ...) a call"),
        (lambda m, x: torch.stack([m.net(x) for _ in range(T)], 1).mean(1), "s", (B, 8), "repeats it T = 6 times"),
    ],
)
def test_the_layout_is_found_by_looking(forward: Any, mode: str, shape: tuple[int, ...], said: str | None) -> None:
    graph = capture(Run(forward, net=spiking(mode)), events(*shape))

    assert graph.metadata["timesteps"] == T
    assert tuple(graph.nodes["input"].output_type["output"]) == (8,)
    assert said in graph.metadata["assumed"] if said else "assumed" not in graph.metadata


def test_a_layout_that_is_given_is_taken_and_a_wrong_one_refused() -> None:
    net = Run(lambda m, x: m.net(x.transpose(0, 1)).mean(0), net=spiking("m"))

    capture(net, events(B, T, 8), layout="BT")
    with pytest.raises(UnsupportedNodeError, match="it takes time on axis 0, time is on axis 1"):
        capture(net, events(B, T, 8), layout="TB")


def test_a_net_of_which_no_neuron_says_where_time_is_is_compared_in_each_layout() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 12), LIFSpike(), nn.Linear(12, 3))  # (B, T, ...)

    assert capture(net, events(B, T, 8)).metadata["timesteps"] == T
    net[1].tau = 0.0  # remembers nothing
    with pytest.raises(ImportingError, match=r"fits the layouts TB and BT alike, and no neuron") as caught:
        capture(net, events(B, T, 8))
    assert "--layout" in caught.value.help
    assert capture(net, events(B, T, 8), layout="BT").metadata["timesteps"] == T


def test_the_example_of_another_layout_calibrates_in_the_order_of_the_capture() -> None:
    net = Run(lambda m, x: m.net(x.transpose(0, 1)).mean(0), net=spiking("m"))

    found = load_model(net, example=events(B, T, 8), layout="BT")

    assert found.example is not None
    assert found.example.shape == (T, B, 8)
    assert [(d.severity, d.what) for d in found.diagnostics] == [
        ("assumption", "the net takes (B, T, ...); the captured one takes (T, B, ...)")
    ]
    with pytest.raises(ImportingError, match="has no layout to be said"):
        load_model("ma-digits", layout="BT")


class Coarse(nn.Module):
    """A layer that rounds in float32 only."""

    def forward(self, x: Tensor) -> Tensor:
        """Double what is float32."""
        return x * 2 if x.dtype == torch.float32 else x


def test_a_module_that_answers_otherwise_in_its_own_precision_is_told_of() -> None:
    net = nn.Sequential(nn.Linear(8, 12), LIFNode(), nn.Linear(12, 3), Coarse())

    (loss,) = (d for d in load_model(net, example=events(T, B, 8)).diagnostics if d.severity == "warning")

    assert loss.what.startswith("in float32 the module's answers differ by")


@pytest.mark.parametrize(
    ("forward", "answer"),
    [
        (lambda m, x: (m.net(x) @ m.last.weight.T + m.last.bias).mean(0), ""),
        (lambda m, x: m.last(m.net(x) + torch.zeros(12, device="cuda")).cuda().mean(0), ""),
        (lambda m, x: m.last(m.net(x)).mean(0).softmax(-1), "return the logits"),
        (lambda m, x: m.last(m.net(x)).cumsum(0)[-1], "answer with the mean over all steps"),
        (lambda m, x: m.last((m.net(x) > 0).double()).mean(0), "register"),
    ],
)
def test_a_line_of_forward_is_followed_or_refused_with_what_to_do_instead(forward: Any, answer: str) -> None:
    net = Run(forward, net=spiking("m")[:2], last=nn.Linear(12, 3))

    if not answer:
        assert spikes_unlike(net, events(T, B, 8))[0] == 0
    else:
        with pytest.raises(UnsupportedNodeError) as caught:
            capture(net, events(T, B, 8))
        assert answer in caught.value.help


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_module_is_refused_as_one() -> None:
    with pytest.raises(UnsupportedNodeError, match="a TorchScript module: what it calls cannot be followed"):
        capture(torch.jit.trace(nn.Linear(8, 3), events(T, B, 8)), events(T, B, 8))


def test_the_users_net_is_left_as_it_is() -> None:
    net = Run(loop, net=spiking("s"))
    net(events(T, B, 8))
    before = net.net[1].v

    capture(net, events(T, B, 8))

    assert net.net[1].v is before
    assert net.net[0].weight.dtype == torch.float32


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("way", ["spectral norm", "weight norm", "pruning"])
def test_weights_that_a_hook_computes_are_those_of_a_forward(way: str) -> None:
    torch.manual_seed(0)
    net = spiking("m")
    make = {
        "spectral norm": nn.utils.spectral_norm,
        "weight norm": nn.utils.weight_norm,
        "pruning": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    }[way]
    make(net[0])
    changed = {"weight_g": lambda w: w * 3, "weight_orig": lambda w: w.flip(0)}
    state = {key: changed.get(key.rpartition(".")[2], lambda w: w)(value) for key, value in net.state_dict().items()}
    net.load_state_dict(state)  # a checkpoint: the attribute ``weight`` is still the old one

    wrong, _, rate = spikes_unlike(net.eval(), events(T, B, 8))

    assert (wrong, rate > 0.01) == (0, True)
    made = load_model(net, example=events(T, B, 8)).float_graph()["0"]
    net(events(T, B, 8))
    np.testing.assert_allclose(made.weight, net[0].weight.detach().numpy(), rtol=1e-6)


# ------------------------------------------------------------------------------------------- what an example proves
class Twice(Linear):
    """A layer of a user's own."""

    def forward(self, x: Tensor) -> Tensor:
        """Take twice the input."""
        return super().forward(2 * x)


def test_an_example_of_zeros_is_no_proof() -> None:
    torch.manual_seed(0)
    wrong = LIF(0.5, 0.3)
    wrong.register_forward_hook(lambda m, i, o: 1 - o)
    net = nn.Sequential(Linear(8, 12, bias=False), wrong, Linear(12, 3))

    with pytest.raises(Exception, match="spikes differ between the module and its capture"):
        capture(net, torch.zeros(T, B, 8))


def test_a_layer_of_ones_own_and_a_hook_on_the_net_are_followed() -> None:
    torch.manual_seed(0)
    net = Run(lambda m, x: m.b(m.n(m.a(x))).mean(0), a=Twice(8, 12, bias=False), n=LIF(0.5, 0.3), b=Linear(12, 3))
    net.register_forward_hook(lambda m, i, o: -o)

    wrong, _, rate = spikes_unlike(net, torch.zeros(T, B, 8))

    assert wrong == 0
    assert rate > 0.01
