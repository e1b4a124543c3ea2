"""The installed distribution: its names, entry points and data files; nothing heavy is needed to start."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import entry_points, packages_distributions, requires
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("toolchain", "models", "export", "hw_sim")


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


def test_the_import_root_is_typed() -> None:
    assert files("spikewright").joinpath("py.typed").is_file()


def test_no_generic_top_level_package_is_installed() -> None:
    owned = {name for name, dists in packages_distributions().items() if "spikewright" in dists}

    assert owned <= {"spikewright"}
    for name in ("toolchain", "models", "export", "hw_sim"):
        assert (ROOT / "src" / "spikewright" / name).resolve() == ROOT / name


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for name in PACKAGES for path in (ROOT / name).rglob("*.py")}

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


def test_importing_a_package_by_its_bare_name_is_a_lint_error() -> None:
    code = "import toolchain\nimport hw_sim.chip\nfrom models.layers import Linear\nfrom export import lava\n"
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--select",
        "TID251",
        "--stdin-filename",
        "x.py",
        "-",
    ]

    done = subprocess.run(command, input=code, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert done.stdout.count("the import root is spikewright") >= 4


def test_no_package_is_looked_up_by_its_bare_name() -> None:
    """``files("hw_sim")`` works beside the source only: what linters do not see, a string."""
    bare = []
    for name in PACKAGES:
        for path in (ROOT / name).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Attribute(attr="files" | "import_module") | ast.Name(id="files" | "import_module"),
                        args=[ast.Constant(value=str(target)), *_],
                    ) if target.split(".")[0] in PACKAGES:
                        bare.append(f"{path.relative_to(ROOT)}:{node.lineno}: {target}")

    assert bare == []
