"""A finished run as a chip would have seen it: B samples one after another, each with its step times and step energies.

::

    energy of a step = sum over events of count(step, event) price(event)        power = energy / time

A trace sums its counters over the samples, so the energy of a step is that of a mean sample; times are each sample's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.profiler.fan_out import Reach, reach
from spikewright.hw_sim import Chip, Program, SpikewrightError, Trace, drc
from spikewright.hw_sim.costs import Basis, worst_basis
from spikewright.hw_sim.timing.analytic import TERMS
from spikewright.toolchain.analysis import Energy, Latency, energy, event_counts, latency
from spikewright.toolchain.analysis.energy import PICO, core_counters
from spikewright.toolchain.deployment import Deployment

Floats = NDArray[np.float64]
Int = NDArray[np.int64]


class ProfilerError(SpikewrightError):
    """A figure that was not asked for, is not there yet, or that nothing published supports."""


@dataclass(frozen=True)
class Power:
    """Mean power of a window of steps, W, and its energy, J; ``series`` has one value per equal slice of its time."""

    seconds: float
    static_w: float
    dynamic_w: float
    series_w: Floats

    @property
    def total_w(self) -> float:
        """Static and dynamic."""
        return self.static_w + self.dynamic_w


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """What was run, on which chip, and its record.

    Args:
        program: The mapped net.
        chip: Whose prices and limits hold.
        trace: Fresh from ``simulate`` or loaded from a file.
    """

    program: Program
    chip: Chip
    trace: Trace

    @classmethod
    def of(cls, deployment: Deployment, trace: Trace) -> SimulatedRun:
        """Return a run of a deployment."""
        return cls(deployment.program, deployment.chip, trace)

    # ---------------------------------------------------------------------------------------------- where
    @property
    def num_steps(self) -> int:
        """Chip steps of all samples, one after another."""
        return self.trace.chip_steps * self.trace.samples

    @property
    def num_chips(self) -> int:
        """Chips in use."""
        return -(-max(self.trace.cores, 1) // self.chip.mesh.usable_cores_per_chip)

    @cached_property
    def cores(self) -> Int:
        """Logical cores that hold neurons, ascending."""
        held = np.concatenate([np.asarray(p.core, np.int64).reshape(-1) for p in self.program.populations])
        return np.unique(held[held >= 0])

    @cached_property
    def resources(self) -> dict[str, tuple[Int, Int]]:
        """(used, max) of each core in use, by resource."""
        rows = drc.utilization(self.program, self.chip)
        return {
            name: (
                np.array([row.used for row in rows if row.resource == name], np.int64),
                np.array([row.limit for row in rows if row.resource == name], np.int64),
            )
            for name in dict.fromkeys(row.resource for row in rows)
        }

    @cached_property
    def reach(self) -> Reach:
        """How many messages each core in use sends, and where to, if all fire once."""
        return reach(self.program, self.chip, self.cores)

    # ---------------------------------------------------------------------------------------------- time
    @cached_property
    def step_s(self) -> Floats:
        """(num_steps,) seconds of every step."""
        return np.asarray(self.trace.latency_ns.T.reshape(-1) * 1e-9, np.float64)

    @cached_property
    def host_bound(self) -> NDArray[np.bool_]:
        """(num_steps,) whether messages from the host set the time of the step."""
        return np.asarray(self.trace.term.T.reshape(-1) == TERMS.index("host"))

    @cached_property
    def latency(self) -> Latency:
        """Time of a mean sample, with basis and band."""
        return latency(self.trace, self.chip)

    # -------------------------------------------------------------------------------------------- energy
    @cached_property
    def energy(self) -> Energy:
        """Energy of a mean sample, with basis and band; the host is a line of its own and no part of the chip's power."""
        return energy(self.trace, self.chip, self.latency)

    @cached_property
    def step_j(self) -> Floats:
        """(num_steps,) dynamic energy of every step, J: that of a mean sample."""
        prices = {event: cost.energy.nominal * PICO for event, cost in self.chip.costs.items()}
        per_step = sum(count * prices[event] for event, count in step_counts(self.trace).items())
        return np.tile(np.asarray(per_step, np.float64) / self.trace.samples, self.trace.samples)

    def power(self, num_steps: int | None) -> Power:
        """Return the power of the first ``num_steps`` steps; of all, if None or more than there are."""
        steps = self.num_steps if num_steps is None else min(num_steps, self.num_steps)
        when = np.concatenate([[0.0], np.cumsum(self.step_s[:steps])])
        spent = np.concatenate([[0.0], np.cumsum(self.step_j[:steps])])
        static = self.chip.static_power.nominal * self.num_chips
        slices = np.linspace(0.0, when[-1], steps + 1)
        series = np.diff(np.interp(slices, when, spent)) / (when[-1] / steps)
        return Power(float(when[-1]), static, float(spent[-1] / when[-1]), static + series)

    # --------------------------------------------------------------------------------------------- basis
    @property
    def time_basis(self) -> Basis:
        """Basis of every time that is not exactly zero."""
        return self.latency.per_sample.basis

    @property
    def dynamic_basis(self) -> Basis:
        """Basis of dynamic energy."""
        return self.energy.dynamic.energy.basis

    @property
    def static_basis(self) -> Basis:
        """Basis of static power."""
        return self.chip.static_power.basis

    @property
    def power_basis(self) -> dict[str, Basis]:
        """Basis of power and energy, each total or static or dynamic."""
        moved, time = self.dynamic_basis, self.time_basis
        return {
            "static_power": self.static_basis,
            "dynamic_power": worst_basis([moved, time]),
            "power": worst_basis([moved, time, self.static_basis]),
            "static_energy": worst_basis([self.static_basis, time]),
            "dynamic_energy": moved,
            "energy": worst_basis([moved, time, self.static_basis]),
        }


def step_counts(trace: Trace) -> dict[str, Floats]:
    """Return how often each priced event of the chip happened in each chip step (S,), summed over the samples.

    What is known for the whole run only (crossings of links) is spread evenly; messages of the host are the host's.
    """
    found = {event: counter.sum(axis=1).astype(np.float64) for event, counter in core_counters(trace).items()}
    rest = {event: n for event, n in event_counts(trace).items() if event not in found and event != "host_message"}
    return found | {event: np.full(trace.chip_steps, n / trace.chip_steps) for event, n in rest.items()}
