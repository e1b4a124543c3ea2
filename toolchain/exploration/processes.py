"""Worker processes on this machine: each is a Python of its own behind a socket; one that dies is replaced, its group redone.

They end when this process does, however it ends: the socket closes. They are in a session of their own, so that ctrl-C in a
terminal reaches the exploration alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.exploration.crew import ATTEMPTS, Done, Failed, Lost, Outcome
from spikewright.toolchain.exploration.job import Group, Job

GRACE_S = 5.0
"""Seconds that a worker has to end by itself."""
THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Where numeric libraries read how many threads to start."""


@dataclass(eq=False)
class _Worker:
    """One process, its end of the socket, and what it is at."""

    process: subprocess.Popen[bytes]
    socket: Connection
    group: Group = ()
    left: set[int] = field(default_factory=set)
    died: int = 0

    def give(self, group: Group, died: int) -> None:
        """Let it evaluate a group, over which so many workers died."""
        self.group, self.left, self.died = group, {number for number, _ in group}, died
        with contextlib.suppress(OSError):  # it died: `wait` sees that
            self.socket.send(group)

    def end(self) -> None:
        self.socket.close()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Processes:
    """A crew of processes.

    Args:
        count: How many.
    """

    count: int

    def outcomes(self, job: Job, groups: Sequence[Group]) -> Iterator[tuple[int, Outcome]]:
        """Deal the groups out, and hand on what comes back; see ``Crew``.

        Raises:
            BackendError: A worker cannot be started, or fails by a fault.
        """
        packed = job.pack()
        waiting: deque[tuple[Group, int]] = deque((group, 0) for group in groups)
        workers = [self._start(packed) for _ in range(min(self.count, len(groups)))]
        try:
            idle = list(workers)
            while waiting or any(worker.left for worker in workers):
                while idle and waiting:
                    idle.pop().give(*waiting.popleft())
                for worker in self._heard(workers):
                    try:
                        number, outcome = self._read(worker)
                    except (EOFError, OSError):
                        workers.remove(worker)
                        yield from self._lost(worker, waiting)
                        fresh = self._start(packed)
                        workers.append(fresh)
                        idle.append(fresh)
                        continue
                    worker.left.discard(number)
                    yield number, outcome
                    if not worker.left:
                        idle.append(worker)
        finally:
            for worker in workers:
                if worker.left:
                    worker.process.kill()
                worker.end()

    def _heard(self, workers: list[_Worker]) -> list[_Worker]:
        heard = set(map(id, wait([worker.socket for worker in workers if worker.left])))
        return [worker for worker in workers if worker.left and id(worker.socket) in heard]

    def _read(self, worker: _Worker) -> tuple[int, Outcome]:
        said = worker.socket.recv()
        if isinstance(said, Failed):
            raise BackendError(
                f"failed by a fault of spikewright: {said.what}",
                where=f"worker {worker.process.pid}",
                help=f"please report it, with the command and this:\n{said.traceback}",
            )
        assert isinstance(said, Done)
        return said.number, said.point

    def _lost(self, worker: _Worker, waiting: deque[tuple[Group, int]]) -> Iterator[tuple[int, Outcome]]:
        """Give the rest of a dead worker's group to another one, or up."""
        rest = tuple(one for one in worker.group if one[0] in worker.left)
        worker.end()
        if worker.died + 1 < ATTEMPTS:
            waiting.appendleft((rest, worker.died + 1))
            return
        code = worker.process.returncode
        why = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        yield from ((number, Lost(why)) for number, _ in rest)

    def _start(self, packed: bytes) -> _Worker:
        ours, theirs = Pipe()
        threads = str(max(1, (os.cpu_count() or 1) // self.count))
        given = {name: os.environ.get(name, threads) for name in THREADS}
        try:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", "spikewright.toolchain.exploration.worker", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                    env=os.environ | given,
                )
        except OSError as error:
            ours.close()
            raise BackendError(
                f"cannot be started ({error.strerror})", where="--workers", help="start fewer with --workers N"
            ) from error
        with contextlib.suppress(OSError):  # it died at once: `wait` sees that
            ours.send_bytes(packed)
        return _Worker(process, ours)
