"""The one place where numba is asked for, and how kernels share the processor: row ranges on Python threads.

Kernels are serial and release the interpreter lock. numba's own parallel loops spin while they wait, which costs milliseconds
a call on a busy machine; a thread pool that only long calls go to does not.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, cast

import numba

int32 = numba.int32
int64 = numba.int64

WORTH_SPLITTING = 1 << 20
"""Elements a call must touch before threads are worth their 0.1 ms."""


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel to machine code that releases the interpreter lock; cached on disk where possible."""
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder to cache in can be written: neither beside the file nor in the user's home
        compiled = numba.njit(nogil=True)(function)
    return cast(Callable[..., Any], compiled)


class Threads:
    """Splits kernel calls over threads; one thread runs everything in place."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pool = ThreadPoolExecutor(count) if count > 1 else None

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown()

    def split(self, call: Callable[[int, int], object], rows: int, elements: int) -> None:
        """Call ``call(start, stop)`` over ``rows``, in pieces if ``elements`` of work are worth it."""
        if self.pool is None or rows < 2 or elements < WORTH_SPLITTING:
            call(0, rows)
            return
        pieces = min(rows, 4 * self.count)
        edges = [rows * k // pieces for k in range(pieces + 1)]
        for done in [self.pool.submit(call, a, b) for a, b in pairwise(edges)]:
            done.result()
