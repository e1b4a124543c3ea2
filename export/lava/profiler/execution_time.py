"""Execution time under the names of Lava's probe, us per step: what the timing model found, split by what bound the step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.profiler.probe import Probe
from spikewright.export.lava.profiler.run import ProfilerError
from spikewright.hw_sim.costs import Basis

Floats = NDArray[np.float64]


class Loihi2ExecutionTime(Probe):
    """Time of each step, us; samples one after another.

    Args:
        num_steps: Steps of the run to look at from the first one on; None: all.
        t_start: First step kept, counted from 1.
        t_end: Last step kept; None: the last one there is.
        dt: Every how many steps one is kept.
        buffer_size: As on the chip; without effect, nothing overflows here.
        bin_size: 1; steps are not binned here.

    Raises:
        ProfilerError: An option that leaves nothing, or bins.
    """

    def __init__(
        self,
        num_steps: int | None = None,
        t_start: int = 1,
        t_end: int | None = None,
        dt: int = 1,
        buffer_size: int = 1024,
        bin_size: int = 1,
    ) -> None:
        super().__init__()
        if bin_size != 1:
            raise ProfilerError(
                f"bin_size = {bin_size}; allowed: 1",
                where=type(self).__name__,
                help="leave it out: nothing overflows here",
            )
        if t_start < 1 or dt < 1 or (t_end is not None and t_end < t_start):
            raise ProfilerError(
                f"t_start = {t_start}, t_end = {t_end}, dt = {dt}; allowed: 1 <= t_start <= t_end and dt >= 1",
                where=type(self).__name__,
                help="count steps from 1",
            )
        ends = [end for end in (num_steps, t_end) if end is not None]
        self.buffer_size = buffer_size
        self._kept = slice(t_start - 1, min(ends) if ends else None, dt)

    @property
    def execution_time_per_step(self) -> Floats:
        """Time of each step kept: ``spiking`` and ``host``. (steps,), in us."""
        return self.simulated.step_s[self._kept] * 1e6

    @property
    def time_per_step(self) -> Floats:
        """An older name of ``execution_time_per_step``. (steps,), in us."""
        return self.execution_time_per_step

    @property
    def avg_time_per_step(self) -> float:
        """Mean of ``execution_time_per_step``. It is in us."""
        return float(self.execution_time_per_step.mean())

    @property
    def spiking_time_per_step(self) -> Floats:
        """Time of the steps that cores, links or the barrier bound; 0 in the others. (steps,), in us."""
        return np.where(self.simulated.host_bound[self._kept], 0.0, self.execution_time_per_step)

    @property
    def host_time_per_step(self) -> Floats:
        """Time of the steps that messages of the host bound; 0 in the others. (steps,), in us."""
        return np.where(self.simulated.host_bound[self._kept], self.execution_time_per_step, 0.0)

    @property
    def management_time_per_step(self) -> Floats:
        """0: the embedded processors are not simulated, and no published figure says what they take.

        (steps,), in us.
        """
        return np.zeros_like(self.execution_time_per_step)

    @property
    def learning_time_per_step(self) -> Floats:
        """0: nothing learns. (steps,), in us."""
        return np.zeros_like(self.execution_time_per_step)

    @property
    def pre_lrn_time_per_step(self) -> Floats:
        """0: nothing learns. (steps,), in us."""
        return np.zeros_like(self.execution_time_per_step)

    @property
    def basis(self) -> dict[str, Basis]:
        """How each figure is known."""
        known = self.simulated.time_basis
        timed = (
            "execution_time_per_step",
            "time_per_step",
            "avg_time_per_step",
            "spiking_time_per_step",
            "host_time_per_step",
        )
        return {
            **dict.fromkeys(timed, known),
            "management_time_per_step": "assumed",
            "learning_time_per_step": "simulated",
            "pre_lrn_time_per_step": "simulated",
        }
