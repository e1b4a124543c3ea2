"""Training: the same seed gives the same weights, the loss falls, and validation leaves the test split alone."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Cli, untouched

from spikewright.models.datasets import Split
from spikewright.models.errors import CheckpointError, RecipeError
from spikewright.models.train import loop
from spikewright.models.train.augment import Augmentation, apply, apply_mix, draw, draw_mix
from spikewright.models.train.data import Data, training_data
from spikewright.models.train.losses import batch_loss, loss_of, postsynaptic, vae_loss
from spikewright.models.train.measure import measure
from spikewright.models.train.optimizers import Plateau, make_optimizer, rate_factor
from spikewright.models.train.recipes import RECIPES, Recipe, recipe
from spikewright.models.zoo.checkpoint import check_folder, checkpoint_path

SMALL = replace(recipe("ma-digits-vanilla"), epochs=2, timesteps=3, arguments={"T": 3, "attention": False}, batch=256)


def test_a_folder_without_room_is_refused_before_training_and_does_not_stay(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(CheckpointError, match="cannot write"):
            check_folder(tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("start", ["", "nowhere.safetensors", "nets/no.safetensors"])
def test_a_start_that_is_no_checkpoint_is_refused_before_data_is_read(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "training_data", lambda *_: pytest.fail("read"))

    with pytest.raises(CheckpointError):
        loop.train(replace(SMALL, start=start))


def test_a_link_that_leads_nowhere_is_no_folder_for_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")

    for folder in (tmp_path / "link", tmp_path / "link" / "a" / "b"):
        with pytest.raises(CheckpointError, match="leads nowhere"):
            check_folder(folder)


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

    def spy(recipe: Recipe, split: Split, root: Path | None) -> Data:
        asked.append(split)
        return training_data(recipe, split, root)

    monkeypatch.setattr(loop, "training_data", spy)
    loop.train(replace(SMALL, epochs=1), validation=0.2)
    assert asked == ["train"]
    loop.train(replace(SMALL, epochs=1))
    assert asked == ["train", "train", "test"]


def test_hold_out_parts_the_train_split_by_a_draw_or_at_its_end() -> None:
    kept, held = loop.hold_out(1437, 0.2, seed=0)

    assert len(held) == 287
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(1437))
    first, last = loop.hold_out(60_000, 5000, seed=0)
    assert (first[-1], last[0], last[-1]) == (54_999, 55_000, 59_999)


def augmented(augmentation: Augmentation, x: torch.Tensor) -> torch.Tensor:
    return apply(augmentation, x, draw(augmentation, x.shape[1], torch.Generator().manual_seed(0)))


def test_a_shift_moves_all_steps_alike_and_keeps_the_shape() -> None:
    x = torch.zeros(3, 40, 1, 5, 5)
    x[:, :, :, 2, 2] = 1.0

    y = augmented(Augmentation(shift=1), x)

    assert y.shape == x.shape
    assert torch.equal(y, y[:1].expand_as(y))
    assert (y.sum((0, 2, 3, 4)) == 3).all()
    assert len(y[0, :, 0].flatten(1).argmax(1).unique()) == 9
    assert augmented(Augmentation(), x) is x


def test_a_flip_mirrors_half_of_the_samples_and_a_cutout_zeroes_a_square() -> None:
    x = torch.arange(5.0).expand(2, 60, 1, 5, 5).contiguous()

    mirrored = (augmented(Augmentation(flip=True), x)[0, :, 0, 0, 0] == 4).sum()
    cut = augmented(Augmentation(cutout=3), torch.ones(2, 60, 1, 9, 9))

    assert 15 < mirrored < 45
    zeros = (cut == 0).sum((2, 3, 4))
    assert torch.equal(zeros[0], zeros[1])
    assert set(zeros[0].tolist()) <= {4, 6, 9}
    assert 9 in zeros[0].tolist()


def test_augmentation_of_a_part_is_the_part_of_the_augmentation() -> None:
    x = torch.rand(2, 7, 1, 6, 6)
    all_of_them = Augmentation(shift=2, flip=True, cutout=2)
    drawn = draw(all_of_them, 7, torch.Generator().manual_seed(5))

    part = slice(1, 7, 2)

    assert torch.equal(apply(all_of_them, x[:, part], drawn.part(part)), apply(all_of_them, x, drawn)[:, part])


def test_the_losses_have_their_values() -> None:
    answer, y = torch.tensor([[1.0, 0.5]]), torch.tensor([1])

    assert loss_of("mse-rate", answer, y).item() == pytest.approx((1.0 + 0.25) / 2)
    assert loss_of("cross-entropy", answer, y).item() == pytest.approx(np.log(1 + np.exp(0.5)))
    wrong, right = np.log(1 + np.exp(-0.5)), np.log(1 + np.exp(0.5))
    assert loss_of("smoothed", answer, y).item() == pytest.approx(0.95 * right + 0.05 * wrong)


def test_tet_averages_the_losses_of_the_steps_and_pulls_outputs_to_one() -> None:
    steps, y = torch.tensor([[[1.0, 0.5]], [[0.0, 3.0]]]), torch.tensor([1])

    entropy = (np.log(1 + np.exp(0.5)) + np.log(1 + np.exp(-3.0))) / 2
    pull = (0.0 + 0.25 + 1.0 + 4.0) / 4
    assert loss_of("tet", steps, y).item() == pytest.approx(0.999 * entropy + 0.001 * pull, rel=1e-6)


def test_the_vae_loss_is_reconstruction_plus_filtered_latent_rates() -> None:
    q, p = torch.zeros(2, 1, 1, 4), torch.zeros(2, 1, 1, 4)
    q[0] = 1.0  # PSP of q: 1/2, 1/4

    assert postsynaptic(q.mean(3)).flatten().tolist() == [0.5, 0.25]
    assert vae_loss(torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, 1, 2, 2), q, p).item() == pytest.approx(
        0.25 + (0.25 + 0.0625) / 2
    )


def test_the_schedules_fall_as_published() -> None:
    cosine = [rate_factor("cosine", k, 2, 4, Plateau()) for k in range(8)]
    assert cosine[0] == cosine[1] == 1.0
    assert cosine[4] == pytest.approx(0.5)
    assert rate_factor("constant", 7, 2, 4, Plateau()) == 1.0
    plateau = Plateau().after(1.0)
    for _ in range(5):
        plateau = plateau.after(1.0)
    assert plateau.factor == 1.0
    assert rate_factor("plateau", 0, 2, 4, plateau.after(1.0)) == pytest.approx(0.1)
    assert plateau.after(0.5).waited == 0


def test_the_optimisers_are_the_papers() -> None:
    module = torch.nn.Linear(2, 2)
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)):
        made = make_optimizer(module, name, 0.1, 0.01)  # type: ignore[arg-type]
        assert type(made) is kind
        assert sum(p.numel() for g in made.param_groups for p in g["params"]) == 6


def test_the_spike_rate_counts_every_spiking_layer() -> None:
    from spikewright.models.nets import make

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
        loop.train(SMALL, running=loop.Running("tpu"))


def test_cutmix_pastes_a_box_of_another_sample_and_weighs_the_labels_by_area() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.arange(6.0).reshape(1, 6, 1, 1, 1).expand(2, 6, 1, 10, 12).contiguous()
    shares = []
    for _ in range(50):
        mix = draw_mix(6, 10, 12, generator)
        mixed = apply_mix(mix, x, x[:, mix.partner])
        own = (mixed == x).double().mean((0, 2, 3, 4))[mix.partner != torch.arange(6)]
        assert all(abs(float(o) - mix.share) < 1e-9 for o in own)
        assert torch.equal(mixed[..., mix.rows, mix.columns], x[:, mix.partner][..., mix.rows, mix.columns])
        shares.append(mix.share)

    assert 0.35 < float(np.mean(shares)) < 0.85
    answer = torch.randn(6, 4, generator=generator)
    y, other = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([3, 2, 1, 0, 0, 1])
    mixed_loss = batch_loss("cross-entropy", lambda _: answer, x, y, other, 0.25)  # type: ignore[arg-type]
    expected = 0.25 * loss_of("cross-entropy", answer, y) + 0.75 * loss_of("cross-entropy", answer, other)
    torch.testing.assert_close(mixed_loss, expected)


def test_a_training_with_cutmix_is_another_one_and_goes_well() -> None:
    losses: dict[float, list[float]] = {1e-9: [], 1.0: []}
    for cutmix, found in losses.items():
        loop.train(replace(SMALL, cutmix=cutmix), validation=0.2, on_epoch=lambda e, found=found: found.append(e.loss))

    assert losses[1.0] != losses[1e-9]
    assert all(np.isfinite(losses[1.0]))


def test_a_training_that_fails_leaves_no_folder_and_none_writes_over_the_weights_it_starts_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, out = Cli(capsys), tmp_path / "out"
    assert cli("train", "tcja-fashion", "--data", tmp_path / "none", "--out", out)[0] == 2
    untouched(out)

    own = tmp_path / "tcja-digits.safetensors"
    own.write_bytes(checkpoint_path("tcja-digits").read_bytes())
    before = own.read_bytes()
    said = cli.refused("train", "tcja-digits", "--from", own, "--out", tmp_path, "--epochs", 1)
    assert "--from: " in said
    assert "is what would be written over" in said
    assert own.read_bytes() == before
