"""GAC: the released code's equations, the closed form on static images, and the gate's dependence on T."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from spikewright.models.attention.gac import GAC, closed_form_ta, conv_same
from spikewright.models.attention.gates import GATES
from spikewright.models.attention.ma import time_score
from spikewright.models.errors import ModelError, TimestepsError
from spikewright.models.neurons import lif

T, B, C = 6, 3, 4


def coder(gate: str = "sigmoid") -> GAC:
    torch.manual_seed(0)
    return GAC(lif("N4"), T, C, gate=gate).double()


def images(seed: int = 0) -> Tensor:
    return torch.randn(B, C, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 1.5


def test_the_output_is_the_gate_times_the_spikes() -> None:
    module, x = coder(), torch.randn(T, B, C, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    w0, w1, k0, k1 = (p.detach().numpy() for p in (module.ta_w0, module.ta_w1, module.conv0, module.conv1))

    y = module(x).detach().numpy()

    n = x.numpy()
    pooled = (n.mean((2, 3, 4)), n.max((2, 3, 4)))
    attention = sum(w1 @ np.maximum(w0 @ v, 0) for v in pooled)
    expected = np.zeros_like(n)
    spikes = lif("N4")(x).numpy()
    for t, b in np.ndindex(T, B):
        f = naive_same(k1, np.maximum(naive_same(k0, n[t, b]), 0))
        expected[t, b] = spikes[t, b] / (1 + np.exp(-attention[t, b] * f))
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)
    assert ((y > 0) == (spikes > 0)).all()


def naive_same(kernel: np.ndarray, x: np.ndarray) -> np.ndarray:
    """4 x 4 with one zero left and top, two right and bottom."""
    padded = np.pad(x, ((0, 0), (1, 2), (1, 2)))
    out = np.zeros_like(x)
    for o, i, j in np.ndindex(*x.shape):
        out[o, i, j] = (kernel[o] * padded[:, i : i + 4, j : j + 4]).sum()
    return out


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_same_padding_is_torchs() -> None:
    torch.manual_seed(0)
    reference = torch.nn.Conv2d(C, C, 4, padding="same", bias=False).double()

    torch.testing.assert_close(conv_same(images(), reference.weight), reference(images()))


@pytest.mark.parametrize("shift", [-3.0, 0.0, 3.0])
def test_the_closed_form_equals_time_attention_on_static_images(shift: float) -> None:
    """Shifts make avg and max both negative, of both signs, and both positive."""
    module, x = coder(), 0.3 * images() + shift

    closed = closed_form_ta(x.mean((1, 2, 3)), x.amax((1, 2, 3)), module.ta_w0, module.ta_w1)

    torch.testing.assert_close(closed, time_score(x.expand(T, *x.shape), module.ta_w0, module.ta_w1))


def test_on_a_static_image_the_score_is_one_map_times_a_scalar_per_step() -> None:
    module, x = coder(), images()

    score = torch.logit(module.gains(x.expand(T, *x.shape)))

    ratio = score[1:] / score[:1]
    torch.testing.assert_close(ratio, ratio[..., :1, :1, :1].expand_as(ratio), rtol=1e-6, atol=1e-8)


def test_on_events_the_gate_looks_ahead() -> None:
    module, x = coder(), torch.randn(T, B, C, 5, 5, dtype=torch.float64)
    perturbed = x.clone()
    perturbed[-1] += 1.0

    assert not torch.equal(module.gains(x)[0], module.gains(perturbed)[0])


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_trains_all_parameters(gate: str) -> None:
    module, x = coder(gate), images()

    module(x.expand(T, *x.shape)).sum().backward()

    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_another_number_of_timesteps_is_refused_at_forward_and_at_load() -> None:
    with pytest.raises(TimestepsError, match="input of T = 4; the layer was made for T = 6"):
        coder()(images().expand(4, *images().shape))
    with pytest.raises(TimestepsError, match="weights trained for T = 6; the layer was made for T = 4"):
        GAC(lif("N4"), 4, C).load_state_dict(coder().state_dict())


def test_arguments_that_make_no_layer_are_refused() -> None:
    with pytest.raises(ModelError, match="variant 'figure'; allowed are code, causal"):
        GAC(lif("N4"), T, C, variant="figure")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"T = 1 // 2 leaves no hidden unit"):
        GAC(lif("N4"), 1, C)
    with pytest.raises(ModelError, match=r"expected \(T, B, 4, H, W\)"):
        coder()(torch.zeros(T, B, 3, 5, 5, dtype=torch.float64))


def test_the_causal_gate_does_not_look_ahead_and_the_released_one_does() -> None:
    """On events: perturb the last frame."""
    x = torch.randn(T, B, C, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    other = x.clone()
    other[-1] += 1.0
    torch.manual_seed(0)
    causal = GAC(lif("N4"), T, C, variant="causal").double()

    assert torch.equal(causal.gains(x)[:-1], causal.gains(other)[:-1])
    assert not torch.equal(causal.gains(x)[-1], causal.gains(other)[-1])
    assert not torch.equal(coder().gains(x)[0], coder().gains(other)[0])


def test_a_binary_gate_makes_the_output_a_mask_of_the_spikes() -> None:
    y = coder("binary")(images().expand(T, -1, -1, -1, -1))

    assert set(y.unique().tolist()) == {0.0, 1.0}
