"""The one place where numba is asked for: a typed decorator each for scalar, serial and parallel kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

prange = numba.prange
int32 = numba.int32
int64 = numba.int64


def kernel(function: F) -> F:
    """Compile a serial kernel to machine code; the result is cached on disk."""
    return cast(F, numba.njit(cache=True, nogil=True)(function))


def parallel_kernel(function: F) -> F:
    """Compile a kernel whose ``prange`` loops share the processor cores; the result is cached on disk."""
    return cast(F, numba.njit(cache=True, parallel=True, nogil=True)(function))
