"""Let freed memory stay with the process: training frees and asks for the same large tensors at every step.

glibc maps tensors beyond 32 MiB anew each time, and the kernel then zeroes every page; on a CPU this can double a step's time.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's ``malloc.h``."""
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed, for the rest of the process; return whether it could be told."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
