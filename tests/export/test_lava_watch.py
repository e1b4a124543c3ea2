"""A Lava run that dies or hangs is an error with its reason, in seconds, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest

from spikewright.export.lava.nodes import Edge, Node, Plan, save
from spikewright.export.lava.watch import Child, Job
from spikewright.hw_sim import Lif
from spikewright.toolchain.errors import BackendError

pytestmark = pytest.mark.lava
CLOCK = {"start": 0, "period": 4, "timesteps": 4, "samples": 1}


def lif(name: str) -> Node:
    soma = Lif(*(np.zeros(1, np.int64) for _ in range(5)))
    arguments = {"size": 2, "clock": CLOCK, "soma": soma, "gate_sizes": (), "gate_index": (), "files": {}}
    return Node(name, "neuron", arguments)


def run(folder: Path, nodes: tuple[Node, ...], edges: tuple[Edge, ...], stall_s: float) -> None:
    save(Plan(nodes, edges, {}, 4, 4), folder)
    Child(folder, [Job(1, 4, 4)], stall_s, None).watch()


def left_over(folder: Path) -> str:
    """Return the processes that still name the folder on their command line."""
    found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in found.splitlines() if str(folder) in line)


def test_a_dying_process_model_is_an_error_with_its_traceback(tmp_path: Path) -> None:
    feed = Node("x", "feed", {"size": 2, "path": str(tmp_path / "missing.npy"), "clock": CLOCK})
    began = monotonic()

    with pytest.raises(BackendError, match=r"(?s)FeedModel|models\.py.*FileNotFoundError.*missing\.npy"):
        run(tmp_path, (feed, lif("l")), (Edge("x", "l", "a_in"),), stall_s=300.0)

    assert monotonic() - began < 60  # far below the stall
    assert left_over(tmp_path) == ""


def test_a_plan_that_cannot_be_built_is_an_error_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no_such_process"):
        run(tmp_path, (Node("x", "no_such_process", {}),), (), stall_s=300.0)


@pytest.mark.slow
def test_a_deadlock_is_killed_and_reported(tmp_path: Path) -> None:
    """Two neurons that wait for each other: a cycle without a synapse."""
    edges = (Edge("a", "b", "a_in"), Edge("b", "a", "a_in"))

    with pytest.raises(BackendError, match="no progress for 20 s"):
        run(tmp_path, (lif("a"), lif("b")), edges, stall_s=20.0)

    assert left_over(tmp_path) == ""
    names = (tmp_path / "shm.txt").read_text().split()
    assert names
    assert not [name for name in names if (Path("/dev/shm") / name).exists()]


def test_importing_export_brings_neither_lava_nor_torch() -> None:
    code = "import sys; from spikewright.export import lava; lava.LavaBackend(); print({'lava', 'torch'} & set(sys.modules))"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "set()"


def test_a_timeline_counts_samples_that_have_left_the_net() -> None:
    job = Job(samples=3, period=5, steps=3 * 5 + 2)  # T = 5, the last layer starts at step 2

    assert [job.done(steps) for steps in (0, 6, 7, 12, 17, 99)] == [0, 0, 1, 2, 3, 3]


def test_a_run_leaves_no_folder_and_no_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere, shared = tmp_path / "tmp", tmp_path / ("job" * 40)  # long: a socket's path may have 107 bytes
    elsewhere.mkdir()
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    np.save(shared / "x.npy", np.zeros((1, 4, 2), np.int64))
    feed = Node("x", "feed", {"size": 2, "path": str(shared / "x.npy"), "clock": CLOCK})

    run(shared, (feed, lif("l")), (Edge("x", "l", "a_in"),), stall_s=60.0)

    assert list(elsewhere.iterdir()) == []
    names = (shared / "shm.txt").read_text().split()
    assert names
    assert not [name for name in names if (Path("/dev/shm") / name).exists()]


@pytest.mark.parametrize("wait_s", [0.3, 2.5])
def test_a_child_whose_parent_is_killed_ends_and_cleans_up_at_any_time(tmp_path: Path, wait_s: float) -> None:
    """Two neurons that wait for each other never end by themselves."""
    edges = (Edge("a", "b", "a_in"), Edge("b", "a", "a_in"))
    save(Plan((lif("a"), lif("b")), edges, {}, 4, 4), tmp_path)
    code = (
        "import sys; from pathlib import Path; from spikewright.export.lava.watch import Child, Job; "
        "Child(Path(sys.argv[1]), [Job(1, 4, 4)], 100.0, None).watch()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    while not (tmp_path / "output.txt").exists():
        sleep(0.05)
    sleep(wait_s)

    parent.kill()
    parent.wait()
    until = monotonic() + 30
    while (left_over(tmp_path) or tmp_path.exists()) and monotonic() < until:
        sleep(0.1)

    assert left_over(tmp_path) == ""
    assert not tmp_path.exists()
