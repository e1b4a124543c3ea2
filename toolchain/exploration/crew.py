"""A crew: who evaluates the groups of an exploration. Here: this process alone; elsewhere processes, or a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.exploration.job import Evaluator, Group, Job
from spikewright.toolchain.exploration.point import Point, Refused

ATTEMPTS = 3
"""Workers that may die over one group before it is given up."""


@dataclass(frozen=True)
class Lost:
    """A configuration over which every worker died; nothing is known of it, and nothing is kept."""

    why: str

    def as_point(self) -> Refused:
        """Return the row it has in the table."""
        return Refused(
            f"{ATTEMPTS} workers died over it ({self.why})",
            "worker",
            "give the workers more memory, or fewer of them (--workers 1); the same command tries again",
        )


Outcome = Point | Lost


@dataclass(frozen=True)
class Done:
    """What a worker process says: a configuration is evaluated."""

    number: int
    point: Point


@dataclass(frozen=True)
class Failed:
    """What it says where something else than the configuration is wrong."""

    what: str
    traceback: str


class Crew(Protocol):
    """Evaluates groups in any order; a worker that is lost costs time, and no result."""

    def outcomes(self, job: Job, groups: Sequence[Group]) -> Iterator[tuple[int, Outcome]]:
        """Yield (number of the configuration, outcome) of all of them, as they are known.

        Raises:
            BackendError: No worker can be had.
        """
        ...


class Alone:
    """This process."""

    def outcomes(self, job: Job, groups: Sequence[Group]) -> Iterator[tuple[int, Outcome]]:
        """Evaluate one group after the other."""
        evaluator = Evaluator(job)
        for group in groups:
            yield from evaluator.group(group)


CLUSTERS = "spikewright.clusters"
"""Group of entry points: a crew by the address of a scheduler."""


def cluster_at(address: str) -> Crew:
    """Return the crew of a scheduler.

    Raises:
        BackendError: What it needs is not installed, or nobody answers at the address.
    """
    points = sorted(entry_points(group=CLUSTERS), key=lambda point: point.name)
    if not points:
        raise BackendError(
            "no kind of cluster is installed", where="--scheduler", help="pip install 'spikewright[dask]'"
        )
    try:
        made: Crew = points[0].load()(address)
    except ModuleNotFoundError as error:
        raise BackendError(
            f"needs {error.name}, which is not installed", where="--scheduler", help="pip install 'spikewright[dask]'"
        ) from error
    return made
