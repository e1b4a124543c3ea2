"""A bundle comes back as it was written, whole or not at all, and a changed file is noticed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli, linear, spikes
from zoo_nets import deployed

from spikewright.hw_sim import chip_text, list_chips, load_chip
from spikewright.toolchain import bundle, folder_swap, graph_io, manifest, nirx
from spikewright.toolchain.blocks.ma import MALIF
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import ImportingError, InputError
from spikewright.toolchain.interpret import run_int


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return deployed("ma-digits", "causal", None)


@pytest.fixture
def folder(deployment: Deployment, tmp_path: Path) -> Path:
    deployment.save(tmp_path / "net")
    return tmp_path / "net"


def test_a_bundle_comes_back_with_the_same_answers(deployment: Deployment, folder: Path) -> None:
    back = bundle.load(folder)

    assert back.samples is not None
    assert deployment.samples is not None
    np.testing.assert_array_equal(back.samples.x, deployment.samples.x)
    payload = back.encode(back.samples.x[:, :5])
    np.testing.assert_array_equal(payload, deployment.encode(deployment.samples.x[:, :5]))
    np.testing.assert_array_equal(run_int(back.integer, payload).answer, run_int(deployment.integer, payload).answer)
    assert (back.strategies, back.options, back.drift) != (None, None, None)
    assert str(back.program) == str(deployment.program)
    assert [vars(r) for r in back.passes] == [vars(r) for r in deployment.passes]


def test_an_attention_op_survives_the_disk(deployment: Deployment, folder: Path) -> None:
    before = [op for op in deployment.captured if isinstance(op, MALIF)]
    after = [op for op in bundle.load(folder).captured if isinstance(op, MALIF)]

    assert [op.parameters.keys() for op in after] == [op.parameters.keys() for op in before]
    for a, b in zip(after, before, strict=True):
        assert (a.dims, a.variant, a.gate, a.gate_delay) == (b.dims, b.variant, b.gate, b.gate_delay)
        for key, value in b.parameters.items():
            np.testing.assert_array_equal(a.parameters[key], value)


def test_a_changed_file_is_noticed(folder: Path) -> None:
    (folder / "integer.npz").write_bytes((folder / "integer.npz").read_bytes()[:-10])

    with pytest.raises(ImportingError, match=r"integer\.npz: is missing or was changed after deployment"):
        bundle.load(folder)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportingError, match=r"is not a bundle: no readable manifest\.json"):
        bundle.load(tmp_path)


def test_another_format_version_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))

    with pytest.raises(ImportingError, match="bundle format 99; this version reads 3"):
        bundle.load(folder)


def reseal(folder: Path, **changed: object) -> None:
    """Change a bundle's manifest as somebody would who knows how it is sealed."""
    found = json.loads((folder / manifest.NAME).read_text())
    wanted = {key: value for key, value in (found | changed).items() if value != "left out"}
    (folder / manifest.NAME).write_bytes(manifest.sealed(wanted, folder))


@pytest.mark.parametrize("key", ["options", "host", "input", "passes", "drift", "strategies", "card"])
@pytest.mark.parametrize("value", [None, 3, [1], {"a": 1}, "left out"])
def test_a_manifest_with_another_content_is_refused(folder: Path, key: str, value: object) -> None:
    reseal(folder, **{key: value})

    allowed = (("host", None), ("drift", None), ("host", "left out"), ("drift", "left out"), ("card", {"a": 1}))
    if (key, value) in allowed:
        assert bundle.load(folder).name == "ma-digits"  # the net has no host part
        return
    with pytest.raises(ImportingError):
        bundle.load(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("sha256", {}), ("strategies", {"layer": "static"}), ("name", "other"), ("card", {})]
)
def test_a_manifest_that_was_edited_is_noticed(folder: Path, key: str, value: object) -> None:
    found = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(found | {key: value}))

    with pytest.raises(ImportingError, match=r"manifest\.json: was changed after deployment"):
        bundle.load(folder)


@pytest.mark.parametrize("name", ["../outside.npz", "/etc/passwd", ".hidden", "a/b"])
def test_a_path_that_leads_out_of_the_bundle_is_refused(folder: Path, name: str) -> None:
    found = json.loads((folder / manifest.NAME).read_text())
    found["sha256"][name] = "0" * 64
    found["seal"] = manifest._seal(found)
    (folder / manifest.NAME).write_text(json.dumps(found))

    with pytest.raises(ImportingError, match="no plain name"):
        bundle.load(folder)


