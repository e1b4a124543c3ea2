"""The formats that a user hands over: a whole file of each, how it is changed, and what is done with it then."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import mutations as m
import numpy as np
import yaml
from command_line import linear, spikes
from factories import SOURCES
from mutations import Random
from tiny import tiny_bundle

from spikewright.export.netx import export_net
from spikewright.hw_sim import chip_text, load_chip
from spikewright.toolchain import bundle, manifest, nirx
from spikewright.toolchain.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command said: its exit code and stderr."""

    code: int
    error: str


def cli(*words: object) -> Answer:
    """Run the command line in this process."""
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        try:
            code = main([str(word) for word in words])
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 1
    return Answer(code, error.getvalue())


@dataclass(frozen=True)
class Format(ABC):
    """One format.

    Args:
        home: Folder of the whole files, made once.
    """

    home: Path
    FILE: ClassVar[str] = ""
    """The whole file, by the name that the commands know it by."""

    def whole(self, work: Path) -> None:
        """Put the whole file into ``work``."""
        shutil.copy(self.home / self.FILE, work)

    @abstractmethod
    def prepare(self) -> None:
        """Write the whole files."""

    @abstractmethod
    def change(self, rng: Random, work: Path) -> None:
        """Write a changed file into ``work``."""

    @abstractmethod
    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Return what is run: the first one may refuse; the others must then work."""


class Nir(Format):
    """A ``.nir`` file."""

    FILE = "net.nir"

    def prepare(self) -> None:
        """Write a small spiking net, and data."""
        nirx.write(self.home / "net.nir", linear())
        spikes(self.home / "x.npz")

    def change(self, rng: Random, work: Path) -> None:
        """Change it."""
        (work / "net.nir").write_bytes(m.of_hdf5(rng, (self.home / "net.nir").read_bytes()))

    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Deploy and run."""
        data = ("--calibrate", self.home / "x.npz", "--timesteps", 4, "--dt", 1e-3)
        return [("deploy", work / "net.nir", *data, "--out", work / "b"), ("run", work / "b", "--limit", 2)]


class Net(Format):
    """A ``.net`` file."""

    FILE = "net.net"

    def prepare(self) -> None:
        """Write a small net as lava-dl writes it."""
        from netx_nets import conv_net

        export_net(conv_net(np.random.default_rng(0)), self.home / "net.net")
        np.savez(self.home / "x.npz", x=(np.random.default_rng(1).random((12, 3, 2, 9, 7)) < 0.3).astype(np.float32))

    def change(self, rng: Random, work: Path) -> None:
        """Change it."""
        (work / "net.net").write_bytes(m.of_hdf5(rng, (self.home / "net.net").read_bytes()))

    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Deploy and run."""
        words = ("deploy", work / "net.net", "--samples", self.home / "x.npz", "--out", work / "b")
        return [words, ("run", work / "b", "--limit", 2)]


class Safetensors(Format):
    """A checkpoint of ours: a ``.safetensors`` file with its card."""

    FILE = "net.safetensors"

    def prepare(self) -> None:
        """Take one of the zoo."""
        from spikewright.models.zoo.checkpoint import checkpoint_path

        shutil.copy(checkpoint_path("ma-digits"), self.home / "net.safetensors")

    def change(self, rng: Random, work: Path) -> None:
        """Change header, card or bytes."""
        data = (self.home / "net.safetensors").read_bytes()
        length = int.from_bytes(data[:8], "little")
        header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
        match int(rng.integers(4)):
            case 0:
                made = m.of_bytes(rng, data)
            case 1:
                made = _safetensors(m.of_tree(rng, header), body)
            case _:
                card = m.of_tree(rng, json.loads(header["__metadata__"]["spikewright"]))
                header["__metadata__"]["spikewright"] = m.as_json(card).decode("utf-8", "replace")
                made = _safetensors(header, body)
        (work / "net.safetensors").write_bytes(made)

    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Check it as trained, and deploy it if that is possible."""
        path = work / "net.safetensors"
        return [("check", path), ("deploy", path, "--stop-after", "split-host")]


