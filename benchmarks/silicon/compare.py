"""One simulated run against the measured one: operations per core, time of the phases, dynamic energy.

One net on one board is a comparison, not a validation: a model that fits here may be wrong elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.silicon import measured
from benchmarks.silicon.measured import FLOAT
from spikewright.hw_sim import Chip, Trace
from spikewright.toolchain.analysis.energy import event_counts

PERIOD = len(measured.PHASES_US)
FIT = 0
"""The phase the one coefficient of the time is fitted on: the longest."""


@dataclass(frozen=True)
class Comparison:
    """Ours beside silicon; errors are signed fractions of silicon.

    Args:
        sops: (cores,) ours, per 10,000 steps. ``sops_silicon``: measured.
        phases_us: (4,) ours, with ``ns_per_access`` fitted on the longest phase.
        ns_per_access: Time of one synaptic operation on the busiest core of conv3.
        conv2_ns: What one operation on a conv2 core takes at most, since these cores do not bound the step.
        step_us: (our analytic timing with the chip file's nominal latencies, silicon).
        dynamic_uj: Energy of a step with the chip file's low, nominal and high prices.
    """

    sops: FLOAT
    sops_silicon: FLOAT
    phases_us: FLOAT
    ns_per_access: float
    conv2_ns: float
    step_us: float
    dynamic_uj: tuple[float, float, float]

    @property
    def sops_total_error(self) -> float:
        """Error of all operations together."""
        return float(self.sops.sum() / np.nansum(self.sops_silicon) - 1)

    def sops_errors(self, cores: range) -> FLOAT:
        """Return the errors of some cores."""
        part = slice(cores.start, cores.stop)
        return np.asarray(self.sops[part] / self.sops_silicon[part] - 1, np.float64)

    @property
    def sops_core_error_max(self) -> float:
        """Largest error of the cores that set the time: the full ones of conv2, the busiest of conv3."""
        busiest = measured.CONV3.start + int(np.argmax(self.sops_silicon[measured.CONV3.start : measured.CONV3.stop]))
        return largest([*self.sops_errors(measured.CONV2_FULL), *self.sops_errors(range(busiest, busiest + 1))])

    @property
    def phase_errors(self) -> FLOAT:
        """(4,) errors of the phases; the fitted one is 0."""
        return self.phases_us / np.array(measured.PHASES_US) - 1

    @property
    def phase_ratio_error_max(self) -> float:
        """Largest error of the three phases that were not fitted."""
        return largest([e for k, e in enumerate(self.phase_errors) if k != FIT])

    @property
    def energy_errors(self) -> tuple[float, float, float]:
        """Error of the dynamic energy at low, nominal and high prices."""
        low, nominal, high = (uj * 1e-6 / measured.DYNAMIC_J - 1 for uj in self.dynamic_uj)
        return low, nominal, high


def largest(errors: list[float]) -> float:
    """Return the error of the largest size, with its sign."""
    return float(max(errors, key=abs))


def compare(trace: Trace, chip: Chip, silicon: FLOAT) -> Comparison:
    """Compare a run under Intel's partition.

    Args:
        trace: The run; any number of steps, whole periods of the reset best.
        chip: Its chip, for the prices.
        silicon: ``measured.counters``.
    """
    per_step = trace.sops / trace.steps
    conv3, conv2 = _phases(trace, measured.CONV3), _phases(trace, measured.CONV2)
    ns = measured.PHASES_US[FIT] * 1e3 / conv3[FIT]
    return Comparison(
        sops=per_step.sum(axis=0) * measured.STEPS,
        sops_silicon=silicon,
        phases_us=conv3 * ns * 1e-3,
        ns_per_access=float(ns),
        conv2_ns=float((np.array(measured.PHASES_US) * 1e3 / conv2).min()),
        step_us=float(trace.latency_ns[: trace.steps].mean() * 1e-3),
        dynamic_uj=_energy(trace, chip),
    )


def _phases(trace: Trace, cores: range) -> FLOAT:
    """Return the mean operations of the busiest of some cores in each phase, from the phase that is longest for conv3 on."""
    rows = trace.sops[trace.chip_steps % PERIOD :]
    by_phase = rows.reshape(-1, PERIOD, trace.cores).mean(axis=0)
    first = int(by_phase[:, measured.CONV3.start : measured.CONV3.stop].max(axis=1).argmax())
    return np.roll(by_phase[:, cores.start : cores.stop].max(axis=1), -first)


def _energy(trace: Trace, chip: Chip) -> tuple[float, float, float]:
    """Return the dynamic energy of a step in uJ: counts times prices, low, nominal and high."""
    counts = event_counts(trace)
    prices = [(count, chip.costs[event].energy) for event, count in counts.items()]
    low, nominal, high = (
        sum(count * getattr(price, bound) for count, price in prices) * 1e-6 / trace.chip_steps
        for bound in ("low", "nominal", "high")
    )
    return low, nominal, high