@pytest.mark.parametrize("name", ["manifest.json", "integer.npz"])
@pytest.mark.parametrize("how", ["link", "pipe"])
def test_links_and_pipes_in_a_bundle_are_refused_and_never_waited_for(folder: Path, name: str, how: str) -> None:
    (folder / name).rename(folder / "kept")
    if how == "link":
        (folder / name).symlink_to(folder / "kept")
    else:
        os.mkfifo(folder / name)

    with pytest.raises(ImportingError, match="link, pipe"):
        bundle.load(folder)


def test_a_bundle_whose_parts_do_not_belong_together_is_refused(folder: Path) -> None:
    made = bundle.load(folder)
    first = made.program.populations[1]
    other = replace(made.program, populations=(made.program.populations[0], replace(first, start=first.start + 1),
                                               *made.program.populations[2:]))  # fmt: skip
    other.save(folder / "program")
    reseal(folder)

    with pytest.raises(ImportingError, match="does not hold together"):
        bundle.load(folder)


def test_a_bundle_with_empty_samples_is_refused(folder: Path) -> None:
    (folder / "samples.npz").write_bytes(b"")
    reseal(folder)

    with pytest.raises(ImportingError, match=r"samples\.npz: cannot be read"):
        bundle.load(folder)


def test_a_folder_with_other_files_is_not_overwritten(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("keep me")

    with pytest.raises(InputError, match="is not empty and not a bundle"):
        bundle.save(deployment, tmp_path)

    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_with_a_manifest_of_something_else_is_not_taken_for_a_bundle(
    deployment: Deployment, tmp_path: Path
) -> None:
    for text in ('{"manifest_version": 3}', '{"format": 1, "sha256": {}}', "[]", "not JSON"):
        (tmp_path / "manifest.json").write_text(text)
        (tmp_path / "thesis.tex").write_text("three years of work")

        with pytest.raises(InputError, match="is not empty and not a bundle"):
            bundle.check_writable(tmp_path)
        with pytest.raises(InputError, match="is not empty and not a bundle"):
            bundle.save(deployment, tmp_path)

        assert sorted(f.name for f in tmp_path.iterdir()) == ["manifest.json", "thesis.tex"]
    with pytest.raises(InputError, match="/: is not empty and not a bundle"):
        bundle.check_writable(Path("/"))


@pytest.mark.parametrize("exchange", [True, False])
def test_files_of_the_users_beside_and_inside_a_bundle_stay(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(folder_swap, "_exchange", lambda *_: False)
    bundle.save(deployment, tmp_path / "b")
    (tmp_path / ".b.old").mkdir()
    (tmp_path / "b" / "notes").mkdir()
    for mine in (".b.old/mine.txt", "b/notes/mine.txt", "b/report.html"):
        (tmp_path / mine).write_text(mine)

    bundle.save(deployment, tmp_path / "b")

    assert sorted(f.name for f in tmp_path.iterdir()) == [".b.old", "b"]
    for mine in (".b.old/mine.txt", "b/notes/mine.txt", "b/report.html"):
        assert (tmp_path / mine).read_text() == mine
    assert bundle.load(tmp_path / "b").name == deployment.name


@pytest.mark.parametrize("key", ["name", "sha256"])
def test_a_manifest_that_says_a_thing_twice_is_no_bundle(folder: Path, key: str) -> None:
    text = (folder / manifest.NAME).read_text()
    (folder / manifest.NAME).write_text("{" + f'"{key}": "other",' + text.lstrip()[1:])
    with pytest.raises(ImportingError, match=f"key '{key}' stands twice"):
        bundle.load(folder)


def test_only_names_of_files_are_ours_to_replace(folder: Path) -> None:
    found = json.loads((folder / manifest.NAME).read_text())
    hostile = {"../x", "/etc/passwd", "a\0b", ".ssh"}
    (folder / manifest.NAME).write_text(json.dumps(found | {"sha256": found["sha256"] | dict.fromkeys(hostile, "0")}))
    assert not manifest.names(folder) & hostile
    assert "program.npz" in manifest.names(folder)


def test_a_link_to_a_bundle_stays_a_link_to_the_new_one(deployment: Deployment, tmp_path: Path) -> None:
    bundle.save(deployment, tmp_path / "real")
    (tmp_path / "link").symlink_to("real")

    bundle.save(replace(deployment, name="again"), tmp_path / "link")

    assert sorted(f.name for f in tmp_path.iterdir()) == ["link", "real"]
    assert (tmp_path / "link").is_symlink()
    assert bundle.load(tmp_path / "real").name == "again"


@pytest.mark.parametrize("exchange", [True, False])
def test_of_several_that_write_one_place_at_once_one_stands_whole(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(folder_swap, "_exchange", lambda *_: False)
    (tmp_path / "b").mkdir()
    failed = list[BaseException]()

    def write(number: int) -> None:
        try:
            for turn in range(3):
                work = folder_swap.workplace(tmp_path)
                (work / f"{number}-{turn}").write_text("")
                (work / "all").write_text(f"{number}-{turn}")
                folder_swap.swap(work, tmp_path / "b", lambda found: [f.name for f in found.iterdir()])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert [f.name for f in tmp_path.iterdir()] == ["b"]
    assert sorted(f.name for f in (tmp_path / "b").iterdir()) == sorted(["all", (tmp_path / "b" / "all").read_text()])


@pytest.mark.parametrize("stands", [True, False])
def test_what_was_set_aside_when_a_process_was_killed_is_put_back(tmp_path: Path, stands: bool) -> None:
    (tmp_path / ".spikewright-old-ab1" / "b").mkdir(parents=True)
    (tmp_path / ".spikewright-old-ab1" / "b" / "is").write_text("old")
    if stands:
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "is").write_text("new")

    folder_swap.workplace(tmp_path).rmdir()

    assert [f.name for f in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b" / "is").read_text() == ("new" if stands else "old")


KILLED = """
import os, signal, sys
from pathlib import Path
from spikewright.toolchain import bundle, folder_swap
made = bundle.load(Path(sys.argv[1]))
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
where = sys.argv[2]
if where == "before":
    folder_swap.swap = die
else:
    folder_swap.shutil = type('Shutil', (), {'rmtree': staticmethod(die)})
bundle.save(made, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("moment", ["before", "behind"])
def test_a_process_killed_at_the_swap_leaves_a_whole_bundle_and_its_rest_is_cleaned(folder: Path, moment: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), moment], capture_output=True, timeout=300)

    assert done.returncode == -signal.SIGKILL
    again = bundle.load(folder)
    assert [f.name for f in folder.parent.iterdir() if f.name.startswith(".spikewright-")]
    bundle.save(again, folder)
    assert not [f.name for f in folder.parent.iterdir() if f.name.startswith(".spikewright-")]


def test_a_write_that_fails_leaves_the_old_bundle_and_no_rest(
    deployment: Deployment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(graph: object, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    before = sorted(f.name for f in folder.parent.iterdir())
    monkeypatch.setattr(graph_io, "save", full)

    with pytest.raises(OSError, match="No space left"):
        bundle.save(deployment, folder)

    assert sorted(f.name for f in folder.parent.iterdir()) == before
    assert bundle.load(folder).name == deployment.name


def test_a_file_in_the_place_of_the_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for target in (tmp_path / "file", tmp_path / "file" / "net"):
        with pytest.raises(InputError, match="cannot be written"):
            bundle.check_writable(target)


# -------------------------------------------------------------------------------------- a user's own chip
OWN_CHIP = """
base: loihi2
chip: mine
description: a chip of my own
core: {max_neurons: {value: 40, unit: neurons, basis: assumed, source: none}}
"""


def test_a_bundle_carries_its_chip_wherever_it_is_moved_and_whatever_becomes_of_the_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "mine.yaml").write_text(OWN_CHIP)
    nirx.write(tmp_path / "here" / "net.nir", linear())
    data = spikes(tmp_path / "here" / "data.npz")
    monkeypatch.chdir(tmp_path / "here")
    words = ("--chip", "mine.yaml", "--timesteps", 4, "--dt", 1e-3, "--calibrate", data, "--out", "net")
    assert cli("deploy", "net.nir", *words)[0] == 0
    before = bundle.load(Path("net"))
    (tmp_path / "here" / "net").rename(tmp_path / "there" / "moved")
    (tmp_path / "here" / "mine.yaml").unlink()
    monkeypatch.chdir(tmp_path / "there")

    made = bundle.load(Path("moved"))

    assert (made.chip.name, made.chip.core.max_neurons, made.program.chip) == ("mine", 40, "mine")
    assert (made.chip.facts, made.chip.costs, made.chip.sources) == (
        before.chip.facts,
        before.chip.costs,
        before.chip.sources,
    )
    for verb in ("check", "run", "compare", "report"):
        code, _, stderr = cli(verb, "moved")
        assert code == 0, stderr
    assert made.run(timing="cycle").summary["timing"] == "cycle"
    with monkeypatch.context() as patched:
        patched.setattr("spikewright.hw_sim.chip._read", lambda name: pytest.fail(f"looked for {name}"))
        made.check()
        made.report()


def test_a_chip_that_was_changed_in_its_bundle_is_noticed(folder: Path) -> None:
    (folder / "chip.yaml").write_text((folder / "chip.yaml").read_text() + "# mine\n")

    with pytest.raises(ImportingError, match=r"chip\.yaml: is missing or was changed after deployment"):
        bundle.load(folder)


@pytest.mark.parametrize("name", list_chips())
def test_a_chip_comes_back_from_its_text_as_it_was(name: str, tmp_path: Path) -> None:
    chip = load_chip(name)
    (tmp_path / "chip.yaml").write_text(chip_text(chip), encoding="utf-8")

    again = load_chip(tmp_path / "chip.yaml")

    assert [getattr(again, f.name) for f in fields(chip)] == [getattr(chip, f.name) for f in fields(chip)]


@pytest.mark.parametrize(
    ("command", "help"),
    [
        ("oldname deploy ma-digits --out 'a b'", "deploy the model again: spikewright deploy ma-digits --out 'a b'"),
        ("", "deploy the model again"),
        (None, "deploy the model again"),
    ],
)
def test_a_bundle_of_the_first_format_is_refused_with_the_command_that_makes_it_anew(
    folder: Path, command: str | None, help: str
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 1, "command": command}))

    with pytest.raises(ImportingError, match="bundle format 1; this version reads 3") as refusal:
        bundle.load(folder)

    assert refusal.value.help == help


class Exporter:
    """An entry point of somebody else's exporter, which fails in a way."""

    def __init__(self, name: str, error: Exception) -> None:
        self.name, self.error = name, error

    def load(self) -> object:
        """Return it, or fail as a missing library does."""
        if isinstance(self.error, ImportError):
            raise self.error

        def export(_: Deployment, folder: Path) -> dict[str, str]:
            (folder / "half.bin").write_bytes(b"half")
            raise self.error

        return export


def test_an_exporter_that_fails_leaves_a_note_and_no_file(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [
        Exporter("mine", RecursionError("too deep")),
        Exporter("other", ModuleNotFoundError("No module", name="gone")),
    ]
    monkeypatch.setattr(bundle, "points", lambda group: points)
    monkeypatch.setattr(bundle.to_nir, "save_standard", lambda *_: {}["nir"])

    written = deployment.save(tmp_path / "net")

    told = [str(d) for d in written.diagnostics if d.code == "export"]
    assert [text.splitlines()[0] for text in told] == [
        "note: graph.nir: not written: the exporter failed (KeyError: 'nir')",
        "note: mine: not written: the exporter failed (RecursionError: too deep)",
        "note: other: not written: gone is not installed",
    ]
    assert all(line in str(written) for text in told for line in text.splitlines())
    back = bundle.load(tmp_path / "net")
    assert back.diagnostics == written.diagnostics
    assert not (tmp_path / "net" / "half.bin").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("weight_bits", 10**30), ("timesteps", -1), ("headroom", 0.5), ("seed", -1)]
)
def test_options_that_no_deployment_has_are_refused_though_the_bundle_is_sealed(
    folder: Path, option: str, value: float
) -> None:
    options = json.loads((folder / manifest.NAME).read_text())["options"]
    reseal(folder, options=options | {option: value})

    with pytest.raises(ImportingError, match="does not fit this version"):
        bundle.load(folder)
