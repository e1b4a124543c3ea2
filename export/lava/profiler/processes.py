"""LIF, Dense and DelayDense in place of Lava's, for scripts that build a net of processes by hand and profile it on the chip.

::

    u = u (4096 - du - 1) / 4096 + 64 a;   v = v (4096 - dv) / 4096 + u + bias_mant 2^bias_exp;   spike: v > 64 vth, v = 0
    a of step t + 1 = weights 2^weight_exp s of step t      (DelayDense: of step t - delays)

Integers as lava-nc 0.10.0's fixed-point models have them: a spike arrives one step on, weights of both signs lose their lowest
bit, weights of one sign keep all eight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikewright.export.lava.profiler.board import execute
from spikewright.export.lava.profiler.run import ProfilerError, SimulatedRun
from spikewright.hw_sim import DenseSynapses, Lif, Population, Program, Projection, compile, drc, load_chip, simulate
from spikewright.hw_sim.fixed_point import DECAY_ONE, THRESHOLD_SHIFT

Int = NDArray[np.int64]


class Port:
    """One end of a connection: ``owner``'s port of this name."""

    def __init__(self, owner: Process, name: str) -> None:
        self.owner, self.name = owner, name

    def connect(self, other: Port) -> None:
        """Connect to a port of another process, as Lava's ports do.

        Raises:
            ProfilerError: A LIF's output goes to a Dense's input, a Dense's output to a LIF's, nothing else.
        """
        if (self.name, other.name) not in (("s_out", "s_in"), ("a_out", "a_in")):
            raise ProfilerError(
                f"{self.name} connected to {other.name}; allowed: s_out to s_in, a_out to a_in",
                where=f"{type(self.owner).__name__}.{self.name}",
                help="put a Dense between two LIF",
            )
        self.owner.after.append(other.owner)
        other.owner.before.append(self.owner)


class Process:
    """A process and its neighbours; ``run`` runs all that are connected."""

    def __init__(self) -> None:
        self.before: list[Process] = []
        self.after: list[Process] = []

    def reached(self) -> list[Process]:
        """Return every process connected to this one, in the order they are met."""
        found: list[Process] = []
        open_: list[Process] = [self]
        while open_:
            process = open_.pop(0)
            if process not in found:
                found.append(process)
                open_ += [*process.before, *process.after]
        return found

    def run(self, condition: Any = None, run_cfg: Any = None) -> None:
        """Run for ``condition.num_steps``; probes attached to ``run_cfg`` see it.

        Raises:
            ProfilerError: No length was given, or a process is connected to nothing.
        """
        steps = getattr(condition, "num_steps", None)
        if steps is None or int(steps) < 1:
            raise ProfilerError(
                f"condition = {condition!r}; allowed: RunSteps(num_steps=...) of at least one step",
                where=f"{type(self).__name__}.run",
                help="say how long to run",
            )
        execute(run_cfg, lambda: _simulated(program_of(self.reached(), int(steps))))

    def wait(self) -> None:
        """Do nothing: a run blocks."""

    def stop(self) -> None:
        """Do nothing: nothing stays behind."""


class LIF(Process):
    """Leaky integrate-and-fire neurons; parameters one for all, or one a neuron. See the module."""

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        du: ArrayLike = 0,
        dv: ArrayLike = 0,
        bias_mant: ArrayLike = 0,
        bias_exp: ArrayLike = 0,
        vth: ArrayLike = 10,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.name = tuple(shape), name
        self.du, self.dv, self.vth = (_ints(value, what) for value, what in ((du, "du"), (dv, "dv"), (vth, "vth")))
        self.bias = _ints(bias_mant, "bias_mant") << _ints(bias_exp, "bias_exp")
        self.s_out, self.a_in = Port(self, "s_out"), Port(self, "a_in")

    def soma(self) -> Lif:
        """Return the machine's neuron."""
        zero = np.zeros(1, np.int64)
        decay_u = np.minimum(self.du + 1, DECAY_ONE)
        return Lif(decay_u, self.dv, self.bias, self.vth << THRESHOLD_SHIFT, zero)


