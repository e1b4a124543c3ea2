"""``spikewright doctor``: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
from argparse import Namespace, _SubParsersAction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from spikewright.hw_sim.errors import SpikewrightError
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import no_file
from spikewright.toolchain.plugins import points

CORE = ("spikewright", "numpy", "numba", "nir", "h5py", "PyYAML", "rich")
OPTIONAL = (
    ("torch", "train, and deploy of torch nets", "pip install 'spikewright[models]'"),
    ("scikit-learn", "data set digits", "pip install 'spikewright[models]'"),
    ("safetensors", "checkpoints", "pip install 'spikewright[models]'"),
    ("tonic", "event data sets", "pip install 'spikewright[models]'"),
    ("onnx", "ONNX files of the host part", "pip install 'spikewright[onnx]'"),
    ("distributed", "explore on a Dask cluster", "pip install 'spikewright[dask]'"),
    (
        "lava-nc",
        "backend lava",
        "pip install asteval h5py matplotlib 'networkx>=2.8.7' psutil scikit-learn scipy && "
        "pip install --no-deps --ignore-requires-python lava-nc==0.10.0 lava-dl==0.6.0",
    ),
)
"""Distribution, what it is for, and the command that installs it."""
GROUPS = ("backends", "importers", "exporters", "blocks", "passes", "datasets", "commands", "clusters")
"""Groups of entry points, each ``spikewright.<group>``."""


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("doctor", help="what is installed, what is missing, and the command that mends it")
    parser.add_argument("--data", type=no_file, metavar="DIR", help="also list the data in this folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Look around."""
    data = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": {name: _version(name) for name in CORE},
        "optional": [
            {"package": name, "version": _version(name), "for": what, "install": command}
            for name, what, command in OPTIONAL
        ],
        "plugins": {group: _plugins(f"spikewright.{group}") for group in GROUPS},
        "datasets": _datasets(),
        "data": _folders(arguments.data),
    }
    return Outcome(text=_text(data), data=data)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _plugins(group: str) -> list[str]:
    return sorted({point.name for point in points(group)})


def _datasets() -> dict[str, str]:
    """Say of each data set whether its test split loads, or why not."""
    found = {}
    for point in points("spikewright.datasets"):
        try:
            loaded = point.load()(point.name, split="test", timesteps=1)
            found[point.name] = f"{loaded.x.shape[1]} test samples"
        except (ImportError, SpikewrightError) as error:
            found[point.name] = f"missing: {error}"
    return found


def _folders(folder: Path | None) -> list[str] | None:
    return None if folder is None else sorted(path.name for path in folder.iterdir() if path.is_dir())


def _text(data: dict[str, Any]) -> str:
    lines = [f"python {data['python']} on {data['platform']}, {data['cpus']} CPUs"]
    lines += [f"  {name:14} {found or 'missing'}" for name, found in data["versions"].items()]
    for row in data["optional"]:
        lines.append(f"  {row['package']:14} {row['version'] or 'missing'}  ({row['for']})")
        if row["version"] is None:
            lines.append(f"    help: {row['install']}")
    lines += [f"  {group}: {', '.join(names) or 'none'}" for group, names in data["plugins"].items()]
    lines += [f"  data set {name}: {state}" for name, state in data["datasets"].items()]
    if data["data"] is not None:
        lines.append(f"  data folder: {', '.join(data['data']) or 'empty'}")
    return "\n".join(lines)
