"""The installed distribution: its names, entry points and data files; nothing heavy is needed to start."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points, requires
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("kind", ["backends", "importers", "exporters", "commands", "datasets"])
def test_every_entry_point_loads(kind: str) -> None:
    points = entry_points(group=f"spikewright.{kind}")

    assert points
    for point in points:
        assert callable(point.load())


def test_the_core_needs_neither_torch_nor_lava() -> None:
    core = [line for line in requires("spikewright") or [] if "extra ==" not in line]

    assert sorted(line.split(">")[0].split("=")[0].split("<")[0] for line in core) == [
        "h5py", "nir", "numba", "numpy", "pyyaml", "rich",
    ]  # fmt: skip


def test_the_command_line_starts_without_torch_lava_and_onnx() -> None:
    code = (
        "import sys\n"
        "from spikewright.toolchain.cli import build_parser\n"
        "build_parser().parse_args(['run', 'x'])\n"
        "found = {'torch', 'lava', 'onnx', 'sklearn', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(f'imported: {found}' if found else 0)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["toolchain", "models", "export", "hw_sim"])
def test_every_package_is_typed(package: str) -> None:
    assert files(package).joinpath("py.typed").is_file()


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {
        path.parent for name in ("toolchain", "models", "export", "hw_sim") for path in (ROOT / name).rglob("*.py")
    }

    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_lock_names_versions_only() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert "torch==2.13.0" in pins
    assert [line for line in pins if line.count("==") != 1 or "+" in line or "://" in line or "--hash" in line] == []
    assert [line for line in pins if line.startswith(("nvidia", "lava", "triton"))] == []


def test_our_tests_are_not_lavas() -> None:
    assert not (ROOT / "tests" / "__init__.py").exists()
    assert Path(sys.modules[__name__].__file__ or "").is_relative_to(ROOT / "tests")
