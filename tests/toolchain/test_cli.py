"""The command line refuses bad data, bundles and folders with exit code 2 and answers the rest: for people, and as JSON."""

from __future__ import annotations

import errno
import json
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checked_nets import conv, lif, net
from command_line import Cli, linear, spikes, untouched
from tiny import tiny_bundle

from spikewright.hw_sim import files
from spikewright.toolchain import bundle, local_backends, nirx
from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.results import plain
from spikewright.toolchain.samples import Samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("cli") / "bundle")


# -------------------------------------------------------------------------------------------------- data
@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((5, 3, 2, 4, 5), "the net takes"),
        ((4, 3, 2, 4, 4), "the net takes"),
        ((0, 3, 2, 4, 4), ""),
        ((5, 0, 2, 4, 4), ""),
    ],
)
def test_input_of_the_wrong_shape_is_refused(
    cli: Cli, folder: Path, tmp_path: Path, shape: tuple[int, ...], what: str
) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros(shape))

    assert what in cli.refused("run", folder, "--input", tmp_path / "x.npz")


def test_input_with_nan_is_refused(cli: Cli, folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.full((5, 3, 2, 4, 4), np.nan))

    assert "not finite" in cli.refused("run", folder, "--input", tmp_path / "x.npz")


def test_input_between_the_levels_of_the_coding_is_refused(cli: Cli, folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.full((5, 3, 2, 4, 4), 0.4))

    assert "binary spikes" in cli.refused("run", folder, "--input", tmp_path / "x.npz")


