"""MNIST, Fashion-MNIST and CIFAR from files: written here bit by bit, and the real ones where they are given."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from spikewright.models.datasets import Images, folders, load, read
from spikewright.models.errors import DatasetError


def write_idx(path: Path, array: np.ndarray) -> None:
    data = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def idx(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, np.ndarray]:
    pixels = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", pixels)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(5, dtype=np.uint8))
    write_idx(tmp_path / "t10k-images.idx3-ubyte", pixels[:2])
    write_idx(tmp_path / "t10k-labels.idx1-ubyte", np.array([9, 0], np.uint8))
    return tmp_path, pixels


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_files_are_read_packed_or_plain(name: str, idx: tuple[Path, np.ndarray]) -> None:
    folder, pixels = idx

    train, test = load(name, split="train", root=folder, timesteps=3), load(name, root=str(folder), timesteps=1)

    assert train.x.shape == (3, 5, 1, 28, 28)
    np.testing.assert_array_equal(np.round(train.x[1, :, 0] * 255), pixels)
    assert train.y.tolist() == [0, 1, 2, 3, 4]
    assert test.y.tolist() == [9, 0]
    assert len(train.classes) == 10
    assert not train.simulated
    assert load(name, split="all", root=folder, timesteps=1).y.tolist() == [0, 1, 2, 3, 4, 9, 0]


def test_a_damaged_idx_file_is_refused(idx: tuple[Path, np.ndarray]) -> None:
    folder, _ = idx
    file = folder / "t10k-images.idx3-ubyte"
    whole = file.read_bytes()
    for content, message in (
        (whole[:-1], "holds 1567 bytes; its header says"),
        (b"PK\x03\x04" + whole[4:], "is no IDX file of bytes"),
        (whole[:2], "is no IDX file of bytes"),
    ):
        file.write_bytes(content)
        with pytest.raises(DatasetError, match=message):
            load("mnist", root=folder)
    packed = folder / "train-images-idx3-ubyte.gz"
    packed.write_bytes(packed.read_bytes()[:100])
    with pytest.raises(DatasetError, match="cannot be read"):
        load("mnist", split="train", root=folder)


def test_a_missing_set_says_where_it_was_looked_for_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetError) as named:
        load("fashion-mnist", root=tmp_path)
    assert str(tmp_path / "fashion-mnist") in named.value.what
    assert "/usr/share" not in named.value.what
    assert "apt-get install dataset-fashion-mnist" in named.value.help
    monkeypatch.setattr(folders, "HOME", tmp_path)
    for name in ("mnist", "cifar10", "cifar100", "nmnist", "dvs128gesture", "cifar10-dvs"):
        with pytest.raises(DatasetError) as info:
            load(name)
        assert str(tmp_path / name) in info.value.what
        assert ".spikewright/data" in info.value.help


def test_the_binary_version_of_cifar_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
    ten, hundred = tmp_path / "cifar-10-batches-bin", tmp_path / "cifar-100-binary"
    ten.mkdir()
    hundred.mkdir()
    for i in range(5):
        rows = np.concatenate([np.full((2, 1), i, np.uint8), pixels[2 * i : 2 * i + 2].reshape(2, -1)], 1)
        rows.tofile(ten / f"data_batch_{i + 1}.bin")
    rows = np.concatenate(
        [np.full((10, 1), 7, np.uint8), np.arange(90, 100, dtype=np.uint8)[:, None], pixels.reshape(10, -1)], 1
    )
    rows.tofile(hundred / "test.bin")

    train, test = (
        load("cifar10", split="train", root=tmp_path, timesteps=1),
        load("cifar100", root=hundred, timesteps=2),
    )

    np.testing.assert_array_equal(np.round(train.x[0] * 255), pixels)
    assert train.y.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert train.classes[0] == "airplane"
    assert test.y.tolist() == list(range(90, 100))
    assert len(test.classes) == 100
    for names in (b"\xff", b"apple bear"):
        (hundred / "fine_label_names.txt").write_bytes(names)
        with pytest.raises(DatasetError, match="cannot be read"):
            load("cifar100", root=hundred)
    (ten / "test_batch.bin").write_bytes(b"\x00" * 3072)
    with pytest.raises(DatasetError, match="holds 3072 bytes, no whole number of records of 3073"):
        load("cifar10", root=tmp_path)


def test_a_mosaic_is_cut_row_by_row(tmp_path: Path, rng: np.random.Generator) -> None:
    from PIL import Image

    picture = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "test.webp", lossless=True)
    np.save(tmp_path / "test_labels.npy", np.arange(6))

    x = load("cifar10", root=tmp_path, timesteps=1).x[0]

    assert x.shape == (6, 3, 32, 32)
    np.testing.assert_array_equal(np.round(x[4] * 255), picture[32:, 32:64].transpose(2, 0, 1))
    np.save(tmp_path / "test_labels.npy", np.arange(5))
    with pytest.raises(DatasetError, match="6 images and 5 labels"):
        load("cifar10", root=tmp_path)


def test_the_real_sets_have_their_published_statistics(data_dir: Path) -> None:
    fashion = read("fashion-mnist", root=data_dir)
    assert isinstance(fashion, Images)
    assert fashion.x.shape == (10_000, 1, 28, 28)
    assert np.bincount(fashion.y).tolist() == [1000] * 10
    assert fashion.x.mean() == pytest.approx(0.2868, abs=1e-4)
    cifar = read("cifar10", root=data_dir)
    assert isinstance(cifar, Images)
    assert cifar.x.shape == (10_000, 3, 32, 32)
    np.testing.assert_allclose(cifar.x.mean((0, 2, 3)), [0.4942, 0.4851, 0.4504], atol=1e-4)


def test_a_folder_that_is_not_there_is_refused_for_digits_too(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no such folder\n  help: leave --data out"):
        read("digits", root=tmp_path / "missing")
    assert len(read("digits", root=tmp_path).y) == 360