def _safetensors(header: Any, body: bytes) -> bytes:
    text = m.as_json(header)
    return len(text).to_bytes(8, "little") + text + body


class Npz(Format):
    """Data of the user's."""

    FILE = "x.npz"

    def prepare(self) -> None:
        """Write a bundle, and data for it."""
        tiny_bundle(self.home / "bundle")
        x = (np.random.default_rng(0).random((5, 3, 2, 4, 4)) < 0.3).astype(np.float32)
        (self.home / "x.npz").write_bytes(m.npz({"x": x, "y": np.arange(3), "timesteps": np.int64(5)}))

    def change(self, rng: Random, work: Path) -> None:
        """Change it."""
        (work / "x.npz").write_bytes(m.of_npz(rng, (self.home / "x.npz").read_bytes()))

    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Run and compare on it."""
        b, data = self.home / "bundle", ("--input", work / "x.npz")
        return [
            ("run", b, *data),
            ("run", b, *data, "--backend", "interpreter", "--numbers", "float"),
            ("compare", b, *data),
        ]


class Idx(Format):
    """A data set in IDX files."""

    def whole(self, work: Path) -> None:
        """Copy the folder."""
        shutil.copytree(self.home, work / "mnist")

    def prepare(self) -> None:
        """Write four small files."""
        rng = np.random.default_rng(0)
        for split in ("train", "t10k"):
            x = rng.integers(0, 256, (12, 28, 28), np.uint8)
            head = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in x.shape)
            (self.home / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + x.tobytes()))
            y = b"\x00\x00\x08\x01" + (12).to_bytes(4, "big") + bytes(range(10)) + b"\x01\x02"
            (self.home / f"{split}-labels-idx1-ubyte").write_bytes(y)

    def change(self, rng: Random, work: Path) -> None:
        """Change images or labels, packed or not."""
        shutil.copytree(self.home, work / "mnist")
        path = work / "mnist" / m.pick(rng, sorted(f.name for f in self.home.iterdir() if "t10k" in f.name))
        data = path.read_bytes()
        if path.suffix == ".gz" and rng.random() < 0.6:
            path.write_bytes(gzip.compress(_header(rng, gzip.decompress(data))))
        else:
            path.write_bytes(m.of_bytes(rng, data) if rng.random() < 0.5 else _header(rng, data))

    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Read the test split (a verb would first need a net for it)."""
        return [("read-set", work / "mnist")]


def _header(rng: Random, data: bytes) -> bytes:
    at, number = int(rng.integers(16)), int(m.pick(rng, (0, 1, 2, 255, 2**31, 2**32 - 1)))
    return data[:at] + number.to_bytes(4, "big") + data[at + 4 :]