def test_files_that_are_not_data_are_refused(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    np.savez(tmp_path / "other.npz", frames=np.zeros((5, 3, 2, 4, 4)))
    np.savez(tmp_path / "object.npz", x=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "complex.npz", x=np.zeros(3, np.complex128))
    np.savez(tmp_path / "scalar.npz", x=np.float64(3))
    np.savez(tmp_path / "labels.npz", x=np.zeros((5, 3, 2, 4, 4)), y=np.zeros(4, np.int64))
    np.savez(tmp_path / "below.npz", x=np.zeros((5, 3, 2, 4, 4)), y=np.full(3, -1))
    np.savez(tmp_path / "half.npz", x=np.zeros((5, 3, 2, 4, 4)))
    (tmp_path / "half.npz").write_bytes((tmp_path / "half.npz").read_bytes()[:300])

    assert "cannot be read" in cli.refused("run", folder, "--input", tmp_path / "text.npz")
    assert "is one array" in cli.refused("run", folder, "--input", tmp_path / "one.npz")
    assert "holds no array x; it holds frames" in cli.refused("run", folder, "--input", tmp_path / "other.npz")
    assert "cannot be read" in cli.refused("run", folder, "--input", tmp_path / "object.npz")
    assert "holds complex128" in cli.refused("run", folder, "--input", tmp_path / "complex.npz")
    assert "x is float64 of shape ()" in cli.refused("run", folder, "--input", tmp_path / "scalar.npz")
    assert "y is int64 of shape (4,)" in cli.refused("run", folder, "--input", tmp_path / "labels.npz")
    assert "least value -1" in cli.refused("run", folder, "--input", tmp_path / "below.npz")
    assert "cannot be read" in cli.refused("run", folder, "--input", tmp_path / "half.npz")
    assert "cannot be read" in cli.refused("run", folder, "--input", tmp_path / "missing.npz")
    assert "cannot be read" in cli.refused("run", folder, "--input", tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ("--limit", "0"),
        ("--dataset", "no-such-set"),
        ("--backend", "no-such-backend"),
        ("--numbers", "float"),
        ("--backend", "interpreter", "--trace", "t.npz"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(cli: Cli, folder: Path, words: tuple[str, ...]) -> None:
    cli.refused("run", folder, *words)


def test_comparing_one_backend_is_refused(cli: Cli, folder: Path) -> None:
    cli.refused("compare", folder, "--backends", "hw_sim")


# ----------------------------------------------------------------------------------------------- bundles
@pytest.mark.parametrize("verb", ["run", "compare", "report", "check"])
def test_a_folder_that_is_no_bundle_is_refused(cli: Cli, tmp_path: Path, verb: str) -> None:
    cli.refused(verb, tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "integer.npz", "program.npz", "samples.npz"])
def test_a_damaged_bundle_is_refused(cli: Cli, tmp_path: Path, name: str) -> None:
    made = tiny_bundle(tmp_path / "bundle")
    (made / name).write_bytes((made / name).read_bytes()[:40])

    cli.refused("run", made)


# ---------------------------------------------------------------------------------------------- writing
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikewright.toolchain.api.deploy", lambda *_, **__: pytest.fail("work was done"))
    (tmp_path / "file").write_text("a file")

    assert "cannot be written" in cli.refused("deploy", "ma-digits", "--out", tmp_path / "file" / "out")
    assert "cannot be written" in cli.refused("deploy", "ma-digits", "--out", "/proc/spikewright/out")
    assert "file" in cli.refused("deploy", "ma-digits", "--out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "a file"


def test_a_read_only_folder_is_refused(cli: Cli, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:  # modes do not stop root, who may run this test
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(bundle.tempfile, "TemporaryDirectory", denied)

    assert f"{out}: cannot be written (Permission denied)" in cli.refused("deploy", "ma-digits", "--out", out)
    untouched(out)


def test_a_folder_with_other_files_is_left_alone(cli: Cli, tmp_path: Path, out: Path) -> None:
    nirx.write(tmp_path / "net.nir", linear())
    data = spikes(tmp_path / "data.npz")
    out.mkdir()
    (out / "thesis.txt").write_text("do not lose me")

    error = cli.refused("deploy", tmp_path / "net.nir", "--out", out, "--timesteps", 4, "--calibrate", data)

    assert "not a bundle" in error
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_full_disk_leaves_the_old_report(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.json"
    report.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)

    assert "No space left on device" in cli.refused("report", folder, "--json", report)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert report.read_text() == "old"


def test_a_report_into_no_folder_is_refused_before_the_work(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")

    assert "cannot be written" in cli.refused("report", folder, "--html", tmp_path / "file" / "r.html")
    assert "cannot be written" in cli.refused("run", folder, "--trace", tmp_path / "file" / "t.npz")
    assert "cannot be written" in cli.refused("report", folder, "--csv", tmp_path)


# ------------------------------------------------------------------------------------------------ answers
def test_a_mismatch_exits_with_1_and_is_named(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = local_backends.HwSimBackend.run

    def wrong(self: local_backends.HwSimBackend, *args: object, **options: object) -> RunResult:
        result = honest(self, *args, **options)  # type: ignore[arg-type]
        result.recordings["lif2"].v[0, 0, 0] += 1
        return replace(result)

    monkeypatch.setattr(local_backends.HwSimBackend, "run", wrong)

    code, stdout, _ = cli("compare", folder, "--backends", "interpreter", "hw_sim", "--json")

    answer = json.loads(stdout)
    assert code == 1
    assert (answer["spike_mismatches"], answer["membrane_mismatches"], answer["equal"]) == (0, 1, False)
    assert answer["first_mismatch"]["layer"] == "lif2"


def test_an_interruption_exits_with_130_in_one_line(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local_backends.HwSimBackend, "run", interrupt)

    assert cli("run", folder) == (130, "", "interrupted\n")


def test_an_interruption_that_a_library_swallows_still_exits_with_130(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallow(*_: object, **__: object) -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise InputError("half loaded", where="library", help="none")

    monkeypatch.setattr(local_backends.HwSimBackend, "run", swallow)
    before = signal.getsignal(signal.SIGINT)

    code, _, stderr = cli("run", folder)

    assert (code, stderr.splitlines()[-1]) == (130, "interrupted")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_missing_library_is_named(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'lava'", name="lava.magma")

    monkeypatch.setattr(local_backends.HwSimBackend, "run", missing)

    error = cli.refused("run", folder)

    assert error == "spikewright: needs lava, which is not installed\n  help: see spikewright doctor for the command\n"


@pytest.mark.parametrize("verb", ["chips", "passes", "doctor", "zoo"])
def test_lists_are_printed_for_people_and_machines(cli: Cli, verb: str) -> None:
    code, text, _ = cli(verb)
    as_json = cli(verb, "--json")

    assert code == 0
    assert text.strip()
    assert json.loads(as_json[1])
    assert as_json[2] == ""


def test_what_fires_without_input_is_told_and_limited_where_asked(cli: Cli, tmp_path: Path) -> None:
    layers = (conv("conv1", "in", 2, 1, bias=0.8), lif("lif1", "conv1", (2, 8, 8)), conv("conv2", "lif1", 2, 2))
    data = Samples((np.arange(8 * 2 * 64).reshape(8, 2, 1, 8, 8) % 3 == 0).astype(np.float32), None, "made-up")
    folder = tmp_path / "net"
    deploy_graph(net(*layers, lif("lif2", "conv2", (2, 8, 8))), Options(), data, name="net", samples=data).save(folder)
    code, stdout, _ = cli("check", folder, "--json")
    found = json.loads(stdout)
    share = found["event_driven_share"]

    assert code == 0
    assert 0 <= share["total"] < 1
    assert {layer["layer"] for layer in share["layers"]} == {"lif1", "lif2"}
    assert share["fire_by_themselves"]
    assert cli("check", folder, "--max-silent", 1)[0] == 0
    code, text, _ = cli("check", folder, "--max-silent", 0)
    assert code == 1
    assert "come without any input; 0 % are allowed (--max-silent)" in text
    assert "0 .. 1 is allowed" in cli.refused("check", folder, "--max-silent", 2)
    assert "a model is not run" in cli.refused("check", "ma-digits", "--max-silent", 0.1)


def test_doctor_lists_every_group_of_entry_points(cli: Cli) -> None:
    plugins = json.loads(cli("doctor", "--json")[1])["plugins"]

    assert set(plugins) == {
        "backends",
        "importers",
        "exporters",
        "blocks",
        "passes",
        "datasets",
        "commands",
        "clusters",
    }
    assert {"netx", "onnx"} <= set(plugins["exporters"])
    assert "module" in plugins["importers"]


def test_the_float_net_runs_too(cli: Cli, folder: Path) -> None:
    code, stdout, _ = cli("run", folder, "--backend", "interpreter", "--numbers", "float", "--json")

    assert code == 0
    assert json.loads(stdout)["numbers"] == "float"


def test_a_trace_is_written(cli: Cli, folder: Path, tmp_path: Path) -> None:
    code, _, stderr = cli("run", folder, "--limit", 2, "--trace", tmp_path / "trace.npz")

    assert code == 0, stderr
    assert np.load(tmp_path / "trace.npz", allow_pickle=False).files


def test_json_holds_no_nan() -> None:
    assert plain({"a": (np.float64("nan"), np.int64(3)), "b": np.arange(2)}) == {"a": [None, 3], "b": [0, 1]}
