"""MA attention: SpikingJelly's numbers, a naive reimplementation, causality, gradients, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from spikewright.models.attention.ma import DIMS, MALIF, MAAttention
from spikewright.models.errors import ModelError, TimestepsError
from spikewright.models.neurons import lif

T, B, C, H, W = 7, 2, 4, 4, 5


def current(scale: float = 1.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(T, B, C, H, W, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(dims: str, variant: str, gate: str | None = None, **options: object) -> MALIF:
    torch.manual_seed(1)
    return MALIF(lif("N1"), T, C, (H, W), dims=dims, variant=variant, gate=gate, reduction_c=2, **options).double()


def wave(shape: torch.Size, phase: float) -> Tensor:
    return torch.sin(torch.arange(shape.numel(), dtype=torch.float64) * 1.7 + phase).reshape(shape)


def test_the_code_attention_equals_spikingjelly() -> None:
    """Numbers written by SpikingJelly 0.0.0.0.14, ``MultiDimensionalAttention(4, 4, 2, 2, 3)``, on the same waves.

    (That release forgets to set ``self.relu``; it was set to ``nn.ReLU()`` for the run.)
    """
    attention = MAAttention(4, 4, (3, 3), reduction_t=2, reduction_c=2).double()
    with torch.no_grad():
        for phase, name in enumerate(("ta_w0", "ta_w1", "ca_w0", "ca_w1", "sa_kernel")):
            parameter = attention.get_parameter(name)
            parameter.copy_(wave(parameter.shape, phase))

    y = attention(2.0 * wave(torch.Size((4, 2, 4, 3, 3)), 0.5))

    expected = [
        0.24014732569828579, 0.25510479590127466, 0.0, 0.0, 0.3383489207905552, 0.11741789958032253, 0.0, 0.0,
        0.4143887373040274,
    ]  # fmt: skip
    np.testing.assert_allclose(y[2, 1, 3].detach().numpy().flatten(), expected, rtol=1e-12)
    assert y.sum().item() == pytest.approx(29.197046289134157, rel=1e-12)


def test_time_attention_gives_the_golden_gate() -> None:
    """Golden vector computed with the authors' module: T = 4, hidden 2, pooled values given."""
    attention = MAAttention(4, 16, dims="T").double()
    with torch.no_grad():
        attention.ta_w0.copy_(torch.tensor([[0.1, 0.2, -0.3, 0.4], [-0.2, 0.1, 0.3, 0.1]]))
        attention.ta_w1.copy_(torch.tensor([[0.5, -0.5], [0.2, 0.3], [-0.1, 0.4], [0.6, 0.1]]))
    average, maximum = np.array([0.125, 0.21875, 0.3125, 0.40625]), np.array([2.0, 1.0, 1.0, 2.0])
    x = np.empty((4, 1, 16))
    x[:] = ((16 * average - maximum) / 15)[:, None, None]
    x[:, :, 0] = maximum[:, None]

    y = attention(torch.from_numpy(x))

    np.testing.assert_allclose(
        y[:, 0, 0].detach().numpy() / maximum, [0.585860, 0.575512, 0.507499, 0.656588], atol=1e-6
    )


def naive_gate(gate: str, x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x)) if gate == "sigmoid" else np.clip(x / 4 + 0.5, 0, 1)


def naive_mlp(w0: np.ndarray, w1: np.ndarray, v: np.ndarray) -> np.ndarray:
    return w1 @ np.maximum(w0 @ v, 0)


