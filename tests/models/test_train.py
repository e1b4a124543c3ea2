"""Training: the same seed gives the same weights, the loss falls, and validation leaves the test split alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.datasets import load
from models.errors import RecipeError
from models.train import loop
from models.train.augment import shifted
from models.train.losses import loss_of
from models.train.measure import measure
from models.train.recipes import RECIPES, recipe

SMALL = replace(recipe("ma-digits-vanilla"), epochs=2, timesteps=3, arguments={"T": 3, "attention": False}, batch=256)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (loop.train(SMALL, seed=s, validation=0.2).module.state_dict() for s in (3, 3, 4))

    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_the_loss_falls_and_every_epoch_is_reported() -> None:
    epochs: list[loop.Epoch] = []

    trained = loop.train(replace(SMALL, epochs=4), validation=0.2, on_epoch=epochs.append)

    assert [(e.number, e.of) for e in epochs] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert epochs[-1].loss < epochs[0].loss
    assert trained.measurement.accuracy > 0.15
    assert not trained.module.training


def test_validation_never_reads_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def spy(name: str, *, split: str, coding: str, timesteps: int) -> object:
        asked.append(split)
        return load(name, split=split, coding=coding, timesteps=timesteps)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "load", spy)
    loop.train(replace(SMALL, epochs=1), validation=0.2)
    assert asked == ["train"]
    loop.train(replace(SMALL, epochs=1))
    assert asked == ["train", "train", "test"]


def test_hold_out_parts_the_train_split() -> None:
    samples = load("digits", split="train", timesteps=1)

    kept, held = loop.hold_out(samples, 0.2, seed=0)

    assert len(held) == round(0.2 * len(samples.y))
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(samples.y)))


def test_a_shift_moves_all_steps_alike_and_keeps_the_shape() -> None:
    x = torch.zeros(3, 40, 1, 5, 5)
    x[:, :, :, 2, 2] = 1.0

    y = shifted(x, 1, torch.Generator().manual_seed(0))

    assert y.shape == x.shape
    assert torch.equal(y, y[:1].expand_as(y))
    assert (y.sum((0, 2, 3, 4)) == 3).all()
    assert len(y[0, :, 0].flatten(1).argmax(1).unique()) == 9
    assert shifted(x, 0, torch.Generator()) is x


def test_the_losses_have_their_values() -> None:
    answer, y = torch.tensor([[1.0, 0.5]]), torch.tensor([1])

    assert loss_of("mse-rate", answer, y).item() == pytest.approx((1.0 + 0.25) / 2)
    assert loss_of("cross-entropy", answer, y).item() == pytest.approx(np.log(1 + np.exp(0.5)))


def test_the_spike_rate_counts_every_spiking_layer() -> None:
    from models.nets import make

    torch.manual_seed(0)
    module = make("ma_digits", {"T": 3}).eval()
    x, y = torch.ones(3, 2, 1, 8, 8), torch.tensor([0, 1])
    first = module.lif1(module.bn1(module.conv1(x)))
    second = module.lif2(module.pool2(module.bn2(module.conv2(first))))
    last = module.lif_out(module.bn_fc(module.fc(module.flatten(second))))

    rate = measure(module, x, y).spike_rate

    spikes, neurons = (
        sum(float(s.detach().sum()) for s in (first, second, last)),
        sum(s.numel() for s in (first, second, last)),
    )
    assert rate == pytest.approx(spikes / neurons)


def test_what_cannot_be_trained_is_refused_before_any_work() -> None:
    with pytest.raises(RecipeError, match="no recipe 'bert'; there are " + ", ".join(RECIPES)):
        recipe("bert")
    with pytest.raises(RecipeError, match="0 epochs; at least 1"):
        loop.train(replace(SMALL, epochs=0))
    with pytest.raises(RecipeError, match="device 'tpu' is not here"):
        loop.train(SMALL, device="tpu")
