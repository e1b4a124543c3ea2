"""A user's own attention block, installed beside us, bit for bit on Lava; its tutorial, tested too, shows the rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_block"
LONGEST = 130
"""Lines that a block of one's own may take, torch module included."""

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from depth_gate.module import make
from spikewright.export.torch_to_nir import capture
from spikewright.toolchain import bundle, nirx
from spikewright.toolchain.cli import main
from spikewright.toolchain.from_nir import from_nir

out, file = Path(sys.argv[1]), sys.argv[2]
net, example = make()
nirx.write(out / "net.nir", capture(net, example))
graph = from_nir(nirx.read(out / "net.nir"))
found = {"captured": type(graph["1"]).__name__, "codes": {}}
for gates in ("causal", "static"):
    made = str(out / gates)
    words = ["--calibrate", str(out / "x.npz"), "--samples", str(out / "x.npz"), "--gates", gates, "--out", made]
    commands = {"deploy": ["deploy", file, *words], "check": ["check", made]}
    if gates == "causal":
        commands["compare"] = ["compare", made, "--backends", "interpreter", "hw_sim", "lava", "--limit", "2"]
    found["codes"][gates] = {name: main(command) for name, command in commands.items()}
    found[gates] = sorted({type(op).__name__ for op in bundle.load(Path(made)).lowered})
Path(sys.argv[3]).write_text(json.dumps(found))
"""


def installed(folder: Path) -> Path:
    """Put the package and its entry points where an installer would."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "depth_gate", folder / "depth_gate")
    info = folder / f"depth_gate-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    return folder


def test_the_example_is_short() -> None:
    lines = [len(path.read_text().splitlines()) for path in (EXAMPLE / "depth_gate").glob("*.py")]

    assert len(lines) == 3
    assert sum(lines) <= LONGEST


@pytest.mark.slow
@pytest.mark.lava
def test_a_block_of_ones_own_goes_from_torch_to_lava(tmp_path: Path) -> None:
    site = installed(tmp_path / "site")
    np.savez(tmp_path / "x.npz", x=(np.random.default_rng(0).random((8, 6, 2, 6, 6)) < 0.4).astype(np.float32))
    words = [tmp_path, f"{site / 'depth_gate' / 'module.py'}:make", tmp_path / "found.json"]

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["captured"] == "DepthGate"
    good = {"deploy": 0, "check": 0}
    assert found["codes"] == {"causal": good | {"compare": 0}, "static": good}, done.stdout + done.stderr
    assert "GateNeuron" in found["causal"]
    assert "GateTable" in found["static"]
    assert "depth-gate" in done.stdout
