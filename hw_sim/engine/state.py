"""The state of a block of samples, and the evaluation of one population over a block of timesteps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.compiled import layout
from spikewright.hw_sim.compiled.stages import Compiled, Stage
from spikewright.hw_sim.engine import soma_kernels
from spikewright.hw_sim.jit import Threads
from spikewright.hw_sim.somas import (
    DeltaRelu,
    Gate,
    GatedMembrane,
    Lif,
    ProductGate,
    Relay,
    Saturations,
    SigmaDelta,
    Soma,
)
from spikewright.hw_sim.somas import State as Remembered

if TYPE_CHECKING:
    from spikewright.hw_sim.engine.cuda import Cuda

AnyInt = NDArray[Any]
V_START = Lif.per_neuron.index("v_start")
"""The row of a LIF's parameters that its membrane starts at."""
ANY_COUNT = 1 << 24
"""More spikes than a membrane of 24 bits is worth."""


def message_bytes(soma: Soma) -> int:
    """Return how many bytes one message of a population takes here."""
    return 1 if soma.sends == "binary" else 4


def _word_of_messages(soma: Soma) -> type[np.signedinteger[Any]]:
    return np.int8 if message_bytes(soma) == 1 else np.int32


class Recorder:
    """Holds recorded arrays (T', B, n) of the steps from ``first`` on in internal order, one set a population."""

    def __init__(self, compiled: Compiled, steps: int, samples: int, wanted: bool, first: int = 0) -> None:
        self.first = first
        self.spikes: dict[str, AnyInt] = {}
        self.v: dict[str, AnyInt] = {}
        self.u: dict[str, AnyInt] = {}
        for name, stage in compiled.stages.items() if wanted else ():
            shape = (steps, samples, stage.population.size)
            soma = stage.population.soma
            self.spikes[name] = np.zeros(shape, _word_of_messages(soma))
            if "v" in soma.states:
                self.v[name] = np.zeros(shape, np.int32)
            if "u" in soma.states:
                self.u[name] = np.zeros(shape, stage.word)  # a current that wraps once may stay above 24 bits

    def flat(self, compiled: Compiled) -> None:
        """Bring every array into the program's order and shape (T, B, *shape)."""
        for arrays in (self.spikes, self.v, self.u):
            for name, array in arrays.items():
                arrays[name] = layout.to_program(array, compiled.stages[name].population.shape)