class Chip(Format):
    """A chip file, its prices among it."""

    FILE = "chip.yaml"

    def prepare(self) -> None:
        """Write a shipped chip, a net and data."""
        (self.home / "chip.yaml").write_text(chip_text(load_chip("loihi2")))
        nirx.write(self.home / "net.nir", linear())
        spikes(self.home / "x.npz")

    def change(self, rng: Random, work: Path) -> None:
        """Change an entry, or the text."""
        text = (self.home / "chip.yaml").read_text()
        if rng.random() < 0.25:
            (work / "chip.yaml").write_bytes(m.of_bytes(rng, text.encode()))
            return
        tree = m.of_tree(rng, yaml.safe_load(text))
        if rng.random() < 0.5:
            tree = _number(rng, tree)
        try:
            made = yaml.safe_dump(tree, allow_unicode=True)
        except (RecursionError, ValueError, UnicodeError, yaml.YAMLError):
            made = "[" * 5000
        (work / "chip.yaml").write_text(made, encoding="utf-8", errors="replace")

    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Show it, deploy for it, run on it in both timings."""
        data = ("--calibrate", self.home / "x.npz", "--timesteps", 4, "--dt", 1e-3, "--chip", work / "chip.yaml")
        b = work / "b"
        return [
            ("deploy", self.home / "net.nir", *data, "--out", b),
            ("run", b, "--limit", 2),
            ("run", b, "--limit", 1, "--timing", "cycle"),
            ("report", b, "--limit", 1, "--html", work / "r.html"),
        ]


def _number(rng: Random, tree: Any) -> Any:
    """Give one limit or price another number."""
    try:
        part = tree[m.pick(rng, ("mesh", "core", "timing"))]
        part[m.pick(rng, sorted(part))]["value"] = m.pick(rng, (0, -1, 1, 2, 3, 31, 10**6, 10**20, 0.5))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        return tree
    return tree


class Bundle(Format):
    """A bundle, changed by somebody who knows how it is sealed."""

    def whole(self, work: Path) -> None:
        """Copy the one with most in it."""
        shutil.copytree(self.home / "ma-digits", work / "b")

    def prepare(self) -> None:
        """Write a small one, and one with gates and a host part."""
        import spikewright as sw

        tiny_bundle(self.home / "tiny")
        for net, gates in (("ma-digits", "causal"), ("gac-digits", "host")):
            made = sw.deploy(net, gates=gates)
            bundle.save(made, self.home / net)
            path = self.home / net / "samples.npz"
            arrays = m.unpacked(path.read_bytes())
            path.write_bytes(m.npz(arrays | {k: arrays[k][:, :4] if k == "x" else arrays[k][:4] for k in ("x", "y")}))
            _reseal(self.home / net, json.loads((self.home / net / manifest.NAME).read_text()))

    def change(self, rng: Random, work: Path) -> None:
        """Change the manifest, a graph, the program, an array, or what kind of file something is."""
        folder = work / "b"
        shutil.copytree(self.home / m.pick(rng, ("tiny", "ma-digits", "gac-digits")), folder)
        found = json.loads((folder / manifest.NAME).read_text())
        names = sorted(f.name for f in folder.iterdir())
        match int(rng.integers(8)):
            case 0:
                changed = m.of_tree(rng, {k: v for k, v in found.items() if k != "sha256"})
                if not isinstance(changed, dict):
                    (folder / manifest.NAME).write_bytes(m.as_json(changed))
                    return
                found = changed | {"sha256": found["sha256"]}
            case 1:
                path = folder / m.pick(rng, names)
                path.write_bytes(m.of_bytes(rng, path.read_bytes()))
            case 2:
                _other_kind(rng, folder / m.pick(rng, names))
            case 3:
                found["sha256"] = m.of_tree(rng, found["sha256"])
                text = m.as_json(found)
                (folder / manifest.NAME).write_bytes(text)
                return
            case 4 | 5:
                _program(rng, folder)
            case _:
                _graph(rng, folder / m.pick(rng, [n for n in names if n.endswith(".npz") and n != "program.npz"]))
        if rng.random() < 0.95 and (folder / manifest.NAME).is_file():
            _reseal(folder, found)

    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Run, check, compare and report it."""
        b = work / "b"
        return [
            ("run", b, "--limit", 2),
            ("check", b),
            ("compare", b, "--limit", 1),
            ("report", b, "--limit", 1, "--html", work / "r.html", "--csv", work / "r.csv"),
            ("run", b, "--limit", 1, "--backend", "interpreter", "--numbers", "float"),
        ]


def _reseal(folder: Path, found: Any) -> None:
    if not isinstance(found, dict):
        (folder / manifest.NAME).write_bytes(m.as_json(found))
        return
    try:
        made = manifest.sealed(found, folder)
    except (RecursionError, ValueError, TypeError, OSError):
        made = m.as_json(found)
    (folder / manifest.NAME).write_bytes(made)


def _other_kind(rng: Random, path: Path) -> None:
    path.unlink()
    match int(rng.integers(5)):
        case 0:
            path.symlink_to("/dev/zero")
        case 1:
            os.mkfifo(path)
        case 2:
            path.mkdir()
        case 3:
            path.symlink_to(path.parent / "lowered.npz")


def _program(rng: Random, folder: Path) -> None:
    import hashlib

    plain = json.loads((folder / "program.json").read_text())
    if rng.random() < 0.5:
        plain["value"] = m.of_tree(rng, plain["value"])
    else:
        arrays = m.unpacked((folder / "program.npz").read_bytes())
        name = m.pick(rng, sorted(arrays))
        arrays[name] = m.of_array(rng, arrays[name])
        (folder / "program.npz").write_bytes(m.npz(arrays))
        plain["npz_sha256"] = hashlib.sha256((folder / "program.npz").read_bytes()).hexdigest()
    (folder / "program.json").write_bytes(m.as_json(plain))


