"""TCJA: the authors' golden numbers, a naive reimplementation, causality, gradients, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from spikewright.models.attention.tcja import TCJA
from spikewright.models.attention.tcja_readout import TCJAReadout
from spikewright.models.errors import ModelError, TimestepsError

T, B, C, H, W = 7, 2, 5, 3, 4


def spikes(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(T, B, C, H, W, generator=generator) < 0.3).double()


def layer(**options: object) -> TCJA:
    torch.manual_seed(1)
    return TCJA(T, C, **options).double()  # type: ignore[arg-type]


def test_the_gates_have_the_golden_values() -> None:
    """Computed with the authors' module: T = 3, C = 2, k = 2, padded at the end only."""
    z = torch.tensor([[0.2, 0.4], [0.6, 0.0], [1.0, 0.8]], dtype=torch.float64)
    x = z[:, None, :, None, None]
    both, tla, cla = (TCJA(3, 2, tla_kernel=2, cla_kernel=2, dims=d).double() for d in ("TC", "T", "C"))
    with torch.no_grad():
        for module in (both, tla):
            module.tla.copy_(torch.arange(8.0).reshape(2, 2, 2) * 0.2 - 0.6)
        for module in (both, cla):
            module.cla.copy_(torch.arange(18.0).reshape(3, 3, 2) * 0.1 - 0.5)

    p, q = (torch.logit(m.gains(x)[:, 0]).detach().numpy() for m in (tla, cla))

    np.testing.assert_allclose(q, [[-0.54, -0.28], [1.26, 0.44], [3.06, 1.16]], atol=1e-6)
    np.testing.assert_allclose(p, [[-0.44, 0.52], [-0.76, 1.16], [-0.76, 0.68]], atol=1e-6)
    np.testing.assert_allclose(
        both.gains(x)[:, 0].detach().numpy(), [[0.559122, 0.463664], [0.277359, 0.624900], [0.089025, 0.687574]],
        atol=1e-6,
    )  # fmt: skip


def naive(module: TCJA, s: np.ndarray, k: int) -> np.ndarray:
    """Gains (T, C) of one sample (T, C, H, W), straight from the equations."""
    tla, cla = (module.get_parameter(name).detach().numpy() for name in ("tla", "cla"))
    causal = module.variant == "causal"
    z = s.mean((2, 3))
    score = np.zeros((T, C))
    for t in range(T):
        for c in range(C):
            before = k - 1 if causal else (k - 1) // 2
            p = sum(tla[c, n, m] * z[t + m - before, n] for n in range(C) for m in range(k) if 0 <= t + m - before < T)
            before = (k - 1) // 2
            if module.cla_memory == "count":
                n = sum(module.decay ** (t - u) * z[u] for u in range(t + 1)) / T
                q = sum(cla[0, 0, m] * n[c + m - before] for m in range(k) if 0 <= c + m - before < C)
            else:
                past = range(t + 1) if causal else range(T)
                q = sum(cla[t, u, m] * z[u, c + m - before] for u in past for m in range(k) if 0 <= c + m - before < C)
            score[t, c] = p * q
    gate = np.clip(score / 4 + 0.5, 0, 1) if module.gate == "hard" else 1 / (1 + np.exp(-score))
    if not causal or module.gate_delay == 0:
        return gate
    return np.concatenate([np.ones((module.gate_delay, C)), gate[: T - module.gate_delay]])


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"variant": "published"},
        {"variant": "causal", "gate_delay": 0},
        {"variant": "causal", "gate_delay": 3},
        {"variant": "causal", "cla_memory": "count", "decay": 0.5},
        {"variant": "causal", "cla_memory": "count", "gate_delay": 2, "gate": "sigmoid"},
    ],
)
def test_the_layer_follows_its_equations(options: dict[str, object], k: int) -> None:
    module, s = layer(tla_kernel=k, cla_kernel=k, **options), spikes()

    y = module(s).detach().numpy()

    for b in range(B):
        expected = naive(module, s[:, b].numpy(), k)[:, :, None, None] * s[:, b].numpy()
        np.testing.assert_allclose(y[:, b], expected, atol=1e-12)


def reach(module: TCJA) -> list[int]:
    """The steps whose gains change when the last frame does."""
    s = spikes()
    other = s.clone()
    other[-1] = 1.0 - other[-1]
    moved = (module.gains(s) - module.gains(other)).abs().amax((1, 2))
    return moved.nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"dims": "T", "tla_kernel": 4}, [4, 5, 6]),
        ({"dims": "T", "tla_kernel": 2}, [5, 6]),
        ({"dims": "C"}, [0, 1, 2, 3, 4, 5, 6]),
        ({"dims": "TC"}, [0, 1, 2, 3, 4, 5, 6]),
        ({"dims": "T", "variant": "causal", "gate_delay": 0}, [6]),
        ({"dims": "TC", "variant": "causal", "gate_delay": 0}, [6]),
        ({"dims": "TC", "variant": "causal", "gate_delay": 0, "cla_memory": "count"}, [6]),
        ({"dims": "TC", "variant": "causal"}, []),
    ],
)
def test_what_the_last_frame_can_reach(options: dict[str, object], steps: list[int]) -> None:
    assert reach(layer(gate="sigmoid", **options)) == steps


