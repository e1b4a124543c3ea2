"""What a chip is loaded with: populations of neurons, projections of synapses, and which core holds which neuron.

Local time: a population starts at chip step ``start`` with zero state and lives for ``T`` steps; outside this window it
is silent. A message of ``source`` at its local step ``t`` reaches ``target`` at local step ``t + lag`` where
``lag = source.start + delay - target.start >= 0``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Shape = tuple[int, ...]


# ---------------------------------------------------------------------------------------------- somas
@dataclass(frozen=True, eq=False)
class Source:
    """Integer payloads from the host, ``0 <= x < 2**payload_bits`` (negative too if ``signed``); 1 bit = binary spikes."""

    payload_bits: int
    signed: bool = False


@dataclass(frozen=True, eq=False)
class Lif:
    """Leaky integrate-and-fire in the chip's integers.

    ::

        u = v = 0 where t >= 1 and t mod reset_interval = reset_phase        (0: never)
        u = wrap24(decay(u, decay_u) + (a << 6))         a = sum over projections of (W x) << exponent
        i = u + bias; for each gate port: i = gain(i, level, gate_bits);  i = max(i, 0) if rectify
        v = clip24(decay(v, decay_v) + i)
        s = v > threshold;  v[s] = v_reset  (reset "value")  or  v[s] -= v_reset  (reset "subtract")
        r steps after a spike, 1 <= r < refractory: v stays as it was reset, s = 0 (u goes on)
        out = s;  with output_gate the last gate port leaves i alone:  out = s level

    t is the local step; the periodic reset is that of lava-nc's ``LIFReset`` (before the step integrates, refractory or not);
    the refractory period is that of Loihi 1 as brian2-loihi models it (1: none).
    Arrays have the flat length n of the population or length 1. ``decay_u = 4096`` is a memoryless current. Output: binary
    spikes; with ``output_gate`` graded ones, payloads 0 .. 2**gate_bits (level 0: no message).
    ``threshold = STATE_MAX`` never fires (a read-out neuron: its v is the result).
    """

    decay_u: IntArray
    decay_v: IntArray
    bias: IntArray
    threshold: IntArray
    v_reset: IntArray
    reset: Literal["value", "subtract"] = "value"
    gates: int = 0
    gate_bits: int = 8
    rectify: bool = False
    reset_interval: int = 0
    reset_phase: int = 0
    output_gate: bool = False
    refractory: int = 1


@dataclass(frozen=True, eq=False)
class DeltaRelu:
    """Event-driven rectifier: sends the *change* of ``relu(acc) >> shift``, and nothing if nothing changed.

    ::

        acc = clip24(decay(acc, decay) + a);  y = max(acc, 0) >> shift;  out = y - y_previous   (y starts at 0)

    Output: signed graded payloads. Its state v is ``acc``.
    """

    decay: IntArray
    shift: int


@dataclass(frozen=True, eq=False)
class Gate:
    """Gate neuron: a table from an accumulated input to a gain level; sends the level when it changes, receivers hold it.

    ::

        acc = clip24(decay(acc, decay) + a);  level = levels[count(acc + bias >= thresholds)]

    ``thresholds`` (K,) ascending, ``levels`` (K + 1,) in 0 .. 2**gate_bits. The level before the first step is 2**gate_bits
    (1.0).
    Its state v is ``acc``; its recorded output is the level at every step. A message is counted when
    ``level[t] != level[t-1]`` (with ``level[-1] = 2**gate_bits``).
    """

    decay: IntArray
    bias: IntArray
    thresholds: IntArray
    levels: IntArray
    gate_bits: int = 8


@dataclass(frozen=True, eq=False)
class GateTable:
    """Learned or calibrated constant gains, one row a step: ``table`` (T or 1, n); needs no message (neuron microcode)."""

    table: IntArray
    gate_bits: int = 8


Soma = Source | Lif | DeltaRelu | Gate | GateTable


def sends(soma: Soma) -> Literal["binary", "graded", "gate"]:
    """Return what the messages of a soma are, as they are counted and priced."""
    match soma:
        case Lif(output_gate=False) | Source(payload_bits=1, signed=False):
            return "binary"
        case Gate() | GateTable():
            return "gate"
        case _:
            return "graded"


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one shape and one soma model.

    Args:
        name: Unique.
        shape: Neuron grid, e.g. ``(C, H, W)`` or ``(N,)``; flat order is C order.
        soma: The neuron model and its integers.
        start: Chip step of local step 0.
        core: ``(n,)`` logical core of each neuron; -1 is outside the cores (host: ``Source``, ``GateTable``).
        kind: What is sent: ``binary``, ``graded`` or ``gate``, as ``sends`` says of the soma; ``none`` for a read-out that
            never fires.
    """

    name: str
    shape: Shape
    soma: Soma
    start: int = 0
    core: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    kind: str = "binary"

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape))


# ------------------------------------------------------------------------------------------ synapses
@dataclass(frozen=True, eq=False)
class DenseSynapses:
    """``weight`` (n_target, n_source), integers as the chip uses them."""

    weight: IntArray


@dataclass(frozen=True, eq=False)
class ConvSynapses:
    """Shared kernel: ``weight`` (Co, Ci // groups, kh, kw), torch cross-correlation; source (Ci, H, W), target (Co, H', W')."""

    weight: IntArray
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class SparseSynapses:
    """CSR over targets: row pointers ``indptr`` (n_target + 1), source ``indices``, ``weight`` per synapse."""

    indptr: IntArray
    indices: IntArray
    weight: IntArray


@dataclass(frozen=True, eq=False)
class IdentitySynapses:
    """One synapse per neuron, source i to target i, all with the same ``weight``."""

    weight: int


@dataclass(frozen=True, eq=False)
class GateLink:
    """Carries gate levels to gate port ``port`` (0 ..) of a ``Lif``.

    The source shape broadcasts to the target shape; before the first level arrives (local step < lag) the level is
    2**gate_bits.
    """

    port: int


Synapses = DenseSynapses | ConvSynapses | SparseSynapses | IdentitySynapses | GateLink


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses between two populations: ``a_target += (W x_source) << exponent``, ``delay`` chip steps later (>= 1)."""

    name: str
    source: str
    target: str
    synapses: Synapses
    exponent: int = 0
    delay: int = 1


@dataclass(frozen=True, eq=False)
class Program:
    """Everything a chip needs to run: integers only.

    Args:
        populations: In evaluation order: a projection with lag 0 goes from an earlier to a later population; only a projection
            with lag >= 1 may go backwards (recurrence).
        projections: All synapses.
        chip: Name of the chip it was mapped for.
        steps: Default number of local steps T.
        readout: Name of the population whose result is the answer.
        readout_kind: ``membrane`` (v after step T-1) or ``spikes`` (count over T).
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    chip: str
    steps: int
    readout: str
    readout_kind: Literal["membrane", "spikes"] = "membrane"

    def population(self, name: str) -> Population:
        """Return the population called ``name``."""
        return next(p for p in self.populations if p.name == name)

    def lag(self, projection: Projection) -> int:
        """Local steps between sending and arriving."""
        return self.population(projection.source).start + projection.delay - self.population(projection.target).start

    def save(self, path: str | Path) -> None:
        """Write ``path`` with the suffixes ``.npz`` and ``.json``; see ``hw_sim.program_io``."""
        from spikewright.hw_sim.program_io import save_program

        save_program(self, path)

    def __str__(self) -> str:
        from spikewright.hw_sim.program_text import text

        return text(self)
