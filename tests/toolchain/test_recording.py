"""``run --save``: what is on disk is what a run in memory records, whole or not there at all."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli
from tiny import tiny_bundle, tiny_deployment

from spikewright.toolchain import budget
from spikewright.toolchain.backends import Recorded
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.local_backends import InterpreterBackend
from spikewright.toolchain.recording import RecordedRun, RecordingFile

ALL: tuple[Recorded, ...] = ("spikes", "v", "u")


@pytest.fixture(scope="module")
def made() -> Deployment:
    return tiny_deployment()


@pytest.mark.parametrize("room", [1 << 12, 1 << 15, 64 << 20])
@pytest.mark.parametrize("backend", ["interpreter", "hw_sim"])
def test_the_file_holds_what_a_run_in_memory_records(
    made: Deployment, backend: str, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made.samples is not None
    wanted = InterpreterBackend().run(made, made.encode(made.samples.x), record=True)
    monkeypatch.setattr(budget, "BUDGET", room)
    monkeypatch.setattr(budget, "FEWEST_STEPS", 2)

    found = made.run(backend=backend, save=tmp_path / "run.npz", saved=ALL)

    read = RecordedRun(tmp_path / "run.npz")
    np.testing.assert_array_equal(read.answer, wanted.answer)
    np.testing.assert_array_equal(found.answer, wanted.answer)
    np.testing.assert_array_equal(read.y, made.samples.y)  # type: ignore[arg-type]
    assert set(read.layers) == set(wanted.recordings)
    assert read.about["backend"] == backend
    for name, recording in wanted.recordings.items():
        np.testing.assert_array_equal(read.spikes(name), recording.out)
        np.testing.assert_array_equal(read.v(name), recording.v)
        if recording.u is not None:
            np.testing.assert_array_equal(read.u(name), recording.u)
    assert read.spikes("lif1").dtype == np.uint8
    with np.load(tmp_path / "run.npz") as plain:
        np.testing.assert_array_equal(plain["v/lif2"], wanted.recordings["lif2"].v)
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_only_what_is_asked_for_is_written(made: Deployment, tmp_path: Path) -> None:
    made.run(save=tmp_path / "run.npz")

    read = RecordedRun(tmp_path / "run.npz")
    assert {name.partition("/")[0] for name in read.names} == {"answer", "y", "json", "spikes"}
    with pytest.raises(InputError, match="v of layer 'lif1' is not in it; there are none") as refused:
        read.v("lif1")
    assert "--record all" in str(refused.value)


def test_an_interrupted_run_leaves_the_older_file_and_nothing_else(
    made: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run.npz"
    target.write_bytes(b"older")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("add", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(RecordingFile, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                made.run(save=target)
        assert target.read_bytes() == b"older"
        assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_a_disk_without_room_is_told_before_the_run(
    made: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 10))
    monkeypatch.setattr(InterpreterBackend, "run", lambda *_: pytest.fail("ran"))

    with pytest.raises(InputError, match=r"the recording takes 0\.00 GB while it is made; 0\.00 GB are free there"):
        made.run(backend="interpreter", save=tmp_path / "run.npz")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(content)

    with pytest.raises(InputError, match="is no recording"):
        RecordedRun(tmp_path / "x.npz")


def test_the_command_writes_it_and_refuses_options_that_do_not_apply(tmp_path: Path, cli: Cli) -> None:
    bundle = tiny_bundle(tmp_path)
    cli("run", bundle, "--save", tmp_path / "run.npz", "--record", "spikes", "v")

    read = RecordedRun(tmp_path / "run.npz")
    assert read.about["recorded"] == ["spikes", "v"]
    assert "--record: says what --save writes" in cli.refused("run", bundle, "--record", "v")
    words = ("run", bundle, "--numbers", "float", "--backend", "interpreter", "--save", tmp_path / "f.npz")
    assert "--numbers float --save: what is recorded is the integer net" in cli.refused(*words)
    assert not (tmp_path / "f.npz").exists()
