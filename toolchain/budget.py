"""How much is worked on at once: samples and steps are cut so that what one part holds stays within a budget of bytes.

rows = budget // bytes of one step of one sample;   samples = rows // min(T, FEWEST_STEPS);   steps = rows // samples
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

BUDGET = 64 << 20
"""Bytes that the signals of one part may take: the one bound on what run, compare and deploy hold beside their input."""
GOLDEN_BYTES = 512 << 20
"""Bytes of all values, in float64, of the samples that every pass is checked on; one at least."""
CALIBRATED_BYTES = 4 << 30
"""Bytes of all values, in float64, of the samples that decide ranges, constants and drift; one at least."""
CHECKED_BYTES = 4 << 30
"""Bytes of all values, in float64, of the samples that a check or report counts, or compares, beside those it was asked for."""
AUDITED_BYTES = 256 << 20
"""Bytes of all values, in float64, of the samples whose events are walked one by one; one at least, of a long one its begin."""
FEWEST_STEPS = 64
"""Steps of a part before it is cut in time at the cost of samples: a step does all samples of a part at once."""
RECORDED_BYTES = 13
"""Of one neuron and step, recorded: a message of 1 byte, v of 4, u of 8."""


@dataclass(frozen=True)
class Cut:
    """A part: so many samples, so many of their steps at once."""

    samples: int
    steps: int

    def parts(self, samples: int, timesteps: int) -> Iterator[tuple[slice, slice]]:
        """Yield (samples, steps) of every part: all steps of some samples, in order, then the next samples."""
        for chosen in slices(samples, self.samples):
            for steps in slices(timesteps, self.steps):
                yield chosen, steps


def slices(count: int, step: int) -> Iterator[slice]:
    """Cut 0 .. count into slices of ``step``."""
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


def cut(samples: int, timesteps: int, row_bytes: int, *, whole: bool = False, most: int | None = None) -> Cut:
    """Return how many samples and steps of them fit the budget.

    Args:
        samples: How many there are.
        timesteps: T.
        row_bytes: What one step of one sample takes.
        whole: Never cut in time (what looks at whole sequences).
        most: Samples at most.
    """
    rows = max(1, BUDGET // max(row_bytes, 1))
    fit = max(1, rows // max(1, timesteps if whole else min(timesteps, FEWEST_STEPS)))
    chosen = max(1, min(samples, fit, samples if most is None else most))
    return Cut(chosen, timesteps if whole else max(1, min(timesteps, rows // chosen)))


def blocks(x: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield data (T, B, ...) block by block of steps, each within the budget; a frame that every step repeats comes once."""
    if x.ndim and x.shape[0] > 1 and x.strides[0] == 0:
        x = x[:1]
    row = max(1, x[:1].size * 8)
    for steps in slices(x.shape[0], max(1, BUDGET // row)):
        yield x[steps]
