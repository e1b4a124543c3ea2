"""Autoencoders from the command line: what is written, resume, the zoo's list, and what is refused."""

from __future__ import annotations

import json
import struct
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from spikewright.models import zoo
from spikewright.models.commands import add_train, add_zoo
from spikewright.models.datasets import Split
from spikewright.models.errors import DatasetError, RecipeError
from spikewright.models.nets.fsvae import FSVAE
from spikewright.models.train import vae
from spikewright.models.train.fit import Running
from spikewright.models.train.vae_recipes import VAE_RECIPES
from spikewright.models.zoo.card import Card
from spikewright.models.zoo.checkpoint import save
from spikewright.toolchain.cli import main

pytestmark = pytest.mark.slow


def idx(path: Path, x: np.ndarray) -> None:
    path.write_bytes(
        b"\x00\x00\x08" + bytes([x.ndim]) + struct.pack(f">{x.ndim}I", *x.shape) + x.astype(np.uint8).tobytes()
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make 66 training and 24 test images: a bright bar, as wide as its label."""
    made = tmp_path / "data"
    made.mkdir()
    for stem, count in (("train", 66), ("t10k", 24)):
        y = np.arange(count) % 10
        x = np.zeros((count, 28, 28))
        for image, label in zip(x, y, strict=True):
            image[4:24, 2 : 4 + 2 * label] = 255
        idx(made / f"{stem}-images-idx3-ubyte", x)
        idx(made / f"{stem}-labels-idx1-ubyte", y)
    return made


def parse(*words: str) -> Namespace:
    parser = ArgumentParser()
    subparsers = parser.add_subparsers()
    add_train(subparsers)
    add_zoo(subparsers)
    return parser.parse_args(words)


def untrained(folder: Path, name: str = "tcja-vae-fashion") -> Path:
    recipe = VAE_RECIPES[name]
    arguments = recipe.arguments(1)
    card = Card(
        name, "fsvae", arguments, "tcja-vae", "bytecode", 16, "fashion-mnist", "direct", False, "none", 0, None, {}, 1,
        0.1, 1.0, 1, recipe.provenance, "2", reconstruction_mse=0.1234,
    )  # fmt: skip
    return save(FSVAE(**arguments), card, folder)


def test_training_writes_checkpoint_card_and_picture(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = parse(
        "train", "tcja-vae-fashion", "--epochs", "1", "--seed", "3", "--data", str(folder), "--out", str(out)
    )

    outcome = arguments.run(arguments)

    module, card = zoo.build(out / "tcja-vae-fashion.safetensors")
    assert sorted(p.name for p in out.iterdir()) == [
        f"tcja-vae-fashion.{end}" for end in ("json", "png", "safetensors")
    ]
    assert (card.family, card.variant, card.accuracy) == ("tcja-vae", "bytecode", None)
    assert card.command == "spikewright train tcja-vae-fashion --epochs 1 --seed 3"
    assert card.parameters == sum(p.numel() for p in module.parameters()) <= 700_000
    test = vae.images_for("fashion-mnist", "test", 32, folder)
    assert vae.reconstruction(module, test, seed=3) == (card.reconstruction_mse, card.spike_rate)
    assert json.loads((out / "tcja-vae-fashion.json").read_text()) == json.loads(card.to_json())
    assert outcome.data["reconstruction_mse"] == card.reconstruction_mse
    assert f"reconstruction MSE {card.reconstruction_mse:.4f} (test split of fashion-mnist)" in outcome.text
    from PIL import Image

    with Image.open(outcome.data["picture"]) as picture:
        assert picture.size == (12 * 32, (2 * 2 + 4) * 32)
        shown = np.asarray(picture)
    np.testing.assert_array_equal(shown[:32, :32], ((test[0, 0] + 1) * 127.5).round())


def test_a_training_resumed_after_an_interruption_writes_the_same_checkpoint(folder: Path, tmp_path: Path) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    words = ("train", "fsvae-fashion", "--epochs", "2", "--data", str(folder), "--resume", "--out")
    parted.mkdir()
    state = parted / "fsvae-fashion-seed0.state"
    with pytest.raises(KeyboardInterrupt):
        vae.train_vae(
            replace(VAE_RECIPES["fsvae-fashion"], epochs=2),
            running=Running(state=state),
            root=folder,
            on_epoch=interrupt,
        )
    assert state.is_file()

    for out in (whole, parted):
        arguments = parse(*words, str(out))
        arguments.run(arguments)

    first, second = (load_file(out / "fsvae-fashion.safetensors") for out in (whole, parted))
    assert all((first[name] == second[name]).all() for name in first)
    assert (whole / "fsvae-fashion.png").read_bytes() == (parted / "fsvae-fashion.png").read_bytes()
    assert not list(tmp_path.rglob("*.state*"))


def interrupt(_epoch: object) -> None:
    raise KeyboardInterrupt


def test_a_state_of_another_training_is_refused(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "fsvae-fashion-seed0.state"
    recipe = replace(VAE_RECIPES["fsvae-fashion"], epochs=1)
    vae.train_vae(recipe, running=Running(state=state), root=folder, validation=24)

    with pytest.raises(RecipeError, match="the kept state is of a training with other options"):
        vae.train_vae(recipe, seed=1, running=Running(state=state), root=folder, validation=24)
    state.write_bytes(b"broken")
    with pytest.raises(RecipeError, match="the kept state cannot be read"):
        vae.train_vae(recipe, running=Running(state=state), root=folder, validation=24)


def test_validation_reads_no_test_image_and_writes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    images_for = vae.images_for

    def spy(dataset: str, split: Split, side: int, root: Path | None) -> torch.Tensor:
        asked.append(split)
        return images_for(dataset, split, side, root)

    monkeypatch.setattr(vae, "images_for", spy)
    arguments = parse(
        "train", "fsvae-fashion", "--epochs", "1", "--validation", "16", "--precision", "bfloat16", "--data", str(folder),
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())

    outcome = arguments.run(arguments)

    assert asked == ["train"]
    assert set(tmp_path.iterdir()) == before
    assert set(outcome.data) == {"name", "validation", "reconstruction_mse", "spike_rate"}
    assert 0 < outcome.data["spike_rate"] < 1


def test_the_zoo_lists_an_autoencoder_by_its_reconstruction_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained(tmp_path)
    (tmp_path / "tcja-vae-fashion.png").write_bytes(b"")
    monkeypatch.setattr("spikewright.models.zoo.checkpoint.FOLDER", tmp_path)

    outcome = parse("zoo").run(parse("zoo"))

    (row,) = outcome.data
    assert (row["accuracy"], row["reconstruction_mse"]) == (None, 0.1234)
    assert row["picture"] == str(tmp_path / "tcja-vae-fashion.png")
    columns = outcome.text.splitlines()[1].split()
    assert columns == [
        "tcja-vae-fashion",
        "tcja-vae",
        "bytecode",
        "fashion-mnist",
        "16",
        "-",
        "0.1234",
        "-",
        "1",
        "0.100",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--repeat", "2"), "--repeat 2; it is for nets that classify, fsvae-fashion is an autoencoder"),
        (("--folds", "5"), "--folds 5; it is for nets that classify, fsvae-fashion is an autoencoder"),
        (("--threads", "0"), "--threads 0; at least 1"),
        (("--epochs", "0"), "0 epochs; at least 1"),
    ],
)
def test_options_that_an_autoencoder_cannot_take_are_refused(
    words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    arguments = parse("train", "fsvae-fashion", "--out", str(tmp_path), *words)

    with pytest.raises(RecipeError) as info:
        arguments.run(arguments)

    assert info.value.what == message
    assert info.value.help


def test_data_that_is_not_there_and_a_recipe_that_does_not_exist_are_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "fsvae-fashion", "--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "dataset 'fashion-mnist': not found" in capsys.readouterr().err
    assert main(["train", "fsvae-bert", "--out", str(tmp_path)]) == 2
    assert "tcja-vae-fashion" in capsys.readouterr().err
    with pytest.raises(DatasetError):
        vae.train_vae(VAE_RECIPES["fsvae-fashion"], root=tmp_path)


def test_the_narrow_recipes_differ_in_the_read_out_alone() -> None:
    leaky, attention = VAE_RECIPES["fsvae-fashion"], VAE_RECIPES["tcja-vae-fashion"]

    assert replace(attention, name=leaky.name, readout="leaky", provenance=leaky.provenance) == leaky
    assert "setting ours" in leaky.provenance
    assert "setting ours" in attention.provenance
    paper = VAE_RECIPES["tcja-vae-fashion-paper"]
    assert (paper.epochs, paper.batch, paper.shape) == (150, 250, {})


def test_a_shipped_autoencoder_reaches_its_cards_error_and_beats_the_mean_image(data_dir: Path) -> None:
    test = vae.images_for("fashion-mnist", "test", 32, data_dir)[:400]
    blind = float((test - test.mean(0)).square().mean())
    for name in zoo.names():
        card = zoo.card(name)
        if card.reconstruction_mse is None:
            continue
        module, _ = zoo.build(name)
        error, rate = vae.reconstruction(module, test, seed=card.seed)  # type: ignore[arg-type]
        assert error == pytest.approx(card.reconstruction_mse, rel=0.05)
        assert rate == pytest.approx(card.spike_rate, rel=0.05)
        assert error < 0.7 * blind
        assert zoo.checkpoint_path(name).with_suffix(".png").is_file()
