"""A program as text: one line a population, one a projection; stable, for people and golden files."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.program import (
    ConvSynapses,
    DenseSynapses,
    GateLink,
    IdentitySynapses,
    Population,
    Program,
    Projection,
    SparseSynapses,
)


def text(program: Program) -> str:
    """Return the program as text."""
    lines = [f"program for {program.chip}: {program.steps} steps, reads {program.readout_kind} of {program.readout}"]
    lines += [f"  {_population(x)}" for x in program.populations]
    lines += [f"  {_projection(program, x)}" for x in program.projections]
    return "\n".join(lines)


def _population(x: Population) -> str:
    hidden = [] if getattr(x.soma, "output_gate", False) else ["output_gate"]
    hidden += [] if getattr(x.soma, "refractory", 1) > 1 else ["refractory"]
    hidden += [] if getattr(x.soma, "reset_interval", 0) else ["reset_interval", "reset_phase"]
    shown = [f.name for f in fields(x.soma) if f.name not in hidden]
    soma = ", ".join(f"{name}={_value(getattr(x.soma, name))}" for name in shown)
    shape = "x".join(map(str, x.shape))
    return f"{x.name} {shape} = {type(x.soma).__name__}({soma}) start {x.start}, {_cores(x.core)}, sends {x.kind}"


def _cores(core: NDArray[np.int32]) -> str:
    cores = np.unique(core[core >= 0])
    if not cores.size:
        return "off the cores"
    if int(cores[-1] - cores[0]) == cores.size - 1:
        return f"core {cores[0]}" if cores.size == 1 else f"cores {cores[0]}-{cores[-1]}"
    return "cores " + " ".join(map(str, cores))


def _projection(program: Program, x: Projection) -> str:
    return (
        f"{x.name}: {x.source} -> {x.target} {_synapses(x)} << {x.exponent}, delay {x.delay}, lag {program.lag(x)}"
        if not isinstance(x.synapses, GateLink)
        else f"{x.name}: {x.source} -> {x.target} gate port {x.synapses.port}, delay {x.delay}, lag {program.lag(x)}"
    )


def _synapses(x: Projection) -> str:
    match x.synapses:
        case ConvSynapses() as conv:
            kernel = "x".join(map(str, conv.weight.shape))
            extra = "".join(
                f" {name} {'x'.join(map(str, value))}"
                for name, value, usual in (
                    ("stride", conv.stride, (1, 1)),
                    ("padding", conv.padding, (0, 0)),
                    ("dilation", conv.dilation, (1, 1)),
                )
                if tuple(value) != usual
            )
            groups = f" groups {conv.groups}" if conv.groups != 1 else ""
            return f"conv {kernel}{extra}{groups} {_value(conv.weight)}"
        case DenseSynapses(weight=weight):
            return f"dense {weight.shape[0]}x{weight.shape[1]} {_value(weight)}"
        case SparseSynapses(weight=weight):
            return f"sparse {weight.size} synapses {_value(weight)}"
        case IdentitySynapses(weight=weight):
            return f"identity {weight}"
        case _:
            return "gate"


def _value(value: Any) -> str:
    """Return a scalar as it is, a constant array as its value, any other as its range."""
    if not isinstance(value, np.ndarray):
        return str(value)
    if not value.size:
        return "[]"
    low, high = int(value.min()), int(value.max())
    return str(low) if low == high else f"{low}..{high}"
