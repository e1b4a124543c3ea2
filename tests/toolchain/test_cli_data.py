"""``--data DIR``: the folder of a data set, wherever a verb loads one; what a bundle weighs, and what it says it holds."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli, untouched
from tiny import tiny_bundle

from spikewright.models import datasets, zoo
from spikewright.toolchain import bundle
from spikewright.toolchain.data_sets import load_split

NAME = "gac-digits-vanilla"


def write_idx(path: Path, values: np.ndarray) -> None:
    head = b"\x00\x00\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with MNIST's files, which hold the digits, 8 x 8."""
    place = tmp_path_factory.mktemp("data") / "mnist"
    place.mkdir()
    for split, stem in (("train", "train"), ("test", "t10k")):
        images = datasets.read("digits", split=split)  # type: ignore[arg-type]
        assert isinstance(images, datasets.Images)
        write_idx(place / f"{stem}-images-idx3-ubyte", np.round(images.x[:, 0] * 255))
        write_idx(place / f"{stem}-labels-idx1-ubyte", images.y)
    return place


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a net of the zoo whose card says that it was trained on MNIST."""
    module, card = zoo.build(NAME)
    return zoo.save(module, replace(card, name="net", dataset="mnist"), tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def deployed(folder: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from spikewright.toolchain.cli import main

    out = tmp_path_factory.mktemp("bundles") / "net"
    assert main(["deploy", str(checkpoint), "--data", str(folder), "--out", str(out)]) == 0
    return out


def test_a_model_is_deployed_and_checked_with_its_data_from_a_folder(
    cli: Cli, folder: Path, checkpoint: Path, deployed: Path
) -> None:
    manifest = json.loads((deployed / "manifest.json").read_text())

    assert manifest["calibrated"] == "256 of the 1,437 train samples of mnist"
    assert manifest["samples"] == "all 360 test samples of mnist"
    assert f"--data {folder}" in manifest["command"]
    assert cli("check", checkpoint, "--data", folder.parent)[0] == 0


def test_missing_data_is_said_with_where_and_how(cli: Cli, checkpoint: Path, tmp_path: Path, out: Path) -> None:
    for words in (("deploy", checkpoint, "--out", out), ("check", checkpoint)):
        error = cli.refused(*words, "--data", tmp_path / "nowhere")

        assert f"not found: no train-images*idx3-ubyte* in {tmp_path / 'nowhere' / 'mnist'}" in error
        assert "--data DIR" in error
    untouched(out)


def test_a_bundle_runs_on_the_whole_split_of_a_folder(cli: Cli, folder: Path, deployed: Path) -> None:
    own = json.loads(cli("run", deployed, "--json")[1])
    named = json.loads(cli("run", deployed, "--dataset", "mnist", "--data", folder, "--json")[1])
    card = json.loads(cli("run", deployed, "--data", folder, "--limit", 100, "--json")[1])
    compared = json.loads(cli("compare", deployed, "--data", folder, "--limit", 2, "--json")[1])

    assert (own["samples"], named["samples"], card["samples"], compared["samples"]) == (360, 360, 100, 2)
    assert own["accuracy"] == named["accuracy"]
    assert compared["equal"]


def test_a_folder_for_no_data_set_is_refused(cli: Cli, folder: Path, deployed: Path, tmp_path: Path) -> None:
    tiny = tiny_bundle(tmp_path / "tiny")

    assert "the model names no data set" in cli.refused("run", tiny, "--data", folder)
    assert "leave one out" in cli.refused("run", deployed, "--data", folder, "--input", deployed / "samples.npz")


def test_still_samples_are_stored_once_and_are_input_as_they_are(cli: Cli, deployed: Path) -> None:
    with np.load(deployed / "samples.npz") as file:
        assert file["x"].shape == (1, 360, 1, 8, 8)
        assert file["timesteps"] == 6

    loaded = bundle.load(deployed).samples
    assert loaded is not None
    assert loaded.x.shape == (6, 360, 1, 8, 8)
    own = json.loads(cli("run", deployed, "--json")[1])
    given = json.loads(cli("run", deployed, "--input", deployed / "samples.npz", "--json")[1])
    assert given["accuracy"] == own["accuracy"]


@pytest.mark.slow
def test_data_by_name_is_cut_to_what_a_bundle_needs(cli: Cli, folder: Path, tmp_path: Path) -> None:
    words = ("--calibrate", "mnist", "--data", folder, "--out", tmp_path / "net")
    said = json.loads(cli("deploy", NAME, *words, "--json")[1])

    assert said["calibrated"] == "256 of the 1,437 train samples of mnist"
    assert said["samples_from"] == "all 360 test samples of mnist"


def test_payloads_of_many_samples_are_held_in_a_small_type(deployed: Path) -> None:
    made = bundle.load(deployed)
    assert made.samples is not None
    x = made.samples.x[:, :70]

    compact = made.encode(x, compact=True)

    assert compact.dtype == np.uint8
    np.testing.assert_array_equal(compact, made.encode(x))
    np.testing.assert_array_equal(compact[:, 60:], made.encode(np.array(x[:, 60:])))


def test_samples_are_drawn_by_a_seed_or_are_the_first() -> None:
    card = {"coding": "direct"}
    every = load_split("digits", card, timesteps=3, split="train")
    drawn = load_split("digits", card, timesteps=3, split="train", limit=50, seed=1)
    first = load_split("digits", card, timesteps=3, split="train", limit=50)
    index = np.sort(np.random.default_rng(1).choice(1437, 50, replace=False))

    np.testing.assert_array_equal(drawn.x, every.x[:, index])
    np.testing.assert_array_equal(first.x, every.x[:, :50])
    assert every.x.strides[0] == 0
    assert drawn.source == "50 of the 1,437 train samples of digits"


def test_events_are_framed_as_the_card_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 400
    events = {"x": rng.integers(0, 34, n), "y": rng.integers(0, 34, n), "p": rng.integers(0, 2, n)}
    times = {"dt": np.full(n, 100), "off": np.array([0, 200, 400]), "label": np.array([3, 4])}
    np.savez(tmp_path / "nmnist_test.npz", **events, **times)  # type: ignore[arg-type]
    card = {"coding": "time", "side": 17, "window_us": 1000.0}

    found = load_split("nmnist", card, timesteps=4, split="test", data=tmp_path)

    assert found.x.shape == (4, 2, 2, 17, 17)
    assert found.x.sum(axis=(2, 3, 4)).tolist() == [[10, 10]] * 4  # an event every 100 us, 10 to a window
    assert json.loads(zoo.card("ma-digits").to_json()).keys().isdisjoint({"side", "window_us"})
    assert json.loads(replace(zoo.card("ma-digits"), side=32).to_json())["side"] == 32
