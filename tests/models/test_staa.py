"""STAA-style layers: the reconstruction's equations, the causal substitute, causality, skipping, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from spikewright.models.attention import staa
from spikewright.models.attention.ma import MALIF
from spikewright.models.attention.staa import STAALIF
from spikewright.models.errors import ModelError, TimestepsError
from spikewright.models.neurons import AdaptiveLIF, lif

T, B, C, H, W = 6, 2, 8, 3, 4


def current(scale: float = 1.5) -> Tensor:
    return scale * torch.randn(T, B, C, H, W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def layer(**options: object) -> STAALIF:
    torch.manual_seed(1)
    module = STAALIF(T, C, **options).double().eval()  # type: ignore[arg-type]
    with torch.no_grad():
        if isinstance(module.neuron, AdaptiveLIF):
            module.neuron.gain.uniform_(0.5, 1.5)
            module.neuron.decay_logit.uniform_(-2.0, 1.0)
        if hasattr(module, "gc_scale"):
            module.gc_scale.uniform_(0.5, 1.5)
            module.gc_shift.uniform_(-0.5, 0.5)
    return module


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def naive(module: STAALIF, x: np.ndarray) -> np.ndarray:
    """One sample (T, C, H, W), straight from the equations of the reconstruction."""
    p = {name: value.detach().numpy() for name, value in module.named_parameters()}
    m, n = sigmoid(p["neuron.decay_logit"])[:, None, None], p["neuron.gain"][:, None, None]
    v, s = np.zeros((C, H, W)), np.zeros((C, H, W))
    spikes = np.zeros((T, C, H, W))
    for t in range(T):
        i = x[t] + p["pe"][t][:, None, None]
        if module.aggregator == "softmax":
            e = np.exp(np.einsum("c,chw->hw", p["gc_key"][0], i))
            context = np.einsum("hw,chw->c", e / e.sum(), i)
        else:
            context = s.mean((1, 2))
        q = p["gc_query"] @ context
        q = (q - q.mean()) / np.sqrt(q.var() + 1e-5) * p["gc_scale"] + p["gc_shift"]
        gain = sigmoid(p["gc_value"] @ np.maximum(q, 0))
        v = m * v + n * gain[:, None, None] * i
        s = (v >= 0.5).astype(float)
        v = v * (1 - s)
        spikes[t] = s
    a = sigmoid(p["sa_w1"] @ np.maximum(p["sa_w0"] @ spikes.mean((1, 2, 3)), 0))
    return a[:, None, None, None] * spikes


@pytest.mark.parametrize("aggregator", ["softmax", "count"])
def test_the_reconstruction_follows_its_equations(aggregator: str) -> None:
    module, x = layer(aggregator=aggregator), current()

    y = module(x).detach().numpy()

    for b in range(B):
        np.testing.assert_allclose(y[:, b], naive(module, x[:, b].numpy()), rtol=1e-9)
    assert 0.05 < (y > 0).mean() < 0.95


def test_the_causal_layer_is_mas_causal_gates_over_time_and_channels_on_the_encoded_current() -> None:
    module = layer(variant="causal", neuron=lif("N7"))
    other = MALIF(lif("N7"), T, C, (H, W), dims="TC", variant="causal", reduction_c=4).double()
    own = {k: v for k, v in module.state_dict().items() if k != "pe"}
    other.load_state_dict(own)

    y = module(current())

    assert torch.equal(y, other(current() + module.pe[:, None, :, None, None]))
    assert set(y.unique().tolist()) == {0.0, 1.0}


def test_position_encoding_shifts_each_steps_current_and_can_be_left_out() -> None:
    module = layer(variant="causal")
    bare = layer(variant="causal", position=False)
    with torch.no_grad():
        module.pe.zero_()
    bare.load_state_dict({k: v for k, v in module.state_dict().items() if k != "pe"})

    assert torch.equal(module(current()), bare(current()))
    with torch.no_grad():
        module.pe[3] += 5.0
    assert torch.equal(module(current())[:3], bare(current())[:3])
    assert module(current())[3].mean() > 0.95


@pytest.mark.parametrize(
    ("options", "looks_ahead"),
    [({}, True), ({"aggregator": "count"}, True), ({"variant": "causal"}, False)],
)
def test_only_the_step_attention_looks_ahead(options: dict[str, object], looks_ahead: bool) -> None:
    module, x = layer(**options), current()
    other = x.clone()
    other[-1] += 2.0

    before, after = module.trace(x), module.trace(other)

    assert torch.equal(before.membrane[:-1], after.membrane[:-1])
    assert not torch.equal(before.membrane[-1], after.membrane[-1])
    assert torch.equal(module(x)[0], module(other)[0]) != looks_ahead


def test_time_steps_are_skipped_in_training_only_and_skipped_ones_are_plain_spikes() -> None:
    module = layer(skip=0.5)
    spikes = module.trace(current()).spikes
    attended = module.step_gains(spikes)
    assert (attended < 1).all()

    module.train()
    torch.manual_seed(5)
    skipping = module.step_gains(spikes)

    skipped = (skipping == 1).all(1)
    assert 0 < skipped.sum() < T
    assert torch.equal(skipping[~skipped], attended[~skipped])


def test_causal_gates_are_opened_by_skipping_in_training() -> None:
    module = layer(variant="causal", skip=0.999).train()

    gains = module.trace(current(4.0)).gains

    assert torch.equal(gains, torch.ones_like(gains))
    assert module.eval().trace(current(4.0)).gains.min() < 1.0


def test_a_skip_of_zero_draws_nothing() -> None:
    module = layer(skip=0.0).train()
    before = torch.get_rng_state()

    module(current())

    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("gate", ["sigmoid", "hard", "pow2", "binary"])
@pytest.mark.parametrize("options", [{}, {"aggregator": "count"}, {"variant": "causal"}])
def test_every_gate_in_every_variant_trains_all_its_parameters(options: dict[str, object], gate: str) -> None:
    module = layer(gate=gate, **options)

    module(current()).sum().backward()

    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert module.neuron.gain.grad.abs().sum() > 0  # type: ignore[union-attr]
    assert module.neuron.decay_logit.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_the_gradient_of_the_step_attention_matches_finite_differences() -> None:
    module = layer()
    x = torch.rand(T, 1, C, 1, 2, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(module.step_gains, (x,))


def test_the_layer_says_that_it_is_a_reconstruction() -> None:
    assert "provenance: reconstruction" in (staa.__doc__ or "")
    assert "reconstruction" in repr(layer())


def test_another_number_of_timesteps_is_refused_at_forward_and_at_load() -> None:
    with pytest.raises(TimestepsError, match="input of T = 5; the layer was made for T = 6"):
        layer()(current()[:5])
    other = STAALIF(4, C, variant="causal", position=False)
    with pytest.raises(TimestepsError, match="weights trained for T = 6; the layer was made for T = 4"):
        other.load_state_dict(layer(variant="causal", position=False).state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "published"}, "variant 'published'; allowed are reconstruction, causal"),
        ({"aggregator": "max"}, "aggregator 'max'; allowed are softmax, count"),
        ({"reduction_c": 9}, "no hidden unit is left"),
        ({"skip": 1.0}, "skip 1.0; allowed are 0 to below 1"),
        ({"variant": "causal", "gate_delay": 2}, "gate_delay 2; a causal gate over TC passes 3 synapses"),
        ({"gate": "relu"}, "gate 'relu'; allowed are sigmoid, hard, pow2, binary"),
    ],
)
def test_arguments_that_make_no_layer_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError) as info:
        layer(**options)
    assert info.value.what.startswith(message)
    assert info.value.help


def test_a_current_of_other_channels_is_refused() -> None:
    with pytest.raises(ModelError, match=r"current of shape \(6, 2, 7, 3, 4\); expected \(T, B, 8, H, W\)"):
        layer()(current()[:, :, :7])
