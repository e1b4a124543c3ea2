"""The child process: builds the planned net, runs it in short bursts, and tells the parent how far it is.

It shares a folder with its parent. In: ``plan.json``, ``plan.npz``, ``x.npy``. Out: recordings, ``status.jsonl`` (progress),
``errors.txt`` (tracebacks), ``shm.txt`` (names of shared memory, should the parent have to clean up).
"""

from __future__ import annotations

import json
import os
import signal
import traceback
from pathlib import Path
from shutil import rmtree
from threading import Thread
from time import monotonic, perf_counter, sleep
from typing import Any

from spikewright.export.lava.compat import prepare, report
from spikewright.export.lava.nodes import Plan, load

BURST_S = 0.5
"""Aimed length of a burst, in seconds: how often progress is told."""
LINGER_S = 60.0
"""Seconds the child waits to be killed after its last word."""


def main(folder: Path, parent: int) -> None:
    """Run the plan in ``folder``; never raises: a failure is written to ``errors.txt`` and ends the process.

    Args:
        folder: Shared with the parent.
        parent: Process id of the parent; the child ends when it is gone.
    """
    try:
        Thread(target=_die_with, args=(parent, folder), daemon=True).start()
        _run(folder)
    except BaseException:
        report(folder / "errors.txt", traceback.format_exc())
        os._exit(1)


def _run(folder: Path) -> None:
    plan = load(folder)
    net = _start(plan, folder)
    _tell(folder, event="started", at=monotonic())
    _bursts(net, plan.steps, folder)
    _tell(folder, event="done", at=monotonic())
    sleep(LINGER_S)  # to be killed: stopping Lava takes longer than being killed, and every recording is on disk


def _die_with(parent: int, folder: Path) -> None:
    """End the whole group as soon as the parent is gone: nobody is left to read the results, or to clean up."""
    while os.getppid() == parent:
        sleep(0.2)
    group = os.getpgrp()
    if os.fork() == 0:  # outside the group, to clean up when all others are dead
        try:
            os.setsid()
            os.killpg(group, signal.SIGKILL)
            sleep(0.2)
            unlink_shared_memory(folder)
            rmtree(folder, ignore_errors=True)  # the parent's temporary folder
        finally:
            os._exit(0)


def unlink_shared_memory(folder: Path) -> None:
    """Remove the shared memory that a killed group leaves."""
    names = folder / "shm.txt"
    for name in names.read_text().split() if names.exists() else ():
        (Path("/dev/shm") / name).unlink(missing_ok=True)


def _start(plan: Plan, folder: Path) -> Any:
    """Import Lava, build the net and start its processes."""
    prepare(folder / "errors.txt")
    from lava.magma.core.run_configs import Loihi2SimCfg

    from spikewright.export.lava.processes.process import Net

    note_shared_memory(folder / "shm.txt")
    net = Net(plan=plan)
    net.create_runtime(run_cfg=Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True))
    return net


def _bursts(net: Any, steps: int, folder: Path) -> None:
    """Run ``steps`` steps; each burst about as many as the one before says fit into ``BURST_S``."""
    from lava.magma.core.run_conditions import RunSteps

    done, burst = 0, 1
    while done < steps:
        burst = min(burst, steps - done)
        began = perf_counter()
        net.run(RunSteps(num_steps=burst))
        done += burst
        seconds = max(perf_counter() - began, 1e-6)
        burst = max(1, min(int(burst * BURST_S / seconds), 8 * burst))
        _tell(folder, event="steps", steps=done)


def _tell(folder: Path, **event: Any) -> None:
    with (folder / "status.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")


def note_shared_memory(names: Path) -> None:
    """Write down the name of every shared memory Lava makes: a killed group cannot unlink its own."""
    from lava.magma.runtime.message_infrastructure.shared_memory_manager import SharedMemoryManager

    create = SharedMemoryManager.create_shared_memory

    def noted(self: Any, size: int) -> Any:
        handle = create(self, size)
        with names.open("a") as file:
            file.write(handle.name + "\n")
        return handle

    SharedMemoryManager.create_shared_memory = noted
