"""Faults of the machine and of ours: a line, exit code 2, nothing half-written, nothing of the user's touched."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from command_line import Cli, linear, spikes
from netx_nets import conv_net
from tiny import tiny_bundle

from spikewright.export.netx import export_net
from spikewright.hw_sim.arrays import Arrays, DamagedError, pack, read_arrays
from spikewright.hw_sim.chip import load_chip
from spikewright.hw_sim.chip_io import chip_text
from spikewright.hw_sim.errors import ChipError
from spikewright.hw_sim.files import clean, draft_name, write_whole
from spikewright.toolchain import api, bundle, nirx, samples, stage_files
from spikewright.toolchain.cli import main
from spikewright.toolchain.deployment import Deployment, check_shape
from spikewright.toolchain.errors import ImportingError, InputError
from spikewright.toolchain.escaping import HIDDEN, csv_table, esc, visible
from spikewright.toolchain.nirx import hdf5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("robust") / "bundle")


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError("3 TB"), "memory: the memory of this machine is not enough (3 TB)"),
        (
            RuntimeError("[enforce fail at x.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried 3 TB"),
            "memory: the memory of this machine is not enough (you tried 3 TB)",
        ),
        (RecursionError("deep"), "something is nested too deep"),
        (OSError(28, "No space left on device", "b/x"), "b/x: No space left on device"),
        (OSError(27, "File too large", "b/x"), "b/x: File too large"),
        (ZeroDivisionError("by zero"), "a fault of spikewright: ZeroDivisionError: by zero"),
        (SystemExit(3), "a fault of spikewright: SystemExit: 3"),
        (GeneratorExit(), "a fault of spikewright: GeneratorExit"),
        (Silent(), "a fault of spikewright:"),
    ],
)
def test_whatever_is_raised_becomes_a_line_and_exit_code_2(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, says: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(bundle, "load", fail)

    assert says in cli.refused("run", folder)
    assert "Traceback (most recent call last)" in cli("--traceback", "run", folder)[2]


def test_what_could_steer_a_terminal_is_shown_as_an_escape() -> None:
    assert visible("a\x1b[2Jb\x07\x9b\u202e\n\tc\ud800") == "a\\x1b[2Jb\\x07\\x9b\\u202e\n\tc\\ud800"


@pytest.mark.parametrize("word", ["chips", "--help"])
def test_an_interruption_while_the_answer_is_printed_is_one_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    class Interrupted(io.StringIO):
        def write(self, _: str) -> int:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", Interrupted())
    assert main([word]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interruption_that_python_drops_in_a_callback_comes_again(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dropping:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def load(_: Path) -> None:
        one = Dropping()
        del one
        time.sleep(20)

    monkeypatch.setattr(bundle, "load", load)
    assert cli("run", folder) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    "verb", [("deploy", "no.nir"), ("demo",), ("train", "ma-digits"), ("finetune", "B", "--train", "x")]
)
def test_a_folder_without_a_name_is_not_the_one_we_are_in(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert cli.refused(*verb, "--out", "").startswith("--out '': names no folder\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("deploy", "no.nir", "--out", "O", "--keep-stages"), ("run", "B", "--data"), ("doctor", "--data")]
)
def test_every_option_of_a_folder_wants_a_name(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli.refused(*words, "").startswith(f"{words[-1]} '': names no folder\n")


@pytest.mark.parametrize("verb", [("run", "B"), ("deploy", "ma-digits", "--out", "O"), ("train", "ma-digits")])
def test_a_file_for_the_folder_of_a_data_set_is_refused(cli: Cli, tmp_path: Path, verb: tuple[str, ...]) -> None:
    (tmp_path / "x").write_text("x")
    assert f"--data: {tmp_path / 'x'} is no folder" in cli.refused(*verb, "--data", tmp_path / "x")


@pytest.mark.parametrize("name", ["n.nir", "n.onnx", "n.py:f"])
def test_a_file_that_the_system_makes_up_is_not_read(name: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / name.partition(":")[0]).symlink_to("/proc/kmsg")  # reading it waits for the next message
    assert "is no file on a disk" in cli.refused("check", tmp_path / name)


def test_a_price_list_or_chip_is_a_file_of_a_page_at_most(cli: Cli, folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with (tmp_path / "long.yaml").open("wb") as file:
        file.truncate(1 << 40)
    for name, what in (("pipe", "is no regular file"), ("long", "1,099,511,627,776 bytes")):
        assert what in cli.refused("report", folder, "--prices", tmp_path / f"{name}.yaml")
        assert what in cli.refused("chips", tmp_path / f"{name}.yaml")


def test_no_cell_of_a_table_is_a_formula_and_none_steers_a_terminal() -> None:
    rows = [{"layer": name, "sops": -1} for name in ("=1+1", "+a", "-b", "@c", "\tf", "a,\x1b[2J", "plain")]
    assert csv_table(rows).splitlines() == [
        "layer,sops", "'=1+1,-1", "'+a,-1", "'-b,-1", "'@c,-1", "'\tf,-1", '"a,\\x1b[2J",-1', "plain,-1",
    ]  # fmt: skip
    assert esc("<b>\x1b\u202e'\"") == "&lt;b&gt;\\x1b\\u202e&#x27;&quot;"


def named(path: Path, name: str) -> Path:
    """Write a net whose neurons and map are called so."""
    ones = np.ones(2)
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        f"{name}1": nir.Affine(np.ones((2, 3)), 0 * ones),
        name: nir.LIF(tau=2e-3 * ones, r=ones, v_leak=0 * ones, v_threshold=ones),
        "output": nir.Output({"output": np.array([2])}),
    }
    nirx.write(path, nir.NIRGraph(nodes, [("input", f"{name}1"), (f"{name}1", name), (name, "output")]))
    return path


def test_names_from_a_file_reach_no_terminal_page_or_table_as_they_are(cli: Cli, tmp_path: Path) -> None:
    model, b = named(tmp_path / "n.nir", "=\x1b[2J\u202e<i>"), tmp_path / "b"
    deploy = ("deploy", model, "--calibrate", spikes(tmp_path / "x.npz"), "--timesteps", 4, "--dt", 1e-3, "--out", b)
    files = [tmp_path / f"r.{kind}" for kind in ("csv", "html", "json")]
    words = [word for path in files for word in (f"--{path.suffix[1:]}", path)]

    said = [
        cli(*deploy, "--name", "\x1b]0;x\x07", "--keep-stages", tmp_path / "st"),
        *(cli(verb, b) for verb in ("run", "check", "compare", "fit")),
        cli("run", b, "--json"), cli("run", b, "--trace-events", tmp_path / "t.json"), cli("report", b, *words),
    ]  # fmt: skip

    assert [code for code, _, _ in said] == [0] * len(said)
    written = [path.read_text() for path in (*files, tmp_path / "t.json", *(tmp_path / "st").glob("*.txt"))]
    assert not [text for text in (*written, *(out + error for _, out, error in said)) if HIDDEN.search(text)]
    assert "\n'=\\x1b[2J\\u202e<i>," in files[0].read_text()
    assert "<i>" not in files[1].read_text()


def test_a_name_that_would_write_lines_of_its_own_is_refused(cli: Cli, tmp_path: Path) -> None:
    words = ("--calibrate", spikes(tmp_path / "x.npz"), "--timesteps", 4, "--dt", 1e-3, "--out", tmp_path / "b")
    evil = named(tmp_path / "n.nir", "a\nverdict: spike-driven")
    assert "its name holds a line break" in cli.refused("deploy", evil, *words)
    assert "holds a line break" in cli.refused("deploy", named(tmp_path / "m.nir", "a"), *words, "--name", "a\nb")


def test_a_name_with_escapes_reaches_the_terminal_harmless(cli: Cli, tmp_path: Path) -> None:
    assert "\x1b" not in cli.refused("run", tmp_path / "\x1b[2Jnet")


def test_what_a_model_prints_goes_to_stderr_and_leaves_json_alone(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bundle.load

    def chatty(path: Path) -> Deployment:
        print("epoch 1")
        return real(path)

    monkeypatch.setattr(bundle, "load", chatty)
    code, out, error = cli("check", folder, "--json")
    assert code in (0, 1)
    assert isinstance(json.loads(out), dict)
    assert "epoch 1" in error


# -------------------------------------------------------------------------------------------------- data
def test_data_of_another_shape_is_refused_before_it_is_read(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((5, 3, 2, 4, 1000), np.uint8))
    real, asked = read_arrays, list[tuple[str, ...]]()

    def noted(path: Path, names: tuple[str, ...]) -> Arrays:
        asked.append(names)
        return real(path, names)

    monkeypatch.setattr(samples, "read_arrays", noted)
    assert "the net takes (5, samples, 2, 4, 4)" in cli.refused("run", folder, "--input", tmp_path / "x.npz")
    assert not any("x" in names for names in asked)


@pytest.mark.parametrize("kind", [np.uint64, np.int64])
def test_a_class_number_that_wraps_into_a_negative_one_is_refused(tmp_path: Path, kind: type) -> None:
    x, y = np.zeros((5, 2, 2, 4, 4), np.float32), np.array([-1, 0], np.int64).astype(kind)
    with pytest.raises(InputError, match="expected class numbers from 0 on"):
        samples.arranged(x, y, "x", "x")


@pytest.mark.parametrize(
    ("found", "help"),
    [
        ((3, 5, 2, 4, 4), "its axes are (B, T, ...): exchange the first two, x.swapaxes(0, 1)"),
        ((5, 3, 32), "give its values the shape of the net's: x.reshape(*x.shape[:2], 2, 4, 4)"),
        ((5, 3, 2, 4, 5), "arrange the data as (T, B, C, H, W) with the T the net was trained for"),
        ((6, 3, 2, 4, 4), "arrange the data as (T, B, C, H, W) with the T the net was trained for"),
    ],
)
def test_data_of_another_shape_is_refused_with_what_mends_it(found: tuple[int, ...], help: str) -> None:
    with pytest.raises(InputError) as caught:
        check_shape(found, 5, (2, 4, 4), where="input")

    assert caught.value.help == help


def test_classes_that_the_net_has_no_output_for_are_refused(cli: Cli, folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((5, 3, 2, 4, 4), np.float32), y=np.array([0, 1, 99]))
    assert "y holds class 99; the net has outputs for classes 0 .. " in cli.refused(
        "run", folder, "--input", tmp_path / "x.npz"
    )


# -------------------------------------------------------------------------------------------------- writing
def test_no_output_replaces_another_or_what_is_read(cli: Cli, folder: Path, tmp_path: Path) -> None:
    data, twice = tmp_path / "x.npz", tmp_path / "r.txt"
    np.savez(data, x=np.zeros((5, 3, 2, 4, 4), np.float32))
    before = data.read_bytes(), (folder / "manifest.json").read_bytes()

    assert "is the file of --json, too" in cli.refused("report", folder, "--json", twice, "--csv", twice)
    assert "is read here" in cli.refused("report", folder, "--json", folder / "manifest.json")
    assert "is read here" in cli.refused("run", folder, "--trace", folder / "samples.npz")
    assert "is read here" in cli.refused("run", folder, "--input", data, "--save", data)

    assert before == (data.read_bytes(), (folder / "manifest.json").read_bytes())
    assert not twice.exists()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("run", "--save"), "recorded run"),
        (("run", "--trace"), "trace"),
        (("run", "--trace-events"), "JSON text"),
        (("report", "--html"), "page"),
        (("report", "--json"), "JSON text"),
        (("report", "--csv"), "table"),
        (("report", "--overlay"), "JSON text"),
    ],
)
def test_no_output_replaces_a_file_of_another_kind(
    words: tuple[str, str], kind: str, cli: Cli, folder: Path, tmp_path: Path
) -> None:
    verb, flag = words
    thesis, data = tmp_path / "thesis.tex", tmp_path / "mine.npz"
    thesis.write_text("three years of work")
    np.savez(data, x=np.zeros((5, 3, 2, 4, 4), np.float32))

    for mine in (thesis, data):
        before = mine.read_bytes()
        assert f"is there, and is no {kind}; it would be lost" in cli.refused(verb, folder, flag, mine)
        assert mine.read_bytes() == before
    (tmp_path / "again").touch()  # as mktemp leaves one
    for _ in range(2):
        assert cli(verb, folder, flag, tmp_path / "again")[0] == 0


def test_no_table_page_or_net_replaces_the_model_the_data_or_the_results_it_is_made_of(
    cli: Cli, tmp_path: Path
) -> None:
    nirx.write(tmp_path / "n.nir", linear())
    model, data, kept = tmp_path / "n.nir", spikes(tmp_path / "x.npz"), tmp_path / "e.sqlite"
    (tmp_path / "link.nir").symlink_to(model)
    explore = ("explore", model, "--calibrate", data, "--timesteps", 4, "--dt", 1e-3, "--out", kept)
    before = model.read_bytes(), data.read_bytes()

    for words in (
        *((*explore, flag, path) for flag in ("--csv", "--html") for path in (model, data, kept)),
        *(("nir", model, "--dt", 1e-3, "--timesteps", 4, "--out", path) for path in (model, tmp_path / "link.nir")),
    ):
        assert "is read here" in cli.refused(*words), words

    assert before == (model.read_bytes(), data.read_bytes())
    assert not kept.exists()


def test_a_bundle_is_not_put_into_another_or_behind_a_dead_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="lies in the bundle"):
        bundle.check_writable(folder / "inner")
    with pytest.raises(InputError, match="is a link that leads nowhere"):
        bundle.check_writable(tmp_path / "dead")
    for check in (bundle.check_writable, stage_files.check_folder):
        with pytest.raises(InputError, match="is a link that leads nowhere"):
            check(tmp_path / "dead" / "a" / "b")
    assert not (tmp_path / "nowhere").exists()


def test_a_stream_that_leads_to_a_file_is_no_file_to_replace(cli: Cli, folder: Path) -> None:
    assert "is a stream of a process" in cli.refused("report", folder, "--html", "/dev/stdout")
    assert "is a stream of a process" in cli.refused("run", folder, "--trace", f"/proc/{os.getpid()}/fd/1")


def test_a_pipe_or_a_device_named_for_a_file_is_refused_and_stays(cli: Cli, folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")

    for name in ("pipe", "link"):
        assert "is no regular file" in cli.refused("report", folder, "--json", tmp_path / name)
        assert "is no regular file" in cli.refused("run", folder, "--trace", tmp_path / name)
    for verb in (("run", folder, "--input"), ("chips",)):
        assert cli(*verb, tmp_path / "pipe")[0] == 2
    assert "regular file" in cli.refused("check", _named(tmp_path / "pipe", tmp_path / "n.nir"))
    assert (tmp_path / "pipe").is_fifo()


def _named(path: Path, name: Path) -> Path:
    name.symlink_to(path)
    return name


def test_a_link_is_followed_and_permissions_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "real")

    write_whole(tmp_path / "link", b"new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert sorted(f.name for f in tmp_path.iterdir()) == ["link", "real"]


def test_rests_of_processes_that_are_gone_are_removed_and_no_others(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    mine = draft_name("r.json")
    theirs = mine.replace(f"-{os.getpid()}-", f"-{gone.stdout.strip()}-")
    elsewhere, long_ago = ".spikewright-00000000-1-0-x", ".spikewright-00000001-1-0-x"
    kept = [mine, elsewhere, ".spikewright-old-x", ".spikewright-mine"]
    for name in (*kept, theirs, long_ago):
        (tmp_path / name).write_text("x")
    os.utime(tmp_path / long_ago, (0, 0))

    clean(tmp_path)

    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(kept)


@pytest.mark.slow
def test_a_file_size_limit_ends_in_a_line_and_leaves_the_old_bundle(tmp_path: Path) -> None:
    nirx.write(tmp_path / "n.nir", linear())
    data = spikes(tmp_path / "x.npz")
    made = api.deploy(str(tmp_path / "n.nir"), calibration=str(data), timesteps=4, dt_s=1e-3)
    made.save(tmp_path / "b")
    words = ["deploy", str(tmp_path / "n.nir"), "--calibrate", str(data), "--timesteps", "4", "--dt", "1e-3", "--out"]
    command = Path(sys.executable).with_name("spikewright")
    for limit in (0, 1024, 3000):
        done = subprocess.run(
            [str(command), *words, str(tmp_path / "b")],
            capture_output=True,
            text=True,
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        assert done.returncode == 2, done.stderr
        assert "File too large" in done.stderr
        assert "Traceback" not in done.stderr
        assert bundle.load(tmp_path / "b").name == made.name
    assert sorted(f.name for f in tmp_path.iterdir()) == ["b", "n.nir", "x.npz"]


# -------------------------------------------------------------------------------------------------- reading
def declared(file: h5py.File) -> None:
    del file["node/nodes/affine/weight"]
    file["node/nodes/affine"].create_dataset("weight", shape=(10**6, 10**6), dtype="f4", chunks=(1024, 1024))


def lists(file: h5py.File) -> None:
    del file["node/nodes/affine/weight"]
    file["node/nodes/affine"].create_dataset("weight", (3,), dtype=h5py.vlen_dtype(np.float32))[0] = [1, 2]


def elsewhere(file: h5py.File) -> None:
    del file["node/nodes/affine/weight"]
    file["node/nodes/affine/weight"] = h5py.ExternalLink("/etc/passwd", "/x")


def empty(file: h5py.File) -> None:
    del file["node/nodes/affine/weight"]
    file["node/nodes/affine"].create_dataset("weight", data=h5py.Empty("f4"))


def many(file: h5py.File) -> None:
    file["node"].create_dataset("metadata/a", shape=(3 * 10**8,), dtype=h5py.string_dtype(), chunks=(10**6,))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (declared, "declares 4,000,000,000,000 bytes"),
        (lists, "rows of unequal length"),
        (elsewhere, "is a link"),
        (empty, "weight holds"),
        (many, "declares 300,000,000"),
    ],
)
def test_a_nir_file_is_refused_before_anything_is_allocated(
    tmp_path: Path, change: Callable[[h5py.File], None], says: str
) -> None:
    nirx.write(tmp_path / "n.nir", linear())
    with h5py.File(tmp_path / "n.nir", "a") as file:
        if "affine" not in file["node/nodes"]:
            first = next(name for name in file["node/nodes"] if "weight" in file[f"node/nodes/{name}"])
            file.move(f"node/nodes/{first}", "node/nodes/affine")
        change(file)

    with pytest.raises(ImportingError, match=says):
        nirx.read(tmp_path / "n.nir")


def test_a_file_in_which_the_reader_loops_or_dies_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nirx.write(tmp_path / "n.nir", linear())
    monkeypatch.setattr(hdf5, "LIMIT_S", 1)
    monkeypatch.setattr(hdf5._Walk, "group", lambda *_: [None for _ in iter(int, 1)])
    with pytest.raises(ImportingError, match="does not come to an end"):
        nirx.read(tmp_path / "n.nir")
    monkeypatch.setattr(hdf5._Walk, "group", lambda *_: os.kill(os.getpid(), 11))
    with pytest.raises(ImportingError, match="dies of it"):
        nirx.read(tmp_path / "n.nir")


def npz(path: Path, header: str, body: bytes = bytes(48)) -> Path:
    text = header.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + body)
    return path


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 10**10, 5)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 10000000000, 5)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 12)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (6,)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (6,)}",
        "{",
        "[" * 100,
    ],
)
def test_an_array_that_is_not_what_it_declares_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(DamagedError):
        read_arrays(npz(tmp_path / "x.npz", header))


def test_an_archive_comes_back_as_it_was_packed() -> None:
    arrays = {
        "a": np.arange(6.0).reshape(2, 3).T,
        "b": np.array(3),
        "c": np.zeros((0, 2), np.uint8),
        "d": np.array(["x"]),
    }
    found = read_arrays(pack(arrays))
    for name, value in arrays.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("value", [np.float64("inf"), np.int64(2**62), np.int64(0), np.array([3, 4])])
def test_a_number_of_steps_that_is_none_is_refused(cli: Cli, folder: Path, tmp_path: Path, value: np.generic) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 2, 2, 4, 4), np.float32), timesteps=value)

    assert "timesteps" in cli.refused("run", folder, "--input", tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("key", "value"),
    [("tiles_x", 0), ("cores_per_tile", -1), ("synapse_word_bits", 0), ("max_neurons", 0), ("state_bits", 8), ("bias_bits", 0),
     ("tiles_y", 10**20), ("usable_cores_per_chip", 10**6), ("max_delay", 0), ("weight_exponent_min", 9)],
)  # fmt: skip
def test_a_limit_that_no_chip_has_is_refused_with_what_is_allowed(tmp_path: Path, key: str, value: int) -> None:
    import yaml

    tree = yaml.safe_load(chip_text(load_chip("loihi2")))
    part = next(tree[part] for part in ("mesh", "core") if key in tree[part])
    part[key]["value"] = value
    (tmp_path / "chip.yaml").write_text(yaml.safe_dump(tree))

    with pytest.raises(ChipError) as error:
        load_chip(tmp_path / "chip.yaml")
    assert error.value.help


@pytest.mark.parametrize(
    "text", ["? [a, b]\n: 1\n", "[" * 3000, "&a [*a]", "a: &a [*a, *a]\nb: *a", "chip: !!python/x 1"]
)
def test_yaml_that_is_no_chip_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "chip.yaml").write_text(text)

    with pytest.raises(ChipError):
        load_chip(tmp_path / "chip.yaml")


def test_a_device_is_no_chip() -> None:
    with pytest.raises(ChipError):
        load_chip("/dev/zero")


# -------------------------------------------------------------------------------- options that do not apply
def test_options_for_a_model_are_refused_for_a_bundle(cli: Cli, folder: Path, tmp_path: Path) -> None:
    error = cli.refused("check", folder, "--gates", "static", "--data", tmp_path)

    assert error.startswith("--gates, --data: ")
    assert "is a bundle" in error


def test_options_of_quantizing_are_refused_for_a_net_that_is_integer(
    cli: Cli, tmp_path: Path, rng: np.random.Generator
) -> None:
    export_net(conv_net(rng), tmp_path / "n.net")
    data = spikes(tmp_path / "x.npz")

    for words, named in (
        (("--weight-bits", 4, "--tolerance", 0.5), "--tolerance, --weight-bits: are for"),
        (("--calibrate", data), "--calibrate: "),
    ):
        assert named in cli.refused("deploy", tmp_path / "n.net", *words, "--out", tmp_path / "b")
    assert not (tmp_path / "b").exists()
