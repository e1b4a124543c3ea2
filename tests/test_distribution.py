"""The sdist and the wheel are complete: a wheel built from the sdist is the one built from the tree, file by file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("hw_sim", "toolchain", "models", "export")
DATA = {
    "hw_sim/chips": ("*.yaml",),
    "models/zoo": ("*.safetensors", "*.json", "*.png"),
    "toolchain": (
        "analysis/prices/*.yaml",
        "cli/demo_nets/*",
    ),
}
BUILT_HERE = (".git", ".venv", ".*_cache", "build", "dist", "*.egg-info", "__pycache__")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository without what was built in it."""
    copy = tmp_path_factory.mktemp("tree") / "spikewright"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*BUILT_HERE))
    return copy


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    code = f"import setuptools.build_meta as build; build.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True, timeout=300)
    (file,) = folder.iterdir()
    return file


def wheel(source: Path, folder: Path) -> dict[str, int]:
    """Build a wheel of a source folder; return each file's checksum by name."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=300)
    (file,) = folder.glob("spikewright-*.whl")
    with zipfile.ZipFile(file) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


@pytest.fixture(scope="module")
def of_tree(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    return wheel(tree, tmp_path_factory.mktemp("of-tree"))


def shipped() -> set[str]:
    """Return the names of all files of the packages that a user needs."""
    files = {path for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    files |= {path for folder, kinds in DATA.items() for kind in kinds for path in (ROOT / folder).glob(kind)}
    names = {f"spikewright/{path.relative_to(ROOT).as_posix()}" for path in files}
    return names | {"spikewright/__init__.py", "spikewright/command.py", "spikewright/py.typed"}


def test_the_wheel_holds_the_packages_and_nothing_else(of_tree: dict[str, int]) -> None:
    assert {name for name in of_tree if not name.startswith("spikewright-")} == shipped()


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_tree(of_tree: dict[str, int], sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()

    of_sdist = wheel(unpacked, tmp_path / "of-sdist")

    assert sorted(of_sdist) == sorted(of_tree)
    assert {n for n in of_tree if of_sdist[n] != of_tree[n] and not n.endswith("/RECORD")} == set()
    assert any(name.endswith("licenses/LICENSE") for name in of_tree)


def test_the_sdist_has_its_texts_and_neither_links_nor_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}

    assert {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "pyproject.toml"} <= names
    assert [member.name for member in members if member.issym() or member.islnk()] == []
    assert [name for name in names if name.startswith("tests")] == []
    assert {f"src/{name}" for name in shipped()} <= names
