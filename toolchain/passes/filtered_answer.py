"""The mean over T of a non-spiking read-out, on a neuron that filters once and sums: what it keeps, and its gain in each step.

    n = beta n + x                                  sum_t n[t]:  u = beta u + x,  v += u   or, once:  v += g[t] x
    u = alpha u + x;  n = beta n + u + leak         sum_t n[t]:  u = alpha u + x,  v += g[t] (u + leak)
    g[t] = 1 + beta + ... + beta^(T - 1 - t)        so many more steps hear of what came in step t

One population, whatever alpha and beta are, equal ones too. The gains are constants, known before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikewright.toolchain.ops import Accumulator, Array
from spikewright.toolchain.parameters import grid


@dataclass(frozen=True, eq=False)
class FilteredAnswer:
    """How a read-out's mean is summed.

    Args:
        keep: What u keeps in a step, (), (C,) or in full.
        leak: What is added to u, likewise.
        gains: g, (T, *shape) or (T, 1, ...); None: 1 in all steps.
    """

    keep: Array
    leak: Array
    gains: Array | None

    @property
    def largest(self) -> float:
        """Return the largest gain."""
        return 1.0 if self.gains is None else float(self.gains.max())


def filtered_answer(op: Accumulator, timesteps: int, *, once: bool = False) -> FilteredAnswer:
    """Return how the mean of a read-out over the steps is summed.

    Args:
        op: The read-out.
        timesteps: T.
        once: By gains also where it filters once: its n may be T times as large as its input, which then is all that u holds.
    """
    decay, alpha, leak = (np.asarray(value, np.float64) for value in (op.decay, op.alpha, op.leak))
    if not (alpha.any() or leak.any() or once):
        return FilteredAnswer(decay, leak, None)
    beta = np.broadcast_to(grid(decay, op.shape), op.shape) if decay.ndim else decay.reshape((1,) * len(op.shape))
    left = np.arange(timesteps - 1, -1, -1)
    powers = beta[None] ** left.reshape(-1, *(1,) * len(op.shape))
    return FilteredAnswer(alpha, leak, np.cumsum(powers[::-1], axis=0)[::-1])
