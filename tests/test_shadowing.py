"""A user's own folders named as ours, beside the script: command line, library and the network of a page work from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "data.md").read_text(encoding="utf-8")
NAMES = ("models", "export", "toolchain", "hw_sim")
SCRIPT = """
import models, export, toolchain, hw_sim
assert all(m.MINE for m in (models, export, toolchain, hw_sim))
import torch
import spikewright as sw
from my_net import make

made = sw.deploy(*make(), gates="auto")
assert made.check().ok and made.compare().equal
assert made.run(limit=2).answer.shape == (2, 2)
made.save("from_script")
assert models.MINE and "spikewright.models.layers" in sys.modules
print(repr(sw.load("from_script")))
"""


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """Return a folder with packages of the user's own, and the network of a page."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
    (program,) = re.findall(r'```python title="my_net.py"\n(.*?)```', PAGE, flags=re.DOTALL)
    (tmp_path / "my_net.py").write_text(program)
    return tmp_path


def run(folder: Path, *words: str, path: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_library_and_command_line_work_beside_packages_of_the_same_names(beside: Path) -> None:
    (beside / "script.py").write_text("import sys\n" + SCRIPT)
    command = str(Path(sys.executable).parent / "spikewright")

    assert run(beside, sys.executable, "script.py").startswith("<Deployment Net on loihi2")
    run(beside, sys.executable, "my_net.py")
    words = ("--calibrate", "train.npz", "--samples", "test.npz", "--out", "net")
    run(beside, command, "deploy", "my_net.py:make", *words, path=str(beside))


def test_nothing_but_our_root_is_installed() -> None:
    files = distribution("spikewright").files or []
    tops = {file.parts[0] for file in files if ".." not in file.parts}

    assert tops
    assert [top for top in tops if top in NAMES] == []