class Dense(Process):
    """All-to-all synapses: ``weights`` (targets, sources), integers, times 2^weight_exp."""

    def __init__(
        self, *, weights: ArrayLike, weight_exp: int = 0, num_weight_bits: int = 8, name: str | None = None
    ) -> None:
        super().__init__()
        found = _ints(weights, "weights")
        if found.ndim != 2:
            raise ProfilerError(f"weights of shape {found.shape}", where="Dense", help="give (targets, sources)")
        mixed = bool((found < 0).any() and (found > 0).any())
        # two's complement of the chip: a step of 2 with both signs, and of 2^(8 - bits) with fewer bits
        step = (2 if mixed else 1) << max(8 - num_weight_bits, 0)
        self.weights, self.weight_exp, self.name = (
            np.sign(found) * (np.abs(found) // step) * step,
            int(weight_exp),
            name,
        )
        self.s_in, self.a_out = Port(self, "s_in"), Port(self, "a_out")

    def parts(self) -> Iterator[tuple[int, Int]]:
        """Yield (delay beside the step every message takes, weights)."""
        yield 0, self.weights


class DelayDense(Dense):
    """Dense with ``delays`` in steps, one for all or one a synapse (targets, sources)."""

    def __init__(self, *, weights: ArrayLike, delays: ArrayLike, max_delay: int = 0, **how: Any) -> None:
        super().__init__(weights=weights, **how)
        self.delays = np.broadcast_to(_ints(delays, "delays"), self.weights.shape)
        if self.delays.min(initial=0) < 0:
            raise ProfilerError(f"a delay of {self.delays.min()} steps", where="DelayDense", help="give steps >= 0")

    def parts(self) -> Iterator[tuple[int, Int]]:
        """Yield (delay, the weights of that delay)."""
        for delay in np.unique(self.delays):
            yield int(delay), np.where(self.delays == delay, self.weights, 0)


@dataclass(frozen=True, eq=False)
class _Placed:
    process: LIF
    name: str
    first_core: int


def program_of(processes: list[Process], steps: int, chip: str = "loihi2") -> Program:
    """Return the program of connected processes: the neurons of one after another on cores filled to their limit.

    Raises:
        ProfilerError: A Dense ends at no LIF, or begins at none.
        SpikewrightError: It does not fit the chip.
    """
    target = load_chip(chip)
    most = target.core.max_neurons
    placed: dict[int, _Placed] = {}
    core = 0
    for process in processes:
        if isinstance(process, LIF):
            placed[id(process)] = _Placed(process, process.name or f"lif{len(placed)}", core)
            core += -(-prod(process.shape) // most)
    populations = tuple(
        Population(one.name, one.process.shape, one.process.soma(),
                   core=(one.first_core + np.arange(prod(one.process.shape)) // most).astype(np.int32))
        for one in placed.values()
    )  # fmt: skip
    projections: list[Projection] = []
    for process in processes:
        if isinstance(process, Dense):
            projections += _projections(process, placed, len(projections))
    program = Program(populations, tuple(projections), chip, steps, populations[-1].name, "spikes")
    program.check()
    drc.check(program, target)
    return program


def _projections(dense: Dense, placed: dict[int, _Placed], first: int) -> list[Projection]:
    ends = [(placed[id(a)].name, placed[id(b)].name) for a in dense.before for b in dense.after]
    if not ends:
        raise ProfilerError("is not connected on both sides", where=type(dense).__name__, help="connect s_in and a_out")
    return [
        Projection(f"{dense.name or type(dense).__name__.lower()}{first + k}", source, to, DenseSynapses(weights),
                   exponent=dense.weight_exp, delay=1 + delay)
        for k, (source, to, delay, weights) in enumerate((a, b, *part) for a, b in ends for part in dense.parts())
    ]  # fmt: skip


def _simulated(program: Program) -> SimulatedRun:
    chip = load_chip(program.chip)
    return SimulatedRun(program, chip, simulate(compile(program, chip), {}, steps=program.steps))


def _ints(value: ArrayLike, what: str) -> Int:
    found = np.asarray(value)
    whole = np.asarray(np.rint(found), np.int64)
    if found.dtype.kind not in "iufb" or not np.array_equal(whole, found):
        raise ProfilerError(
            f"{what} = {value!r}; expected whole numbers", where="process", help="give the chip's integers"
        )
    return np.atleast_1d(whole)