def naive_conv(kernel: np.ndarray, maps: np.ndarray) -> np.ndarray:
    k = kernel.shape[-1]
    padded = np.pad(maps, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    return np.array([[(kernel * padded[:, y : y + k, x : x + k]).sum() for x in range(W)] for y in range(H)])


def naive_causal(p: dict[str, np.ndarray], x: np.ndarray, dims: str, delay: int, decay: float) -> np.ndarray:
    """One sample x (T, C, H, W), straight from the equations."""
    m, n, a, v = 0.0, np.zeros(C), np.zeros((H, W)), np.zeros((C, H, W))
    gains = np.ones((T + delay, C, H, W))
    spikes = np.zeros_like(x)
    for t in range(T):
        v = 0.3 * v + gains[t] * x[t]
        s = (v >= 0.3).astype(float)
        v = v * (1 - s)
        spikes[t] = s
        m = decay * m + s.mean() / T
        n = decay * n + s.mean((1, 2)) / T
        a = decay * a + s.mean(0) / T
        if "T" in dims:
            gains[t + delay] *= naive_gate("hard", p["ta_w"] * m + p["ta_b"])
        if "C" in dims:
            gains[t + delay] *= naive_gate("hard", naive_mlp(p["ca_w0"], p["ca_w1"], n) + p["ca_b"])[:, None, None]
        if "S" in dims:
            gains[t + delay] *= naive_gate("hard", naive_conv(p["sa_kernel"][0], a[None]) + p["sa_b"])
    return spikes


def naive_paper(p: dict[str, np.ndarray], x: np.ndarray, dims: str) -> np.ndarray:
    if "T" in dims:
        score = naive_mlp(p["ta_w0"], p["ta_w1"], x.mean((1, 2, 3))) + naive_mlp(
            p["ta_w0"], p["ta_w1"], x.max((1, 2, 3))
        )
        x = naive_gate("sigmoid", score)[:, None, None, None] * x
    v, spikes = np.zeros((C, H, W)), np.zeros_like(x)
    for t in range(T):
        u = 0.3 * v + x[t]
        if "C" in dims:
            score = naive_mlp(p["ca_w0"], p["ca_w1"], u.mean((1, 2))) + naive_mlp(p["ca_w0"], p["ca_w1"], u.max((1, 2)))
            u = naive_gate("sigmoid", score)[:, None, None] * u
        if "S" in dims:
            u = naive_gate("sigmoid", naive_conv(p["sa_kernel"][0], np.stack([u.mean(0), u.max(0)]))) * u
        spikes[t] = u >= 0.3
        v = u * (1 - spikes[t])
    return spikes


def naive_sda(p: dict[str, np.ndarray], x: np.ndarray, dims: str) -> np.ndarray:
    """One sample x (T, C, H, W): every product of a sum with the other dimensions' spikes, step by step."""
    v, spikes, seen = np.zeros((C, H, W)), np.zeros_like(x), []
    for t in range(T):
        over = x[t] > p["level"]
        seen.insert(0, float(over.any()))
        sums = {
            "T": np.full((1, 1, 1), sum(w * a for w, a in zip(p.get("ta_taps", ()), seen, strict=False))),
            "C": (p["ca_w"] @ over.any((1, 2)))[:, None, None] if "C" in dims else None,
            "S": naive_conv(p["sa_kernel"][0], over.any(0)[None].astype(float))[None] if "S" in dims else None,
        }
        added = np.zeros((C, H, W))
        for d in dims:
            product = np.broadcast_to(sums[d], (C, H, W)).copy()
            for e in dims:
                product *= 1 if e == d else sums[e] > 0.5
            added += product
        v = 0.3 * v + x[t] + added / len(dims)
        spikes[t] = v >= 0.3
        v = v * (1 - spikes[t])
    return spikes


@pytest.mark.parametrize("dims", DIMS)
def test_the_spike_driven_layer_follows_its_equations(dims: str) -> None:
    module, x = layer(dims, "sda"), current(0.4)
    with torch.no_grad():
        module.level.fill_(0.7)
        for phase, name in enumerate(set(dict(module.named_parameters())) & {"ta_taps", "ca_w", "sa_kernel"}):
            module.get_parameter(name).copy_(0.8 * wave(module.get_parameter(name).shape, phase + 0.9))
    p = {name: value.detach().numpy() for name, value in module.named_parameters()}

    spikes = module(x).detach().numpy()

    assert (spikes != lif("N1")(x).numpy()).any()
    for b in range(B):
        np.testing.assert_array_equal(spikes[:, b], naive_sda(p, x[:, b].numpy(), dims))


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize(("delay", "decay"), [(3, 1.0), (4, 0.5)])
def test_the_causal_layer_follows_its_equations(dims: str, delay: int, decay: float) -> None:
    module, x = layer(dims, "causal", gate_delay=delay, decay=decay), current()
    p = {name: value.detach().numpy() for name, value in module.named_parameters()}

    spikes = module(x).detach().numpy()

    for b in range(B):
        np.testing.assert_array_equal(spikes[:, b], naive_causal(p, x[:, b].numpy(), dims, delay, decay))


@pytest.mark.parametrize("dims", DIMS)
def test_the_paper_layer_follows_its_equations(dims: str) -> None:
    module, x = layer(dims, "paper"), current(2.0)
    p = {name: value.detach().numpy() for name, value in module.named_parameters()}

    spikes = module(x).detach().numpy()

    for b in range(B):
        np.testing.assert_array_equal(spikes[:, b], naive_paper(p, x[:, b].numpy(), dims))


def test_the_code_layer_is_the_attention_followed_by_the_neuron() -> None:
    module = layer("TCS", "code")
    attention = MAAttention(T, C, (H, W), reduction_c=2).double()
    attention.load_state_dict({k: v for k, v in module.state_dict().items() if not k.startswith("neuron")})

    assert torch.equal(module(current()), lif("N1")(attention(current())))


@pytest.mark.parametrize(("variant", "dims"), list(itertools.product(("paper", "code", "causal", "sda"), DIMS)))
def test_what_the_last_frame_can_reach(variant: str, dims: str) -> None:
    """Only TA and the whole released code look ahead: perturb frame T - 1 and look at the gated membrane of t = 0."""
    module, x = layer(dims, variant), current(2.0)
    perturbed = x.clone()
    perturbed[-1] += 1.0

    before, after = module.trace(x), module.trace(perturbed)

    looks_ahead = variant == "code" or (variant == "paper" and "T" in dims)
    assert torch.equal(before.membrane[0], after.membrane[0]) != looks_ahead
    assert not torch.equal(before.membrane[-1], after.membrane[-1])


@pytest.mark.parametrize("gate", ["sigmoid", "hard", "pow2", "binary"])
@pytest.mark.parametrize("variant", ["paper", "code", "causal", "sda"])
def test_every_gate_in_every_variant_trains_all_its_parameters(variant: str, gate: str) -> None:
    module = layer("TCS", variant, gate).float()

    module(current(2.0).float()).sum().backward()

    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert sum(float(p.grad.abs().sum()) for p in module.parameters()) > 0  # type: ignore[union-attr]


def test_causal_gates_start_open_wait_for_their_delay_and_move() -> None:
    trace = layer("TCS", "causal").trace(current(3.0))

    assert torch.equal(trace.gains[:3], torch.ones_like(trace.gains[:3]))
    assert 0.5 < trace.gains[3].mean() < 1.0
    assert trace.gains[6].std() > 0.01


def test_the_gradient_of_the_gated_membrane_matches_finite_differences() -> None:
    attention = MAAttention(4, 4, (3, 3), reduction_t=2, reduction_c=2).double()
    x = torch.randn(4, 1, 4, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(attention, (x,))


def test_features_without_space_take_time_attention() -> None:
    for variant in ("paper", "code", "causal", "sda"):
        module = MALIF(lif("N1"), T, 6, dims="T", variant=variant)
        assert module(torch.randn(T, B, 6)).shape == (T, B, 6)


def test_another_number_of_timesteps_is_refused_at_forward_and_at_load() -> None:
    module = layer("CS", "causal")
    other = MALIF(lif("N1"), 5, C, (H, W), dims="CS", variant="causal", reduction_c=2)

    with pytest.raises(TimestepsError, match="input of T = 6; the layer was made for T = 7"):
        module(current()[:6])
    with pytest.raises(TimestepsError, match="weights trained for T = 7; the layer was made for T = 5"):
        other.load_state_dict(module.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": "CT"}, "dims 'CT'; allowed are T, C, S, TC, TS, CS, TCS"),
        ({"variant": "pre"}, "variant 'pre'; allowed are paper, code, causal, sda"),
        ({"dims": "TC", "variant": "causal", "gate_delay": 2}, "gate_delay 2; a causal gate over TC passes 3 synapses"),
        ({"dims": "S", "variant": "causal", "gate_delay": 1}, "gate_delay 1; a causal gate over S passes 2 synapses"),
        ({"variant": "causal", "decay": 1.5}, "decay 1.5; allowed are 0 to 1"),
        ({"dims": "T", "reduction_t": 8}, "T = 7 // 8 leaves no hidden unit"),
        ({"dims": "C", "reduction_c": 8}, "C = 4 // 8 leaves no hidden unit"),
        ({"kernel": 4}, "kernel 4; an odd side is allowed"),
    ],
)
def test_arguments_that_make_no_layer_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError) as info:
        MALIF(lif("N1"), T, C, (H, W), **{"reduction_c": 2, **options})  # type: ignore[arg-type]
    assert message in info.value.what
    assert info.value.help


def test_space_attention_needs_space_and_the_input_must_fit() -> None:
    with pytest.raises(ModelError, match="dims 'TS' on features without space"):
        MALIF(lif("N1"), T, 4, dims="TS")
    with pytest.raises(ModelError, match=r"current of shape \(5, 4, 5\) per step; the layer was made for \(4, 4, 5\)"):
        layer("TCS", "code")(torch.zeros(T, B, 5, H, W, dtype=torch.float64))
