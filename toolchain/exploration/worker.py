"""A worker: evaluates groups that it is given, by a call or over a socket: ``python -m ...exploration.worker FD``.

What comes over the socket is unpickled: its other end is the process that started this one.
"""

from __future__ import annotations

import sys
import threading
import traceback
from multiprocessing.connection import Connection

from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.exploration.crew import Done, Failed
from spikewright.toolchain.exploration.job import Evaluator, Group, unpack
from spikewright.toolchain.exploration.point import Point

_LATEST: dict[str, Evaluator] = {}
_TURN = threading.Lock()


def evaluated(key: str, packed: bytes, group: Group) -> list[tuple[int, Point]]:
    """Return the points of a group; the evaluator of the latest job stays, with what it remembers.

    Args:
        key: Of the job.
        packed: The job.
        group: What to evaluate.
    """
    with _TURN:  # a cluster's worker may have several threads
        if key not in _LATEST:
            _LATEST.clear()
            _LATEST[key] = Evaluator(unpack(packed))
        return list(_LATEST[key].group(group))


def serve(socket: Connection) -> None:
    """Evaluate groups until the other end closes.

    Raises:
        SystemExit: The other end is gone.
    """
    try:
        evaluator = Evaluator(unpack(socket.recv_bytes()))
        while True:
            for number, point in evaluator.group(socket.recv()):
                socket.send(Done(number, point))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except MemoryError:
        raise SystemExit(1) from None  # as good as killed: another worker tries
    except Exception as error:  # the last place to say what went wrong
        text = str(error) if isinstance(error, ToolchainError) else "".join(traceback.format_exception_only(error))
        socket.send(Failed(text.strip(), traceback.format_exc()))


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as given:
        serve(given)