class State:
    """One block of samples on its way through time.

    ``values[name]`` (history + T', B, n) holds what was sent, oldest first, with the last steps of the block before in front;
    gates hold levels there, and their level changes are in ``changes[name]``. The populations that ``cuda`` names run there.
    """

    def __init__(
        self, compiled: Compiled, first_sample: int, batch: int, recorder: Recorder, threads: Threads,
        cuda: Cuda | None = None,
    ) -> None:  # fmt: skip
        self.compiled = compiled
        self.cuda = cuda
        self.batch = batch
        self.samples = slice(first_sample, first_sample + batch)
        self.recorder = recorder
        self.threads = threads
        self.values: dict[str, AnyInt] = {}
        self.changes: dict[str, AnyInt] = {}
        self.u: dict[str, AnyInt] = {}
        self.v: dict[str, AnyInt] = {}
        self.hold: dict[str, AnyInt] = {}
        self.plain: dict[str, Remembered] = {}
        self.saturated = {name: np.zeros(2, np.int64) for name in compiled.stages}
        self.room: dict[type[np.signedinteger[Any]], AnyInt] = {}
        for name, stage in compiled.stages.items():
            shape = (batch, stage.population.size)
            soma = stage.population.soma
            dtype = _word_of_messages(soma)
            word = stage.word if isinstance(soma, Lif) else np.int64
            self.values[name] = np.full((stage.history, *shape), soma.idle, dtype)
            self.u[name] = np.full(shape, soma.idle, word)  # without a current: what was sent last
            self.v[name] = np.zeros(shape, word)
            if isinstance(soma, Lif):
                self.v[name] += stage.params[V_START]
                self.hold[name] = np.zeros(shape if soma.refractory > 1 else (0, 0), word)

    def advance(self, steps: int) -> None:
        """Make room for a block of ``steps`` timesteps behind the history."""
        for name, stage in self.compiled.stages.items():
            old = self.values[name]
            fresh = np.zeros((stage.history + steps, *old.shape[1:]), old.dtype)
            if stage.history:
                fresh[: stage.history] = old[-stage.history :]
            self.values[name] = fresh
            if stage.emitters and stage.population.soma.sends == "gate":
                self.changes[name] = np.zeros((steps, *old.shape[1:]), np.int8)

    def sent(self, name: str) -> AnyInt:
        """Return the block's messages (T', B, n); non-zero is a message."""
        if name in self.changes:
            return self.changes[name]
        return self.values[name][self.compiled.stages[name].history :]

    def delayed(self, name: str, lag: int, start: int, stop: int) -> AnyInt:
        """Return what ``name`` sent ``lag`` steps before block rows ``start`` to ``stop``."""
        first = self.compiled.stages[name].history - lag
        return self.values[name][first + start : first + stop]

    def load(self, stage: Stage, first_step: int, values: AnyInt) -> None:
        """Put the host's payloads (T', B, *internal shape), its gate levels, or the rows of a gate table, into the block."""
        name = stage.population.name
        block = self.values[name][stage.history :]
        block.reshape(values.shape)[...] = values
        if name in self.changes:
            before = np.concatenate([self.u[name][None].astype(block.dtype), block[:-1]])
            self.changes[name][...] = block != before
            self.u[name][...] = block[-1]
        if name in self.recorder.spikes:
            at = first_step - self.recorder.first
            self.recorder.spikes[name][at : at + values.shape[0], self.samples] = block

    def evaluate(self, stage: Stage, first_step: int, start: int, stop: int) -> None:
        """Run a population over the block's rows ``start`` to ``stop``; the block begins at local step ``first_step``."""
        name, soma, halt = stage.population.name, stage.population.soma, self.compiled.program.stop
        if halt:
            stop = min(stop, halt - stage.population.start - first_step)
        if soma.on_host or stop <= start:
            return
        cuda = self.cuda if self.cuda is not None and name in self.cuda.names else None
        drive = self._drive(stage, start, stop) if cuda is None else self._drive_on(cuda, stage, start, stop)
        out = self.delayed(name, 0, start, stop)
        at = first_step - self.recorder.first
        steps = slice(at + start, at + stop)
        rec_v = self.recorder.v.get(name, np.empty((0, 1, 1), np.int32))
        corner = (steps.start, self.samples.start)
        blocks = -(-stage.population.size // soma_kernels.BLOCK)
        saturated = np.zeros((self.batch * blocks, 2), np.int64)
        match soma:
            case GatedMembrane() | ProductGate():
                self._plain(stage, drive, out, first_step, start, saturated[0])
            case Lif():
                self._lif(stage, soma, drive, out, first_step, start, stop, rec_v, saturated, cuda)
            case DeltaRelu(shift=shift):
                soma_kernels.delta_relu(
                    drive,
                    self.v[name],
                    self.u[name],
                    stage.params[0],
                    shift,
                    out,
                    rec_v,
                    corner,
                    saturated,
                    0,
                    self.batch,
                )
            case Relay(shift=shift):
                sums = (drive, self.v[name], shift, soma.half, soma.limit, out, rec_v)
                soma_kernels.relay(*sums, corner, saturated, 0, self.batch)
            case SigmaDelta():
                soma_kernels.sigma_delta(
                    drive, self.v[name], self.u[name], stage.params, soma.shift, soma.rectify, soma.sums, soma.limit,
                    out, rec_v, corner, saturated, 0, self.batch,
                )  # fmt: skip
            case Gate():
                soma_kernels.gate(
                    drive, self.v[name], self.u[name], stage.params[0], stage.params[1],
                    np.asarray(soma.thresholds, np.int64), np.asarray(soma.levels, np.int64),
                    out, self.changes[name][start:stop], rec_v, corner, saturated, 0, self.batch,
                )  # fmt: skip
            case _:
                self._plain(stage, drive, out, first_step, start, saturated[0])
        self.saturated[name] += saturated.sum(axis=0)
        if name in self.recorder.spikes:
            self.recorder.spikes[name][steps, self.samples] = out

    def _plain(
        self, stage: Stage, drive: AnyInt, out: AnyInt, first_step: int, start: int, saturations: AnyInt
    ) -> None:
        """Run a soma that has no kernel by its own ``step``, in the program's order of neurons."""
        name, soma, flat = stage.population.name, stage.population.soma, layout.inverse(stage.order)
        state = self.plain.setdefault(name, soma.start(self.v[name].shape))
        for t in range(out.shape[0]):
            at = start + t
            levels = [self.delayed(g.projection.source, g.lag, at, at + 1)[0][:, g.index][:, flat] for g in stage.gates]
            full = Saturations()
            sent = soma.step(state, drive[t][:, flat].astype(np.int64), levels, first_step + at, full)
            saturations += (full.wraps, full.clips)
            out[t] = sent[:, stage.order]
            self.v[name][...] = state["v"][:, stage.order]
            if name in self.changes:
                self.changes[name][at] = out[t] != self.u[name]
                self.u[name][...] = out[t]
            for kept, of in ((self.recorder.v, "v"), (self.recorder.u, "u")):
                if name in kept:
                    kept[name][first_step + at - self.recorder.first, self.samples] = state[of][:, stage.order]

    def _drive(self, stage: Stage, start: int, stop: int) -> AnyInt:
        n = stage.population.size
        rows = (stop - start) * self.batch
        drive = self._zeros(stage.word, rows * n).reshape(rows, n)
        for item in stage.inputs:
            x = self.delayed(item.projection.source, item.lag, start, stop)
            x = x.reshape(rows, x.shape[2])
            if item.shift == 0:
                item.synapses.add(x, drive, self.threads)
            else:
                part = np.zeros_like(drive)
                item.synapses.add(x, part, self.threads)
                drive += part >> -item.shift
        return drive.reshape(stop - start, self.batch, n)

    def _drive_on(self, cuda: Cuda, stage: Stage, start: int, stop: int) -> Any:
        values = [self.delayed(item.projection.source, item.lag, start, stop) for item in stage.inputs]
        return cuda.drive(stage, values, (stop - start, self.batch, stage.population.size))

    def _zeros(self, word: type[np.signedinteger[Any]], size: int) -> AnyInt:
        """Return zeros, in memory that is used again: fresh memory costs more than what is done with it."""
        if word not in self.room or self.room[word].size < size:
            self.room[word] = np.empty(size, word)
        zeros = self.room[word][:size]
        zeros[:] = 0
        return zeros

    def _lif(
        self, stage: Stage, soma: Lif, drive: AnyInt, out: AnyInt, first_step: int, start: int, stop: int,
        rec_v: AnyInt, saturated: AnyInt, cuda: Cuda | None,
    ) -> None:  # fmt: skip
        name = stage.population.name
        arrays = [self.delayed(g.projection.source, g.lag, start, stop) for g in stage.gates]
        widest = max((a.shape[2] for a in arrays), default=0)
        levels = np.zeros((len(arrays), stop - start, self.batch, widest), np.int32)
        index = np.zeros((len(arrays), stage.population.size), np.int32)
        for port, (array, gate) in enumerate(zip(arrays, stage.gates, strict=True)):
            levels[port, :, :, : array.shape[2]] = array
            index[port] = gate.index
        inner = len(arrays) - soma.output_gate
        subtract = soma.reset == "subtract"
        floor = 0 if soma.rectify else soma_kernels.NO_FLOOR
        zeroing = _zeroing(soma, first_step + start)
        rec_u = self.recorder.u.get(name, np.empty((0, 1, 1), stage.word))
        corner = (first_step + start - self.recorder.first, self.samples.start)

        scanned = (
            subtract, floor, zeroing, levels[:inner], index[:inner], soma.gate_bits, soma.refractory, self.hold[name],
            ANY_COUNT if soma.max_spikes is None else soma.max_spikes, soma.floored, out, rec_u, rec_v, corner, saturated,
        )  # fmt: skip
        u, v = self.u[name], self.v[name]
        if cuda is not None:
            cuda.lif(stage, drive, u, v, *scanned)
        else:
            self.threads.split(
                lambda a, b: soma_kernels.lif(drive, u, v, stage.params, *scanned, a, b), saturated.shape[0], drive.size
            )
        if soma.output_gate:
            out *= arrays[-1][:, :, index[-1]]


def _zeroing(soma: Lif, step: int) -> tuple[int, int]:
    """Return the steps from local step ``step`` to the first periodic reset at or after it, and the interval."""
    if soma.reset_interval == 0:
        return 1 << 62, 1
    first = max(step, 1)
    return first - step + (soma.reset_phase - first) % soma.reset_interval, soma.reset_interval
