"""FSVAE and TCJA-VAE: shapes, the read-out's sum, sampling step by step, and a training that lowers its loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikewright.models.datasets import Images
from spikewright.models.errors import ModelError, RecipeError
from spikewright.models.nets.fsvae import FSVAE, LATENT, SAMPLES, Autoregressive, ThresholdBatchNorm
from spikewright.models.train import vae
from spikewright.models.train.fit import Epoch


def pictures(count: int = 3) -> torch.Tensor:
    x = torch.rand(1, count, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return x.expand(16, -1, -1, -1, -1)


@pytest.mark.parametrize("readout", ["leaky", "tcja-bytecode", "tcja-clean"])
def test_a_training_pass_gives_image_and_latents_and_trains_every_parameter(readout: str) -> None:
    torch.manual_seed(0)
    module = FSVAE(readout=readout)  # type: ignore[arg-type]

    out = module(pictures(), own=0.5, generator=torch.Generator().manual_seed(1))

    assert out.image.shape == (3, 1, 32, 32)
    assert out.posterior.shape == out.prior.shape == (16, 3, LATENT, SAMPLES)
    assert out.image.abs().max() <= 1
    vae.vae_loss(out.image, pictures()[0], out.posterior, out.prior).backward()
    assert all(p.grad is not None for p in module.parameters())


def test_the_leaky_read_out_weighs_late_steps_most() -> None:
    torch.manual_seed(0)
    module = FSVAE(T=3).eval()
    z = (torch.rand(3, 1, LATENT) < 0.5).float()

    with torch.no_grad():
        r = module.decoder(module.expand(z))
        image = module.decode(z)

    torch.testing.assert_close(image, torch.tanh(0.64 * r[0] + 0.8 * r[1] + r[2]))


def test_a_latent_net_run_step_by_step_equals_the_whole_run() -> None:
    torch.manual_seed(0)
    net = Autoregressive(4).eval()
    x = 30.0 * torch.rand(5, 2, 4)
    state: dict[int, torch.Tensor] = {}

    with torch.no_grad():
        steps = torch.stack([net.step(step, state) for step in x])
        assert torch.equal(steps, net(x))
    assert 0 < steps.mean() < 1


def test_a_narrow_net_has_the_shapes_asked_for() -> None:
    torch.manual_seed(0)
    module = FSVAE(T=3, readout="tcja-clean", widths=[8, 16, 32], latent=6, samples=4, hidden=[10, 12])

    out = module(pictures()[:3, :, :, :16, :16], own=0.5)

    assert out.image.shape == (3, 1, 16, 16)
    assert out.posterior.shape == out.prior.shape == (3, 3, 6, 4)
    assert module.sample(2).shape == (2, 1, 16, 16)


@pytest.mark.parametrize("sizes", [{"widths": []}, {"latent": 0}, {"samples": 0}, {"hidden": [4]}, {"hidden": [4, -1]}])
def test_sizes_that_make_no_net_are_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="all at least 1, and hidden has two"):
        FSVAE(**sizes)


def test_mixed_precision_ends_where_membranes_and_images_are_made() -> None:
    torch.manual_seed(0)
    module = FSVAE(T=2, widths=[4, 4, 4, 4], latent=4, samples=3, hidden=[5, 6])

    with torch.autocast("cpu", torch.bfloat16):
        out = module(pictures()[:2], own=0.5)

    assert {out.image.dtype, out.posterior.dtype, out.prior.dtype} == {torch.float32}


def test_threshold_batch_norm_scales_to_the_threshold() -> None:
    y = ThresholdBatchNorm(3, alpha=2.0)(torch.randn(4, 50, 3, 2, 2) * 7 + 1)

    torch.testing.assert_close(y.std((0, 1, 3, 4)), torch.full((3,), 0.4), rtol=1e-2, atol=0)


def test_threshold_batch_norm_of_a_still_input_equals_that_of_its_copies() -> None:
    x = torch.randn(1, 50, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    still, moving = ThresholdBatchNorm(3), ThresholdBatchNorm(3)

    torch.testing.assert_close(still(x.expand(4, -1, -1, -1, -1)), moving(x.repeat(4, 1, 1, 1, 1)))
    torch.testing.assert_close(still.running_mean, moving.running_mean)


def test_sampling_is_repeatable_and_leaves_the_mode_alone() -> None:
    torch.manual_seed(0)
    module = FSVAE()

    first, again = (module.sample(2, torch.Generator().manual_seed(4)) for _ in range(2))

    assert torch.equal(first, again)
    assert first.shape == (2, 1, 32, 32)
    assert module.prior.training


def test_training_lowers_the_loss_and_measures_the_reconstruction(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = np.zeros((1, 28, 28), np.float32)
    image[0, 8:20, 10:18] = 1.0
    source = Images(np.repeat(image[None], 16, 0), np.zeros(16, np.int64), ("bar",))
    monkeypatch.setattr(vae, "read", lambda name, *, split, root: source)
    epochs: list[Epoch] = []

    trained = vae.train_vae(
        vae.VAERecipe("bar", "leaky", timesteps=4, epochs=4, batch=8, learning_rate=3e-3), on_epoch=epochs.append
    )

    assert epochs[-1].loss < 0.8 * epochs[0].loss
    assert 0 < trained.reconstruction_mse < 1.5
    vae.save_grid(trained.module.sample(5, torch.Generator().manual_seed(0)), tmp_path / "grid.png", columns=3)
    from PIL import Image

    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (96, 64)


def test_images_are_padded_and_scaled_and_events_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Images(np.ones((2, 1, 28, 28), np.float32), np.zeros(2, np.int64), ("one",))
    monkeypatch.setattr(vae, "read", lambda name, *, split, root: source)

    x = vae.images_for("mnist", "train", 32, None)

    assert x.shape == (2, 1, 32, 32)
    assert (x[:, :, 2:30, 2:30] == 1).all()
    assert x.sum() == 2 * (784 - (1024 - 784))
    with pytest.raises(RecipeError, match="'mnist' holds no images of up to 16 pixels"):
        vae.images_for("mnist", "train", 16, None)