def test_a_causal_gate_is_one_until_its_delay_and_the_published_one_starts_at_once() -> None:
    gains = layer(variant="causal").gains(spikes())

    assert torch.equal(gains[:3], torch.ones_like(gains[:3]))
    assert gains[3:].std() > 0.01
    assert layer().gains(spikes())[0].max() < 1.0


def test_without_spikes_the_gate_is_one_half_and_nothing_comes_out() -> None:
    module, silent = layer(), torch.zeros(T, B, C, H, W, dtype=torch.float64)

    assert torch.equal(module.gains(silent), torch.full((T, B, C), 0.5, dtype=torch.float64))
    assert not module(silent).any()


def test_pooling_behind_the_gate_equals_gating_behind_the_pool() -> None:
    s = spikes()[..., :2, :].contiguous()
    module = layer()
    gain = module.gains(s)[..., None, None]
    pool = torch.nn.functional.max_pool2d

    torch.testing.assert_close(
        pool(module(s).flatten(0, 1), 2), (gain * pool(s.flatten(0, 1), 2).unflatten(0, (T, B))).flatten(0, 1)
    )


@pytest.mark.parametrize("gate", ["sigmoid", "hard", "pow2", "binary"])
@pytest.mark.parametrize("variant", ["published", "causal"])
def test_every_gate_in_every_variant_trains_all_its_parameters(variant: str, gate: str) -> None:
    module = layer(variant=variant, gate=gate)

    module(spikes()).sum().backward()

    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_gradients_match_finite_differences() -> None:
    x = torch.rand(3, 1, 2, 2, 2, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(TCJA(3, 2).double(), (x,))
    assert torch.autograd.gradcheck(TCJA(3, 2, variant="causal", gate="sigmoid", gate_delay=1).double(), (x,))


def test_parameters_are_as_many_as_the_authors_count() -> None:
    """C^2 k_T + T^2 k_C; DVS128 Gesture's two layers together: 134,272."""
    size = sum(p.numel() for p in TCJA(20, 128).parameters())

    assert 2 * size == 134_272
    assert [tuple(p.shape) for p in TCJA(20, 8, tla_kernel=4, cla_kernel=2).parameters()] == [(8, 8, 4), (20, 20, 2)]


def test_another_number_of_timesteps_is_refused_at_forward_and_at_load() -> None:
    with pytest.raises(TimestepsError, match="input of T = 6; the layer was made for T = 7"):
        layer()(spikes()[:6])
    with pytest.raises(TimestepsError, match="weights trained for T = 7; the layer was made for T = 5"):
        TCJA(5, C, dims="T").load_state_dict(layer(dims="T").state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": "CT"}, "dims 'CT'; allowed are T, C, TC"),
        ({"variant": "paper"}, "variant 'paper'; allowed are published, causal"),
        ({"cla_memory": "ring"}, "cla_memory 'ring'; allowed are table, count"),
        ({"gate_delay": -1}, "gate_delay -1, kernel 4, decay 1.0; allowed are"),
        ({"gate": "relu"}, "gate 'relu'; allowed are sigmoid, hard, pow2, binary"),
    ],
)
def test_arguments_that_make_no_layer_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError) as info:
        TCJA(T, C, **options)  # type: ignore[arg-type]
    assert info.value.what.startswith(message)
    assert info.value.help


def test_spikes_of_other_channels_are_refused() -> None:
    with pytest.raises(ModelError, match=r"spikes of shape \(7, 2, 4, 3, 4\); expected \(T, B, 5, H, W\)"):
        layer()(spikes()[:, :, :4])


def test_the_byte_codes_read_out_warps_time_as_found() -> None:
    """Z[t] = t and weights of 1: output step i sums steps 2i - 9 .. 2i - 6; the first and last three see padding only."""
    readout = TCJAReadout().double()
    with torch.no_grad():
        readout.tla.fill_(1.0)

    scores = readout.time_scores(torch.arange(16.0, dtype=torch.float64).reshape(16, 1, 1))

    assert scores.flatten().tolist() == [0, 0, 0, 0, 3, 10, 18, 26, 34, 42, 50, 42, 15, 0, 0, 0]
    assert sum(p.numel() for p in readout.parameters()) == 260


def test_the_read_out_sums_the_gated_steps() -> None:
    r = torch.randn(16, 2, 1, 3, 3, dtype=torch.float64)
    for variant in ("bytecode", "clean"):
        readout = TCJAReadout(variant=variant).double()
        with torch.no_grad():
            readout.cla.zero_()  # every score is 0, every gate 1/2
        torch.testing.assert_close(readout(r), torch.tanh(0.5 * r.sum(0)))


def test_the_byte_codes_read_out_exists_for_one_channel_and_16_steps() -> None:
    for options in ({"channels": 3}, {"T": 8}):
        with pytest.raises(ModelError, match="the byte-code's read-out exists for T = 16 and 1 channel"):
            TCJAReadout(**options)  # type: ignore[arg-type]
    assert TCJAReadout(T=8, channels=3, variant="clean")(torch.zeros(8, 2, 3, 4, 4)).shape == (2, 3, 4, 4)
    with pytest.raises(ModelError, match="variant 'paper'; allowed are bytecode, clean"):
        TCJAReadout(variant="paper")