def _graph(rng: Random, path: Path) -> None:
    arrays = m.unpacked(path.read_bytes())
    key = "structure" if "structure" in arrays else "about"
    if rng.random() < 0.6:
        tree = m.of_tree(rng, json.loads(arrays[key].tobytes()))
        arrays[key] = np.frombuffer(m.as_json(tree), np.uint8)
    else:
        name = m.pick(rng, sorted(arrays))
        arrays[name] = m.of_array(rng, arrays[name])
    path.write_bytes(m.npz(arrays))


class Checkpoint(Format):
    """A checkpoint of torch.save, as ``spikewright import`` takes it."""

    def whole(self, work: Path) -> None:
        """Copy the newer form."""
        shutil.copy(self.home / "new.pth", work / "net.pth")

    def prepare(self) -> None:
        """Write one with a few tensors (no whole net: every key is refused by name or read)."""
        import torch

        state = {"net": {"module.conv.weight": torch.zeros(4, 2, 3, 3), "module.fc.bias": torch.ones(5)}, "epoch": 3}
        torch.save(state, self.home / "new.pth")
        torch.save(state, self.home / "old.pth", _use_new_zipfile_serialization=False)

    def change(self, rng: Random, work: Path) -> None:
        """Change its bytes."""
        data = (self.home / m.pick(rng, ("new.pth", "old.pth"))).read_bytes()
        (work / "net.pth").write_bytes(m.of_bytes(rng, data) if rng.random() < 0.9 else rng.bytes(200))

    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Import it."""
        return [("import", work / "net.pth", "--as", "gac-cifar10", "--out", work / "out.safetensors")]


class Factory(Format):
    """A Python file with a factory."""

    def whole(self, work: Path) -> None:
        """Write the one that works."""
        (work / "net.py").write_text(SOURCES[0])

    def prepare(self) -> None:
        """Write data."""
        np.savez(self.home / "x.npz", x=(np.random.default_rng(0).random((4, 6, 5)) < 0.5).astype(np.float32))

    def change(self, rng: Random, work: Path) -> None:
        """Write one of many sources, maybe with a line lost, doubled or moved."""
        lines = str(m.pick(rng, SOURCES)).splitlines() or [""]
        if rng.random() < 0.5:
            at = int(rng.integers(len(lines)))
            lines[at : at + 1] = m.pick(rng, ([], [lines[at]] * 2, [lines[at][1:]], [lines[at] + " ("]))
        (work / "net.py").write_text("\n".join(lines), encoding="utf-8", errors="replace")

    def commands(self, work: Path) -> list[tuple[object, ...]]:
        """Deploy and run."""
        words = ("deploy", f"{work / 'net.py'}:make", "--calibrate", self.home / "x.npz", "--out", work / "b")
        return [words, ("run", work / "b", "--limit", 2)]


def read_set(folder: Path) -> Answer:
    """Read the test split of a data set as a verb would."""
    from spikewright.models import datasets
    from spikewright.toolchain.cli.main import described

    try:
        datasets.load("mnist", split="test", root=folder, timesteps=2)
    except BaseException as error:
        return Answer(2, str(described(error)))
    return Answer(0, "")


RUN: dict[str, Callable[..., Answer]] = {"read-set": read_set}
FORMATS: dict[str, type[Format]] = {
    "nir": Nir, "net": Net, "safetensors": Safetensors, "npz": Npz, "idx": Idx, "chip": Chip, "bundle": Bundle,
    "checkpoint": Checkpoint, "factory": Factory,
}  # fmt: skip
WEIGHTS = {
    "nir": 4,
    "net": 3,
    "safetensors": 3,
    "npz": 4,
    "idx": 2,
    "chip": 4,
    "bundle": 5,
    "checkpoint": 2,
    "factory": 2,
}
"""How many cases of each, relative."""
