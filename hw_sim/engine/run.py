"""Run a program: blocks of samples, in each blocks of timesteps, in each the populations in order."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Chip
from spikewright.hw_sim.compiled import layout
from spikewright.hw_sim.compiled.stages import Compiled, Stage, compile
from spikewright.hw_sim.engine.state import Recorder, State, message_bytes
from spikewright.hw_sim.engine.tally import Tally
from spikewright.hw_sim.errors import ProgramError, SaturationError
from spikewright.hw_sim.jit import Threads
from spikewright.hw_sim.noc import Links
from spikewright.hw_sim.program import Program
from spikewright.hw_sim.somas import HostGate
from spikewright.hw_sim.timing.analytic import HOSTS, Host
from spikewright.hw_sim.timing.cycle.timer import CycleTimer
from spikewright.hw_sim.trace import PopulationCount, ProjectionCount, Trace

if TYPE_CHECKING:
    from spikewright.hw_sim.engine.cuda import Cuda

BLOCK_BYTES, CACHE_BYTES = 32 << 20, 8 << 20
"""Room for the messages and drives of one block: timesteps are cut so that a block stays below the first, samples below the
second where one sample fits (the block then stays in the L3 cache; a step has more to do outside the kernels than a sample)."""


def simulate(
    program: Program | Compiled,
    inputs: dict[str, NDArray[Any]],
    *,
    chip: Chip | None = None,
    steps: int | None = None,
    record: bool = False,
    timing: Literal["analytic", "cycle"] = "analytic",
    host: Host = "lava",
    device: str = "cpu",
    strict: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Trace:
    """Run a batch of independent samples; exact integers, counters and step times included.

    Args:
        program: A program, or what ``compile`` made of it (compile once to run often).
        inputs: For each ``Source`` population its payloads (T, B, *shape); for ``HostGate`` populations, where they do not
            stay at 1.0, their levels.
        chip: The chip to run a program on; not given: the one that ships under the program's name of it.
        steps: Local timesteps T; the program's own if not given.
        record: Keep spikes, v and u of every population and step.
        timing: ``analytic`` (the busiest part of each step) or ``cycle`` (cores and mesh simulated); see ``hw_sim.timing``.
        host: ``lava`` (its runtime adds ``step_overhead`` to every chip step) or ``bare`` (nothing but the barrier).
        device: ``cpu``, or ``cuda``: drives and LIF scans of feed-forward populations on a GPU, same integers.
        strict: Raise if a state saturates.
        threads: Threads to share the work; as many as processor cores if not given.
        progress: Called with (samples done, samples) after each block of samples.

    Raises:
        ProgramError: Inputs do not fit the program, or there is no such device.
        SaturationError: A state left 24 bits while ``strict``.
    """
    compiled = program if isinstance(program, Compiled) else compile(program, chip)
    cuda = _device(device, compiled)
    _check_timing(timing, host)
    length = compiled.program.steps if steps is None else steps
    sources, samples = _sources(compiled, inputs, length)
    with Threads(threads or len(os.sched_getaffinity(0))) as pool:
        timer = CycleTimer(compiled, length, samples, pool, host) if timing == "cycle" else None
        return _run(
            compiled, sources, samples, Tally(compiled, length, pool, host, timer), record, strict, progress, cuda
        )


def _check_timing(timing: str, host: str) -> None:
    if timing not in ("analytic", "cycle"):
        raise ProgramError(
            f"timing {timing!r}; allowed: analytic, cycle", where="simulate", help="use timing='analytic' or 'cycle'"
        )
    if host not in HOSTS:
        raise ProgramError(f"host {host!r}; allowed: {', '.join(HOSTS)}", where="simulate", help="use host='lava'")


def _device(device: str, compiled: Compiled) -> Cuda | None:
    """Return what runs on the GPU, if asked for; only then is numba's CUDA part imported."""
    if device == "cpu":
        return None
    if device != "cuda":
        raise ProgramError(f"device {device!r}; allowed: cpu, cuda", where="simulate", help="use device='cpu'")
    from spikewright.hw_sim.engine.cuda import Cuda

    return Cuda(compiled)


def _run(
    compiled: Compiled,
    sources: dict[str, NDArray[Any]],
    samples: int,
    tally: Tally,
    record: bool,
    strict: bool,
    progress: Callable[[int, int], None] | None,
    cuda: Cuda | None,
) -> Trace:
    length, threads = tally.steps, tally.threads
    recorder = Recorder(compiled, length, samples, record)
    readout = _Readout(compiled, samples)
    saturated = {name: np.zeros(2, np.int64) for name in compiled.stages}
    batch, span = _block(compiled, length, samples)
    for first in range(0, samples, batch):
        state = State(compiled, first, min(batch, samples - first), recorder, threads, cuda)
        tally.begin(state.batch)
        for t in range(0, length, span):
            _block_of_steps(state, sources, slice(t, min(t + span, length)), tally, readout)
        tally.finish()
        for name, counts in state.saturated.items():
            saturated[name] += counts
            if strict and counts.any():
                raise _saturation(name, counts)
        if progress is not None:
            progress(first + state.batch, samples)
    recorder.flat(compiled)
    return _trace(compiled, tally, recorder, readout, saturated, samples)


