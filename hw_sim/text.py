"""A program as text: one line a population, one a projection; stable, for people and golden files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spikewright.hw_sim.program import Population, Program, Projection


def text(program: Program) -> str:
    """Return the program as text."""
    halted = f", halted after chip step {program.stop}" if program.stop else ""
    steps = f"{program.steps} steps{halted}"
    lines = [f"program for {program.chip}: {steps}, reads {program.readout_kind} of {program.readout}"]
    lines += [f"  {_population(x)}" for x in program.populations]
    lines += [f"  {_projection(program, x)}" for x in program.projections]
    return "\n".join(lines)


def _population(x: Population) -> str:
    shape = "x".join(map(str, x.shape))
    return f"{x.name} {shape} = {x.soma} start {x.start}, {_cores(x.core)}, sends {x.kind}"


def _cores(core: NDArray[np.int32]) -> str:
    cores = np.unique(core[core >= 0])
    if not cores.size:
        return "off the cores"
    if int(cores[-1] - cores[0]) == cores.size - 1:
        return f"core {cores[0]}" if cores.size == 1 else f"cores {cores[0]}-{cores[-1]}"
    return "cores " + " ".join(map(str, cores))


def _projection(program: Program, x: Projection) -> str:
    exponent = "" if x.synapses.gate else f" << {x.exponent}"
    return f"{x.name}: {x.source} -> {x.target} {x.synapses}{exponent}, delay {x.delay}, lag {program.lag(x)}"


def shown(value: Any) -> str:
    """Return a scalar as it is, a constant array as its value, any other as its range."""
    if not isinstance(value, np.ndarray):
        return str(value)
    if not value.size:
        return "[]"
    low, high = int(value.min()), int(value.max())
    return str(low) if low == high else f"{low}..{high}"
