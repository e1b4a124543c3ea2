"""Event sets: frames by time and by count, N-MNIST from both of its forms, and tonic's folders without a download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikewright.models.datasets import Recording, Recordings, load, read
from spikewright.models.datasets.events import frames
from spikewright.models.datasets.nmnist import nmnist, read_bin
from spikewright.models.errors import DatasetError


def recording(*events: tuple[int, int, int, int]) -> Recording:
    columns = np.array(events, np.int64).reshape(-1, 4).T
    return Recording(*columns)


SIX = recording((0, 0, 1, 100), (1, 0, 0, 101), (1, 0, 0, 110), (3, 2, 1, 130), (3, 2, 1, 131), (2, 3, 0, 139))
"""(x, y, p, t in µs)"""


def test_frames_by_count_hold_equally_many_events_and_the_last_takes_the_rest() -> None:
    x = frames(SIX, 4, (4, 4), framing="count")

    assert x.shape == (4, 2, 4, 4)
    assert x.sum((1, 2, 3)).tolist() == [1, 1, 1, 3]
    assert x[0, 1, 0, 0] == 1
    assert x[1, 0, 0, 1] == 1
    assert x[3, 1, 2, 3] == 2
    assert x[3, 0, 3, 2] == 1


def test_frames_by_time_cut_equal_windows() -> None:
    x = frames(SIX, 4, (4, 4), framing="time")

    assert x.sum((1, 2, 3)).tolist() == [2, 1, 0, 3]
    fixed = frames(SIX, 4, (4, 4), framing="time", window_us=8.0)
    assert fixed.sum((1, 2, 3)).tolist() == [2, 1, 0, 2]  # the event 39 µs after the first is too late


def test_smaller_frames_merge_pixels_and_keep_the_count() -> None:
    x = frames(SIX, 2, (4, 4), side=2)

    assert x.shape == (2, 2, 2, 2)
    assert x.sum() == 6
    assert x[0, 0, 0, 0] == 2


def test_a_recording_without_events_gives_empty_frames() -> None:
    for framing in ("count", "time"):
        assert frames(recording(), 3, (4, 4), framing=framing).sum() == 0  # type: ignore[arg-type]


def encode(x: int, y: int, p: int, t: int) -> bytes:
    return bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])


def test_a_bin_file_gives_its_events_and_survives_a_clock_overflow(tmp_path: Path) -> None:
    file = tmp_path / "0.bin"
    file.write_bytes(encode(3, 4, 1, 70_000) + encode(0, 240, 0, 0) + encode(33, 0, 0, 5))

    events = read_bin(file)

    assert events.x.tolist() == [3, 33]
    assert events.y.tolist() == [4, 0]
    assert events.p.tolist() == [1, 0]
    assert events.t_us.tolist() == [70_000, 8192 + 5]
    file.write_bytes(b"abc")
    with pytest.raises(DatasetError, match="holds 3 bytes, no whole number of 5-byte events"):
        read_bin(file)


def write_nmnist(folder: Path) -> None:
    for part in ("Train", "Test"):
        for digit in (0, 7):
            (folder / part / str(digit)).mkdir(parents=True)
            (folder / part / str(digit) / "1.bin").write_bytes(b"".join(encode(digit, 1, 1, t) for t in range(10)))


def test_nmnist_is_read_from_its_folders_also_where_tonic_put_them(tmp_path: Path) -> None:
    write_nmnist(tmp_path / "NMNIST")

    test, everything = (
        load("nmnist", root=tmp_path, timesteps=2),
        load("nmnist", root=tmp_path, split="all", timesteps=2),
    )

    assert test.x.shape == (2, 2, 2, 34, 34)
    assert test.y.tolist() == [0, 7]
    assert test.x[:, 1, 1, 1, 7].tolist() == [5, 5]
    assert everything.y.tolist() == [0, 7, 0, 7]
    assert not test.simulated
    assert test.coding == "count"


def test_nmnist_is_read_from_an_archive_of_deltas(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "nmnist_test2.npz", x=np.array([1, 2, 3], np.uint8), y=np.array([0, 0, 5], np.uint8),
        p=np.array([1, 0, 1], np.uint8), dt=np.array([0, 7, 0], np.uint16), off=np.array([0, 2, 3]), label=np.array([4, 9]),
    )  # fmt: skip

    found = read("nmnist", root=tmp_path)

    assert isinstance(found, Recordings)
    assert found.events[0].t_us.tolist() == [0, 7]
    assert found.events[1].x.tolist() == [3]
    assert found.y.tolist() == [4, 9]
    (tmp_path / "nmnist_test2.npz").write_bytes(b"PK")
    with pytest.raises(DatasetError, match="cannot be read"):
        read("nmnist", root=tmp_path)


def test_binary_codings_clip_the_counts_and_others_do_not(tmp_path: Path) -> None:
    write_nmnist(tmp_path)

    counted, binary = (load("nmnist", root=tmp_path, timesteps=2, coding=c) for c in ("time", "time-binary"))  # type: ignore[arg-type]

    assert counted.x.max() == 5
    np.testing.assert_array_equal(binary.x, np.minimum(counted.x, 1))


def test_events_take_no_image_coding_and_images_no_framing(tmp_path: Path) -> None:
    write_nmnist(tmp_path)

    with pytest.raises(DatasetError, match="coding 'direct'; allowed are count, time, count-binary, time-binary"):
        load("nmnist", root=tmp_path, coding="direct")
    with pytest.raises(DatasetError, match="coding 'count'; allowed are direct, rate, latency"):
        load("digits", coding="count")


def test_dvs128_gesture_is_read_where_tonic_put_it_and_nothing_is_downloaded(tmp_path: Path) -> None:
    pytest.importorskip("tonic")
    folder = tmp_path / "DVSGesture" / "ibmGestureTest" / "user24_fluorescent"
    folder.mkdir(parents=True)
    np.save(folder / "3.npy", np.array([[5, 6, 1, 10], [7, 8, 0, 20]]))

    samples = load("dvs128gesture", root=tmp_path, timesteps=2, side=32)

    assert samples.x.shape == (2, 1, 2, 32, 32)
    assert samples.y.tolist() == [3]
    assert samples.x[0, 0, 1, 1, 1] == 1
    assert samples.x[1, 0, 0, 2, 1] == 1
    assert len(samples.classes) == 11


def test_cifar10_dvs_is_split_by_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tonic = pytest.importorskip("tonic")
    for name in ("airplane", "cat"):
        folder = tmp_path / "CIFAR10DVS" / name
        folder.mkdir(parents=True)
        for i in range(10):
            (folder / f"{i}.aedat4").touch()
    kind = np.dtype([("t", np.uint64), ("x", np.uint16), ("y", np.uint16), ("p", bool)])
    events = np.array([(0, 127, 0, True), (9, 0, 127, False)], kind)
    monkeypatch.setattr(tonic.datasets.cifar10dvs, "read_aedat4", lambda path: events.copy())

    train, test = (read("cifar10-dvs", root=tmp_path, split=split) for split in ("train", "test"))  # type: ignore[arg-type]

    assert train.y.tolist() == [0] * 9 + [3] * 9
    assert test.y.tolist() == [0, 3]
    assert isinstance(test, Recordings)
    assert frames(test.events[1], 1, test.size).sum() == 2


def test_the_real_nmnist_has_1100_recordings(data_dir: Path) -> None:
    found = read("nmnist", root=data_dir, split="all")

    assert isinstance(found, Recordings)
    assert len(found.events) == len(found.y) == 1100
    assert sorted(set(found.y.tolist())) == list(range(10))
    assert max(int(r.x.max()) for r in found.events) < 34
    lengths = [int(r.t_us[-1]) for r in found.events[:50]]
    assert 250_000 < np.median(lengths) < 350_000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"off": np.array([0, 9])}, "off does not cut the events of 1 labels"),
        ({"off": np.array([2, 2])}, "off does not cut"),
        ({"x": np.zeros(2)}, "x has 1 axes of float64"),
        ({"dt": np.zeros(3, np.int64)}, "off does not cut"),
        ({"label": np.zeros((1, 1), np.int64)}, "label has 2 axes"),
    ],
)
def test_a_packed_n_mnist_that_is_no_recordings_is_refused(
    tmp_path: Path, change: dict[str, np.ndarray], says: str
) -> None:
    held = {name: np.zeros(2, np.int64) for name in ("x", "y", "p", "dt")} | {"label": np.zeros(1, np.int64)}
    held |= {"off": np.array([0, 2])}
    np.savez(tmp_path / "nmnist_test.npz", **held)
    assert len(nmnist("test", tmp_path).y) == 1
    np.savez(tmp_path / "nmnist_test.npz", **(held | change))
    with pytest.raises(DatasetError, match=says):
        nmnist("test", tmp_path)
