"""NECOTIS' two neurons on Loihi 2: 18 public means of the time of a step with next to nothing to do, beside ours.

::

    source: v = v (4096 - 410) / 4096 + bias;  spike above 4096        (bias 417, 470, 640: every 40, 20, 10 steps)
    one synapse of weight 128 behind a delay of 0, 1, 5, 10, 15 or 20 steps;  each spike makes the target spike once

Source: NECOTIS/TemporalLearningInRSNNs, loihi_experiment/ (BSD-3, 2025), doi 10.1088/2634-4386/add293. Their time is energy
over power, no time probe; their spread over runs is 0.15 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.silicon.compiler import rows_of
from spikewright.hw_sim import Chip, DenseSynapses, Lif, Population, Program, Projection, compile, simulate

STEPS = 2_000
"""A whole number of all periods; each step has the same two updates, so more steps change nothing but the edges."""


@dataclass(frozen=True)
class Pair:
    """One configuration: ``us`` and ``spread`` (standard deviation over runs) a step as printed; ours, and our work in it."""

    rate_hz: int
    delay: int
    us: float
    spread: float
    period: int
    ours_us: float
    work_us: float

    @property
    def name(self) -> str:
        """Rate and delay."""
        return f"NECOTIS pair, {self.rate_hz} Hz, delay {self.delay}"


def program(bias: int, delay: int) -> Program:
    """Return the two neurons, on one core."""
    one = np.zeros(1, np.int32)

    def neuron(name: str, decay_v: int, bias: int) -> Population:
        values = {"decay_u": 4096, "decay_v": decay_v, "bias": bias, "threshold": 4096, "v_reset": 0}
        return Population(name, (1,), Lif(**{k: np.array([v]) for k, v in values.items()}), core=one)

    # 64 << 1: the weight of 128
    synapse = Projection("s", "source", "target", DenseSynapses(np.array([[64]])), exponent=1, delay=1 + delay)
    return Program((neuron("source", 410, bias), neuron("target", 4095, 0)), (synapse,), "loihi2", STEPS, "target")


def pairs(folder: Path, chip: Chip) -> list[Pair]:
    """Return all configurations with our run of each."""
    return [_pair(row, chip) for row in rows_of(folder / "silicon" / "necotis_delay_loihi2.csv")]


def _pair(row: dict[str, str], chip: Chip) -> Pair:
    delay = int(row["delay_steps"])
    compiled = compile(program(int(row["src_bias_mant"]), delay), chip)
    trace = simulate(compiled, {}, steps=STEPS)
    ours = float(trace.latency_ns[:STEPS].mean()) * 1e-3
    return Pair(
        rate_hz=int(row["rate_label_hz"]),
        delay=delay,
        us=float(row["time_us_per_step_mean"]),
        spread=float(row["time_us_per_step_std"]),
        period=round(STEPS / trace.populations["source"].spikes),
        ours_us=ours,
        work_us=ours - chip.costs["step_overhead"].latency.nominal * 1e-3,
    )


def left_out(found: list[Pair]) -> list[float]:
    """Return, for each, the error of its step time with the overhead taken from the 17 others: a prediction."""
    rests = np.array([one.us - one.work_us for one in found])
    others = (rests.sum() - rests) / (len(found) - 1)
    return [float((o + one.work_us) / one.us - 1) for o, one in zip(others, found, strict=True)]


def slope(found: list[Pair]) -> tuple[float, float, float]:
    """Return how many ns one more spike of the pair costs: silicon, its standard error, and ours.

    An overhead that is added to the work shows the spikes' time; one that is a floor under it hides them.
    """
    rate = np.array([1 / one.period for one in found])
    line = np.vander(rate, 2)
    cost = np.linalg.inv(line.T @ line)

    def fit(us: list[float]) -> tuple[float, float]:
        found_, rest, *_ = np.linalg.lstsq(line, np.array(us) * 1e3, rcond=None)
        variance = float(rest[0]) / (len(us) - 2) if rest.size else 0.0
        return float(found_[0]), float(np.sqrt(variance * cost[0, 0]))

    silicon, error = fit([one.us for one in found])
    return silicon, error, fit([one.ours_us for one in found])[0]
