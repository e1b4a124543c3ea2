"""Worker processes and kill -9: the table is the one that a single process makes, whoever dies."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tiny import tiny_graph, tiny_samples

from spikewright.hw_sim.chip import load_chip
from spikewright.toolchain import nirx
from spikewright.toolchain.content import code
from spikewright.toolchain.exploration import explore
from spikewright.toolchain.exploration.crew import ATTEMPTS, Lost
from spikewright.toolchain.exploration.job import Job, groups
from spikewright.toolchain.exploration.processes import Processes
from spikewright.toolchain.exploration.space import Axes, configurations
from spikewright.toolchain.options import Options
from spikewright.toolchain.to_nir import to_nir

pytestmark = pytest.mark.slow

AXES: Axes = {"weight_bits": (8, 7, 6, 5, 4, 3), "mapping": ("greedy", "vendor")}
DATA: dict[str, Any] = {"calibration": tiny_samples(), "samples": tiny_samples()}


def workers() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "exploration.worker" in " ".join(one.cmdline())]


def test_a_worker_that_is_killed_loses_no_result(tmp_path: Path) -> None:
    killed: list[int] = []

    def progress(done: int, total: int) -> None:
        if done == 2 and not killed:
            killed.append(workers()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    alone = explore(tiny_graph(), axes=AXES, out=tmp_path / "alone.sqlite", **DATA)
    some = explore(tiny_graph(), axes=AXES, out=tmp_path / "some.sqlite", workers=2, progress=progress, **DATA)

    assert killed
    assert some.rows() == alone.rows()
    assert workers() == []


def test_what_every_worker_dies_over_is_given_up_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_samples()
    job = Job("tiny", tiny_graph(), load_chip("loihi2"), Options(), data, data, {}, code=code())
    monkeypatch.setattr(sys, "executable", "/bin/false")
    numbered = list(enumerate(configurations({"mapping": ("greedy", "vendor")})))

    outcomes = dict(Processes(2).outcomes(job, groups(numbered)))

    assert outcomes == {0: Lost("exit code 1"), 1: Lost("exit code 1")}
    assert f"{ATTEMPTS} workers died over it (exit code 1)" in outcomes[0].as_point().what  # type: ignore[union-attr]


def test_killed_half_way_the_same_command_goes_on(tmp_path: Path) -> None:
    model, data, store = tmp_path / "net.nir", tmp_path / "data.npz", tmp_path / "net.sqlite"
    nirx.write(model, to_nir(tiny_graph()))
    np.savez(data, x=tiny_samples().x, y=tiny_samples().y)
    words = ["explore", model, "--samples", data, "--calibrate", data, "--out", store, "--workers", "2", "--json"]
    words += [f"--axis={name}={','.join(map(str, values))}" for name, values in AXES.items()]
    command = [str(Path(sys.executable).with_name("spikewright")), *map(str, words)]

    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while count(store) < 4 and first.poll() is None:
            time.sleep(0.05)
        children = psutil.Process(first.pid).children()
    finally:
        first.kill()
        first.wait()
    before = count(store)
    _, still = psutil.wait_procs(children, timeout=60)
    at_once = subprocess.run([*command, "--out", tmp_path / "other.sqlite"], capture_output=True, check=True)
    resumed = subprocess.run(command, capture_output=True, check=True)

    assert 4 <= before < 12
    assert still == []  # workers end with the process that started them
    assert resumed.stdout == at_once.stdout


def count(store: Path) -> int:
    if not store.exists():
        return 0
    file = sqlite3.connect(store)
    try:
        return int(file.execute("SELECT count(*) FROM point").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        file.close()