class Simulation:
    """A batch of samples on its way through time: ``advance`` takes the next steps, ``finish`` gives the counters of all.

    What ``simulate`` does to samples that come whole; here a run needs no more memory than its blocks. Arguments as there.
    """

    def __init__(
        self,
        program: Program | Compiled,
        samples: int,
        *,
        chip: Chip | None = None,
        steps: int | None = None,
        timing: Literal["analytic", "cycle"] = "analytic",
        host: Host = "lava",
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self.compiled = compiled = program if isinstance(program, Compiled) else compile(program, chip)
        _check_timing(timing, host)
        length = compiled.program.steps if steps is None else steps
        self.samples, self.first = samples, 0
        self.pool = Threads(threads or len(os.sched_getaffinity(0)))
        timer = CycleTimer(compiled, length, samples, self.pool, host) if timing == "cycle" else None
        self.tally = Tally(compiled, length, self.pool, host, timer)
        self.readout = _Readout(compiled, samples)
        recorder = Recorder(compiled, 0, samples, False)
        self.state = State(compiled, 0, samples, recorder, self.pool, _device(device, compiled))
        self.tally.begin(samples)

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.__exit__()

    def advance(self, inputs: dict[str, NDArray[Any]]) -> Recorder:
        """Take the payloads of the next steps (T', B, *shape) of each source; return spikes, v and u of these steps.

        Raises:
            ProgramError: Inputs do not fit the program, or its steps are over.
        """
        steps = max((x.shape[0] for x in inputs.values()), default=0)
        sources, samples = _sources(self.compiled, inputs, steps)
        left = self.tally.steps - self.first
        if samples != self.samples or steps > left:
            raise ProgramError(
                f"{steps} steps of {samples} samples; {left} steps of {self.samples} samples are left",
                where="simulation",
                help="give the next steps of the samples it was made for",
            )
        recorder = self.state.recorder = Recorder(self.compiled, steps, samples, True, self.first)
        _, span = _block(self.compiled, self.tally.steps, 1)
        span = max(1, span // samples)
        for t in range(0, steps, span):
            block = slice(t, min(t + span, steps))
            _block_of_steps(self.state, sources, block, self.tally, self.readout, self.first)
        self.first += steps
        recorder.flat(self.compiled)
        return recorder

    def finish(self) -> Trace:
        """Return the counters, times and the answer; nothing is recorded in it."""
        self.tally.finish()
        empty = Recorder(self.compiled, 0, self.samples, False)
        return _trace(self.compiled, self.tally, empty, self.readout, self.state.saturated, self.samples)


def _block_of_steps(
    state: State, sources: dict[str, NDArray[Any]], steps: slice, tally: Tally, readout: _Readout, first: int = 0
) -> None:
    """Run one block of timesteps; the rows of ``sources`` begin at local step ``first``."""
    compiled, t, span = state.compiled, first + steps.start, steps.stop - steps.start
    state.advance(span)
    for name, stage in compiled.stages.items():
        soma = stage.population.soma
        if name in sources:
            block = sources[name][steps, state.samples]
            state.load(stage, t, layout.to_internal(block, stage.population.shape))
        elif isinstance(soma, HostGate):
            state.load(stage, t, np.full((span, state.batch, stage.population.size), soma.idle))
        elif soma.on_host:
            state.load(stage, t, _table_rows(stage, t, span, state.batch))
    for group in compiled.groups:
        for start in range(0, span, group.block or span):
            for name in group.names:
                state.evaluate(compiled.stages[name], t, start, min(start + (group.block or span), span))
    for name in compiled.stages:
        tally.add(name, t, state.sent(name))
    readout.collect(state)


def _table_rows(stage: Stage, t: int, span: int, batch: int) -> NDArray[Any]:
    rows = stage.params if stage.params.shape[0] == 1 else stage.params[t : t + span]
    if rows.shape[0] not in (1, span):
        raise ProgramError(
            f"the gate table has {stage.params.shape[0]} rows, fewer than the steps to run",
            where=f"population {stage.population.name!r}",
            help="give one row for every local step, or a single row",
        )
    return np.broadcast_to(rows[:, None], (span, batch, rows.shape[1]))


def _sources(compiled: Compiled, inputs: dict[str, NDArray[Any]], steps: int) -> tuple[dict[str, NDArray[Any]], int]:
    """Check the inputs against the program's sources and return them with the number of samples."""
    if steps < 1:
        raise ProgramError(f"{steps} steps; at least 1 is needed", where="simulate", help="give steps >= 1")
    needed, gates = compiled.program.sources, compiled.program.host_gates
    wanted = needed | gates
    if not set(needed) <= set(inputs) <= set(wanted):
        raise ProgramError(
            f"inputs for {sorted(inputs)}; the program's sources are {sorted(needed)}"
            + (f", and the host may gate {sorted(gates)}" if gates else ""),
            where="simulate",
            help="give one array (T, B, *shape) for each source",
        )
    samples = {int(x.shape[1]) for x in inputs.values() if x.ndim > 1} or {1}
    for name, x in inputs.items():
        shape = compiled.program.population(name).shape
        if len(samples) > 1 or x.shape[0:1] != (steps,) or tuple(x.shape[2:]) != shape or x.dtype.kind not in "biu":
            raise ProgramError(
                f"input of shape {x.shape}, dtype {x.dtype}; expected integers ({steps}, B, {', '.join(map(str, shape))})",
                where=f"source {name!r}",
                help="order the axes T, B, C, H, W; give every source the same B; encode real values first",
            )
        if refused := wanted[name].refused(x):
            raise ProgramError(refused, where=f"source {name!r}", help="encode the input within payload_bits")
    return dict(inputs), samples.pop()


def _block(compiled: Compiled, steps: int, samples: int) -> tuple[int, int]:
    """Return how many samples and timesteps one block holds."""
    width = max((e.width for s in compiled.stages.values() for e in s.emitters), default=0)
    sizes = [s.population.size for s in compiled.stages.values()]
    messages = sum(s.population.size * message_bytes(s.population.soma) for s in compiled.stages.values())
    row = messages + 12 * max(sizes) + 16 * width + 48 * compiled.cores + 8 * compiled.links.size
    rows = max(1, BLOCK_BYTES // row)
    if rows < steps:
        return 1, rows
    return max(1, min(samples, CACHE_BYTES // row // steps)), steps


def _saturation(name: str, counts: NDArray[np.int64]) -> SaturationError:
    return SaturationError(
        f"u wrapped {int(counts[0])} times and v was clipped {int(counts[1])} times at 24 bits",
        where=f"population {name!r}",
        help="lower the weight exponent or the weights of its projections, or run without strict",
    )


class _Readout:
    """Collects the answer of the read-out population."""

    def __init__(self, compiled: Compiled, samples: int) -> None:
        self.stage = compiled.stages[compiled.program.readout]
        self.kind = compiled.program.readout_kind
        self.result = np.zeros((samples, self.stage.population.size), np.int64)

    def collect(self, state: State) -> None:
        name = self.stage.population.name
        if self.kind == "spikes":
            self.result[state.samples] += state.sent(name).sum(axis=0, dtype=np.int64)
        else:
            self.result[state.samples] = state.v[name]

    def flat(self) -> NDArray[np.int64]:
        flat = np.empty_like(self.result)
        flat[:, self.stage.order] = self.result
        return flat


def _trace(
    compiled: Compiled,
    tally: Tally,
    recorder: Recorder,
    readout: _Readout,
    saturated: dict[str, NDArray[np.int64]],
    samples: int,
) -> Trace:
    program = compiled.program
    projections = {}
    for p in program.projections:
        arriving = min(tally.lives[p.source], max(0, tally.lives[p.target] - program.lag(p))) * samples
        dense = int(compiled.fan_out[p.name].synapses.sum(dtype=np.int64)) * arriving
        projections[p.name] = ProjectionCount(program.population(p.source).soma.sends, tally.sops[p.name], dense)
    populations = {}
    for name, stage in compiled.stages.items():
        n = stage.population.size
        updates = n * tally.lives[name] * samples
        wraps, clips = (int(x) for x in saturated[name])
        populations[name] = PopulationCount(n, tally.spikes[name], updates, len(stage.gates) * updates, wraps, clips)
    per_core = dict(tally.per_core)
    for fixed in ("neuron_updates", "gate_multiplies"):
        per_core[fixed] = per_core[fixed] * samples
    return Trace(
        chip=compiled.chip.name,
        steps=tally.steps,
        chip_steps=tally.chip_steps,
        samples=samples,
        **per_core,
        host_messages=tally.host,
        links=compiled.links,
        link_messages=tally.link_messages,
        chip_crossings=tally.link_messages * Links(compiled.chip.mesh).between_chips(compiled.links),
        projections=projections,
        populations=populations,
        latency_ns=np.concatenate([t.latency_ns for t in tally.times], axis=1),
        term=np.concatenate([t.term for t in tally.times], axis=1),
        place=np.concatenate([t.place for t in tally.times], axis=1),
        timing="analytic" if tally.timer is None else "cycle",
        host=tally.host_kind,
        cycle=None if tally.timer is None else tally.timer.record,
        outputs=readout.flat(),
        spikes=recorder.spikes,
        v=recorder.v,
        u=recorder.u,
    )
