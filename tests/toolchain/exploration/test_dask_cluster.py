"""A Dask cluster makes the table that one process makes, also when a worker is killed; nobody at the address is an error."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Cli

from spikewright.toolchain.exploration import explore
from spikewright.toolchain.exploration.space import Axes

distributed = pytest.importorskip("distributed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # Dask's own are not ours to mend

AXES: Axes = {"gates": ("causal", "static"), "weight_bits": (8, 4), "mapping": ("greedy", "vendor")}


@pytest.fixture
def cluster() -> Iterator[object]:
    made = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
    yield made
    made.close()


def test_a_cluster_that_loses_a_worker_makes_the_same_table(tmp_path: Path, cluster: object) -> None:
    killed: list[int] = []

    def progress(done: int, total: int) -> None:
        if done >= 2 and not killed:
            killed.append(next(iter(cluster.workers.values())).pid)  # type: ignore[attr-defined]
            os.kill(killed[0], signal.SIGKILL)

    address = cluster.scheduler_address  # type: ignore[attr-defined]
    alone = explore("tcja-digits", axes=AXES, limit=10, out=tmp_path / "alone.sqlite")
    there = explore(
        "tcja-digits", axes=AXES, limit=10, out=tmp_path / "there.sqlite", scheduler=address, progress=progress
    )  # fmt: skip

    assert killed
    assert len(there.measured) == 8
    assert there.rows() == alone.rows()


def test_nobody_at_the_address_is_an_error_with_help(cli: Cli, tmp_path: Path) -> None:
    stderr = cli.refused("explore", "tcja-digits", "--out", tmp_path / "x.sqlite", "--scheduler", "tcp://127.0.0.1:9")

    assert "--scheduler tcp://127.0.0.1:9: no Dask scheduler answers" in stderr
    assert "dask worker ADDRESS" in stderr
    assert not (tmp_path / "x.sqlite").exists()
