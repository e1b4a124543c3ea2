"""Explorations on a Dask cluster: the one place that imports Dask. A group is a task; what a lost worker had is done again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass

from distributed import Client, Future, KilledWorker, as_completed
from distributed.comm.core import CommClosedError

from spikewright.toolchain.errors import BackendError, ToolchainError
from spikewright.toolchain.exploration.crew import ATTEMPTS, Lost, Outcome
from spikewright.toolchain.exploration.job import Group, Job
from spikewright.toolchain.exploration.point import Point
from spikewright.toolchain.exploration.worker import evaluated

ANSWER_S = 10.0
"""Seconds that a scheduler has to answer."""
Points = list[tuple[int, Point]]
LOST = (KilledWorker, CancelledError, CommClosedError, MemoryError)
"""What a future says whose worker, or whose data, is gone."""


@dataclass(eq=False)
class DaskCluster:
    """A crew: the workers of a scheduler, however many there are at the time.

    Args:
        address: Of the scheduler.

    Raises:
        BackendError: Nobody answers there.
    """

    address: str

    def __post_init__(self) -> None:
        """Ask for an answer before any work."""
        try:
            with Client(self.address, timeout=ANSWER_S, set_as_default=False):
                pass
        except (OSError, ValueError) as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> BackendError:
        return BackendError(
            f"no Dask scheduler answers within {ANSWER_S:g} s ({type(error).__name__})",
            where=f"--scheduler {self.address}",
            help="start one with `dask scheduler`, workers with `dask worker ADDRESS`, and give the address it prints",
        )

    def outcomes(self, job: Job, groups: Sequence[Group]) -> Iterator[tuple[int, Outcome]]:
        """Submit every group, and hand on what comes back; see ``Crew``.

        Raises:
            BackendError: The scheduler is lost, or a worker runs other code.
        """
        packed = job.pack()
        with Client(self.address, timeout=ANSWER_S, set_as_default=False) as client:
            data = client.scatter(packed, broadcast=True)
            under_way = {
                self._submit(client, job, data, group, attempt=0): (group, 0) for group in groups
            }  # fmt: skip
            waiting = as_completed(list(under_way), loop=client.loop)
            for future in waiting:
                group, died = under_way.pop(future)
                error = None if future.status == "finished" else _error(future)
                if error is None:
                    yield from future.result()
                elif isinstance(error, ToolchainError) or not isinstance(error, LOST):
                    raise error
                elif died + 1 < ATTEMPTS:
                    data = client.scatter(packed, broadcast=True)  # it may have been lost as well
                    again = self._submit(client, job, data, group, attempt=died + 1)
                    under_way[again] = (group, died + 1)
                    waiting.add(again)
                else:
                    yield from ((number, Lost(type(error).__name__)) for number, _ in group)

    @staticmethod
    def _submit(client: Client, job: Job, data: Future[bytes], group: Group, attempt: int) -> Future[Points]:
        return client.submit(
            evaluated, job.key, data, group, key=f"explore-{job.key[:12]}-{group[0][0]}-{attempt}", pure=False
        )


def _error(future: Future[Points]) -> BaseException | None:
    """Return why a future has no result."""
    return CancelledError() if future.status in ("cancelled", "lost") else future.exception()
