"""The neuron models, one class each: its integers, one step of it, its legal ranges, what it sends.

``step`` is written in plain numpy on ``hw_sim.fixed_point`` and is what the interpreter and Lava's own processes run; the
kernels of ``engine`` stand apart from it and are tested against it. Where ``fixed_point`` itself is wrong, all of these are
wrong together: the independent oracles are the vectors of brian2-loihi and the neurons of stock Lava.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import fixed_point as fp
from spikewright.hw_sim.linear import conv2d, planar
from spikewright.hw_sim.ranges import Wrong, ranked, sizes, within
from spikewright.hw_sim.text import shown

if TYPE_CHECKING:
    from spikewright.hw_sim.chip import CoreLimits

IntArray = NDArray[np.int64]
State = dict[str, IntArray]
"""What neurons remember, by name, each (..., n)."""
Signal = Literal["binary", "graded", "gate"]
STATE_HELP = "scale weights, bias and threshold down together"
GATE_BITS_MAX = 16
"""A 24-bit drive times a gate level stays in 64 bits with room."""


@dataclass
class Saturations:
    """How often states met the ends of their 24 bits."""

    wraps: int = 0
    clips: int = 0


@dataclass(frozen=True, eq=False)
class Soma:
    """A neuron model; a subclass is a frozen dataclass of its integers.

    Class attributes:
        states: What a neuron remembers; ``v`` is the membrane or accumulator, ``u`` a synaptic current.
        per_neuron: Parameters of one value, or of one for each neuron (flat, C order).
        on_host: Lies outside the cores.
        integrates: Takes synaptic input.
        takes_gates: Has gate ports, ``ports`` of them.
        updates: How often its program runs in a chip step.
        rare: Fields that its text shows only where they are not as usual.
    """

    states: ClassVar[tuple[str, ...]] = ("v",)
    per_neuron: ClassVar[tuple[str, ...]] = ()
    on_host: ClassVar[bool] = False
    integrates: ClassVar[bool] = True
    takes_gates: ClassVar[bool] = False
    updates: ClassVar[int] = 1
    rare: ClassVar[tuple[str, ...]] = ()

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
        """Advance ``state`` in place by one step and return what is sent (a gate: the level it holds), (..., n).

        Args:
            state: As ``start`` made it.
            a: Synaptic input, (..., n).
            levels: The level of each gate port, broadcast to (..., n).
            t: The local step.
            full: Counts the currents that wrapped and the voltages that were clipped, where wanted.
        """
        raise NotImplementedError

    def start(self, shape: tuple[int, ...]) -> State:
        """Return the state before step 0, zeros of ``shape`` (..., n) where the model does not say otherwise."""
        return {name: np.zeros(shape, np.int64) for name in self.states}

    @property
    def sends(self) -> Signal:
        """What the messages are, as they are counted and priced."""
        return "binary"

    @property
    def kind(self) -> str:
        """What a population of it declares to send: as ``sends``; ``none`` for a read-out that never fires."""
        return self.sends

    @property
    def counts_as_spikes(self) -> bool:
        """Whether its messages are spikes of neurons, one each or several, and not levels or scaled spikes."""
        return self.sends == "binary"

    @property
    def idle(self) -> int:
        """What a receiver reads before the first message: 0, or the gate level of 1.0."""
        return 0

    @property
    def ports(self) -> int:
        """Number of gate ports."""
        return 0

    @property
    def filters(self) -> bool:
        """Whether its synaptic current keeps some of itself, so that u is a state to compare."""
        return False

    def largest_payload(self, current: int | None = None, steps: int = 1) -> int:
        """Return the largest |message|, of 24 bits at most.

        Args:
            current: Bound of the input's size in every step; None: any input.
            steps: Number of such steps.
        """
        return 1

    def messages(self, out: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Return which outputs (T, ...) are sent as messages."""
        return np.asarray(out != 0)

    def parameters(self) -> Sequence[IntArray]:
        """Return the rows a kernel reads, each (1,) or (n,); a decay as what is kept, 4096 - decay."""
        rows = [(name, np.asarray(getattr(self, name), np.int64)) for name in self.per_neuron]
        return [fp.DECAY_ONE - row if name.startswith("decay") else row for name, row in rows]

    def malformed(self, size: int) -> Iterator[Wrong]:
        """Yield what is wrong with the form of its fields, which ``wrong`` and the kernels rely on."""
        for name in self.per_neuron:
            yield from ranked(name, getattr(self, name), 1)
        for name in ("payload_bits", "gate_bits", "shift", "gates"):
            yield from sizes(name, (int(getattr(self, name, 0)),), 0, 64)

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal in a population of ``size`` neurons.

        Args:
            size: Number of neurons.
            steps: Local steps T of a run; None: any.
            core: The limits of the chip; None: what the machine's arithmetic holds.
        """
        for name in self.per_neuron:
            values = np.asarray(getattr(self, name))
            if values.size not in (1, size):
                yield Wrong(f"{name} has {values.size} values; allowed 1 or {size}", "give one for each neuron")
            if name.startswith("decay"):
                yield from within(name, values, 0, fp.DECAY_ONE, "round the decay to 12 bits")

    def __str__(self) -> str:
        named = [f.name for f in fields(self) if f.name not in self.rare or not _usual(f, getattr(self, f.name))]
        return f"{type(self).__name__}({', '.join(f'{name}={shown(getattr(self, name))}' for name in named)})"


def _usual(field: Field[Any], value: Any) -> bool:
    """Say whether a field holds its default: a constant array whatever its length, or an empty one."""
    usual = field.default if field.default_factory is MISSING else field.default_factory()
    empty = isinstance(usual, np.ndarray) and not usual.size
    return not np.size(value) if empty else bool(np.all(value == usual))


@dataclass(frozen=True, eq=False)
class Source(Soma):
    """Integer payloads from the host; 1 bit = binary spikes.

    ``0 .. 2**payload_bits - 1``; ``signed``: a sign bit beside them, in two's complement ``-2**payload_bits ..
    2**payload_bits - 1``, as the signed fields of the chip (a bias mantissa of 12 + 1 bits is -4096 .. 4095).
    """

    states: ClassVar[tuple[str, ...]] = ()
    on_host: ClassVar[bool] = True
    integrates: ClassVar[bool] = False
    payload_bits: int = 1
    signed: bool = False

    @property
    def sends(self) -> Signal:
        """Binary spikes of one bit, else graded."""
        return "binary" if self.payload_bits == 1 and not self.signed else "graded"

    @property
    def payloads(self) -> tuple[int, int]:
        """The smallest and the largest payload of its ``payload_bits`` (1 to 24 bits)."""
        return -(1 << self.payload_bits) if self.signed else 0, (1 << self.payload_bits) - 1

    def largest_payload(self, current: int | None = None, steps: int = 1) -> int:
        """Return the largest |payload|."""
        return max(abs(end) for end in self.payloads)

    def refused(self, x: NDArray[np.generic]) -> str:
        """Return in words which payloads are out of range, or nothing."""
        low, high = self.payloads
        least, most = (x.min(), x.max()) if x.size else (0, 0)
        if low <= least and most <= high:
            return ""
        return f"payloads run from {least:.0f} to {most:.0f}; {self.payload_bits} bits hold {low} .. {high}"

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal: graded spikes carry up to 24 bits."""
        yield from within("payload_bits", self.payload_bits, 1, fp.PAYLOAD_BITS, "take fewer payload bits")


@dataclass(frozen=True, eq=False)
class Lif(Soma):
    """Leaky integrate-and-fire in the chip's integers.

    ::

        u = 0, v = v_start before step 0, and where t >= 1 and t mod reset_interval = reset_phase        (0: never)
        u = wrap24(decay(u, decay_u) + (a << 6))         a = sum over projections of (W x) << exponent
        i = u + bias; for each gate port: i = gain(i, level, gate_bits);  i = max(i, 0) if rectify
        v = clip24(decay(v, decay_v) + i)
        s = min(max_spikes, number of k >= 0 with v > threshold + k spacing)
        where s > 0:  v = v_reset  (reset "value")  or  v -= s v_reset  (reset "subtract")
        v = max(v, v_min)
        r steps after a spike, 1 <= r < refractory: v stays as it was reset, s = 0 (u goes on)
        out = s;  with output_gate the last gate port leaves i alone:  out = s level

    t is the local step; the periodic reset is that of lava-nc's ``LIFReset`` (before the step integrates, refractory or not);
    the refractory period is that of Loihi 1 as brian2-loihi models it (1: none).
    Arrays have the flat length n of the population or length 1. ``decay_u = 4096`` is a memoryless current. Output: binary
    spikes; with ``output_gate`` graded ones, payloads 0 .. 2**gate_bits (level 0: no message); with ``max_spikes`` above 1 (or
    None: any number) graded ones too, how many spikes: as sinabs' ``MultiSpike`` neurons, on Loihi 2 a graded spike.
    ``threshold = STATE_MAX`` never fires (a read-out neuron: its v is the result).
    """

    states: ClassVar[tuple[str, ...]] = ("u", "v", "hold")
    per_neuron: ClassVar[tuple[str, ...]] = (
        "decay_u", "decay_v", "bias", "threshold", "v_reset", "v_min", "v_start", "spacing"
    )  # fmt: skip
    takes_gates: ClassVar[bool] = True
    rare: ClassVar[tuple[str, ...]] = (
        "reset_interval", "reset_phase", "output_gate", "refractory", "max_spikes", "spacing", "v_min", "v_start"
    )  # fmt: skip
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
    max_spikes: int | None = 1
    spacing: IntArray = field(default_factory=lambda: np.ones(1, np.int64))
    v_min: IntArray = field(default_factory=lambda: np.full(1, -fp.STATE_MAX))
    v_start: IntArray = field(default_factory=lambda: np.zeros(1, np.int64))

    def start(self, shape: tuple[int, ...]) -> State:
        """Return the state before step 0: v at ``v_start``, all else 0. Each state is (..., n), as ``shape``."""
        return super().start(shape) | {"v": np.zeros(shape, np.int64) + self.v_start}

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
        """Integrate, gate, fire; see the equation."""
        if self.reset_interval and t and t % self.reset_interval == self.reset_phase:
            state.update(self.start(state["v"].shape))
        current = fp.decay(state["u"], self.decay_u) + (a << fp.CURRENT_SHIFT)
        state["u"] = fp.wrap_current(current)
        drive = state["u"] + self.bias
        inner = levels[:-1] if self.output_gate else levels
        first = len(inner) - self.on_membrane
        for level in inner[:first]:
            drive = fp.gain(drive, level, self.gate_bits)
        if self.rectify:
            drive = np.maximum(drive, 0)
        voltage = fp.decay(state["v"], self.decay_v) + drive
        clipped, held = fp.clip_voltage(voltage), state["hold"] > 0
        v = self.scaled(clipped, inner[first:])
        spikes = self._spikes(v)
        if full is not None:
            full.wraps += int(np.count_nonzero(state["u"] != current))
            full.clips += int(np.count_nonzero((clipped != voltage) & ~held))
        if self.refractory > 1:
            v, spikes = np.where(held, state["v"], v), np.where(held, 0, spikes)
            state["hold"] = np.where(spikes > 0, self.refractory - 1, np.maximum(state["hold"] - 1, 0))
        after = v - spikes * self.v_reset if self.reset == "subtract" else self.v_reset
        state["v"] = np.maximum(np.where(spikes > 0, after, v), self.v_min)
        return spikes * levels[-1] if self.output_gate else spikes

    @property
    def on_membrane(self) -> int:
        """How many of the gate ports scale the membrane."""
        return 0

    @property
    def pools(self) -> bool:
        """Whether it pools membranes inside the step."""
        return False

    def scaled(self, v: IntArray, levels: Sequence[IntArray]) -> IntArray:
        """Return membranes that have integrated, scaled before they may fire.

        From and to (..., n); a level is a fixed-point number of ``gate_bits`` bits.
        """
        return v

    def _spikes(self, v: IntArray) -> IntArray:
        """Return how many spikes membranes are worth."""
        if self.max_spikes == 1:
            return (v > self.threshold).astype(np.int64)
        times = (v - self.threshold - 1) // self.spacing + 1
        return np.clip(times, 0, self.max_spikes)

    @property
    def sends(self) -> Signal:
        """Binary spikes; graded ones behind an output gate, or where it counts them."""
        return "graded" if self.output_gate or self.max_spikes != 1 else "binary"

    @property
    def counts_as_spikes(self) -> bool:
        """Whether no gate scales what it sends."""
        return not self.output_gate

    @property
    def floored(self) -> bool:
        """Whether v has a floor above that of its 24 bits."""
        return bool((self.v_min > -fp.STATE_MAX).any())

    @property
    def kind(self) -> str:
        """``none`` where no neuron can fire."""
        return "none" if bool((self.threshold >= fp.STATE_MAX).all()) else self.sends

    @property
    def ports(self) -> int:
        """Number of gate ports."""
        return self.gates

    @property
    def filters(self) -> bool:
        """Whether u keeps some of itself."""
        return bool((self.decay_u < fp.DECAY_ONE).any())

    def largest_payload(self, current: int | None = None, steps: int = 1) -> int:
        """Return 1, the level of 1.0 behind an output gate, or the largest count.

        A membrane is at most what it was reset to, or did not fire at, and one step's drive.
        """
        if self.max_spikes == 1:
            return 1 << self.gate_bits if self.output_gate else 1
        top = np.full(1, fp.STATE_MAX)
        if current is not None and not self.filters and self.max_spikes is None:
            rest = np.maximum(self.threshold, self.v_start)
            rest = np.maximum(rest, self.v_reset) if self.reset == "value" else rest
            drive = np.maximum((current << fp.CURRENT_SHIFT) + self.bias, 0)
            top = np.minimum(top, np.maximum(rest, self.v_min) + drive)
        largest = int(np.max(np.maximum(top - self.threshold - 1, -1) // np.maximum(self.spacing, 1) + 1))
        return max(1, largest if self.max_spikes is None else min(largest, self.max_spikes))

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal: decays 12-bit; threshold, reset and bias in the chip's fields; a phase inside its interval.

        A refractory period is 1 (none) to 64 steps: Loihi 1's 6-bit field (brian2-loihi 0.5.2 allows the same).
        """
        yield from super().wrong(size, steps, core)
        state = 1 << ((fp.STATE_BITS if core is None else core.threshold_bits) - 1)
        bias = 1 << ((fp.STATE_BITS if core is None else core.bias_bits) - 1)
        yield from within("threshold", self.threshold, -state, state - 1, STATE_HELP)
        yield from within("v_reset", self.v_reset, -state, state - 1, STATE_HELP)
        yield from within("bias", self.bias, -bias, bias - 1, STATE_HELP)
        yield from within("gate_bits", self.gate_bits, 0, GATE_BITS_MAX, "use fewer gate bits")
        yield from within("refractory", self.refractory, 1, 64, "take 1 for none, at most 64")
        yield from within("v_min", self.v_min, -fp.STATE_MAX, fp.STATE_MAX, STATE_HELP)
        yield from within("v_start", self.v_start, -fp.STATE_MAX, fp.STATE_MAX, STATE_HELP)
        if self.max_spikes != 1:
            yield from self._wrong_counts()
        if not (self.reset_interval == self.reset_phase == 0 or 0 <= self.reset_phase < self.reset_interval):
            what = f"reset_interval {self.reset_interval}, reset_phase {self.reset_phase}; the phase must be 0 .. interval - 1"
            yield Wrong(what, "take the phase modulo the interval; 0, 0 is no periodic reset")
        if self.output_gate and not self.gates:
            yield Wrong("an output gate, but no gate port", "give it a gate port, or no output gate")

    def _wrong_counts(self) -> Iterator[Wrong]:
        """Yield what is illegal in neurons that send several spikes a step."""
        yield from within(
            "threshold", self.threshold, 0, fp.STATE_MAX, "several spikes a step need a threshold above 0"
        )
        yield from within("spacing", self.spacing, 1, fp.STATE_MAX, "take the threshold in state units")
        if self.max_spikes is not None:
            yield from within("max_spikes", self.max_spikes, 1, fp.STATE_MAX, "take None for any number")
        if self.reset == "subtract" and not np.all(self.v_reset == self.spacing):
            yield Wrong(
                "each spike subtracts v_reset, but they are spacing apart", "give v_reset and spacing one value"
            )
        if self.output_gate:
            yield Wrong(
                "an output gate on several spikes a step", "scale the spikes of one a step, or count without a gate"
            )


def _accumulated(acc: IntArray, decay: IntArray, a: IntArray, full: Saturations | None) -> IntArray:
    """Return clip24(decay(acc) + a), and count what was clipped."""
    total = fp.decay(acc, decay) + a
    kept = fp.clip_voltage(total)
    if full is not None:
        full.clips += int(np.count_nonzero(kept != total))
    return kept


def _nothing(rank: int) -> Callable[[], IntArray]:
    """Return what makes an empty array of so many axes."""
    return lambda: np.zeros((0,) * rank, np.int64)


@dataclass(frozen=True, eq=False)
class GatedMembrane(Lif):
    """A ``Lif`` whose membrane is scaled between integrating and firing: by gate ports, and by gates pooled from all membranes.

    ::

        v = clip24(decay(v, decay_v) + i)                                        as ``Lif``
        for each of the last ``membrane_gates`` ports (an output gate stands behind):  v = gain(v, level, gate_bits)
        n = excite (max(0, squeeze sum_S v) + max(0, squeeze S max_S v))         S: places of a map
        v = gain(v, levels[count(n >= channel_thresholds)], gate_bits)           a level a channel
        m = kernel * [sum_C v; C max_C v]                                        'same' padding
        v = gain(v, levels[count(m >= space_thresholds)], gate_bits)             a level a place
        s, reset as ``Lif``

    ``grid`` (C, ...) is the shape of the population; ``squeeze`` (h, C), ``excite`` (C, h), ``kernel`` (1, 2, k, k), each empty
    where there is no such gate. A pool reads every membrane in every step, event or not, and neurons wait for it inside the
    step: no events, and no timestep of the chip. The sums are wide (64 bits).
    """

    rare: ClassVar[tuple[str, ...]] = (
        *Lif.rare, "grid", "membrane_gates", "squeeze", "excite", "channel_thresholds", "kernel", "space_thresholds", "levels"
    )  # fmt: skip
    grid: tuple[int, ...] = ()
    membrane_gates: int = 0
    squeeze: IntArray = field(default_factory=_nothing(2))
    excite: IntArray = field(default_factory=_nothing(2))
    channel_thresholds: IntArray = field(default_factory=_nothing(1))
    kernel: IntArray = field(default_factory=_nothing(4))
    space_thresholds: IntArray = field(default_factory=_nothing(1))
    levels: IntArray = field(default_factory=_nothing(1))

    @property
    def on_membrane(self) -> int:
        """``membrane_gates``."""
        return self.membrane_gates

    @property
    def pools(self) -> bool:
        """Whether it pools membranes inside the step."""
        return bool(self.squeeze.size or self.kernel.size)

    @property
    def pooled_macs(self) -> int:
        """MACs of its pooled gates in one step, both paths."""
        places = int(np.prod(self.grid[1:]))
        return 2 * int(self.squeeze.size + self.excite.size) + int(self.kernel.size) * places

    def scaled(self, v: IntArray, levels: Sequence[IntArray]) -> IntArray:
        """Scale by the ports, then by the pooled gates.

        From and to (..., n); pooled over the channels or the places of (C, H, W).
        """
        for level in levels:
            v = fp.gain(v, level, self.gate_bits)
        if not self.pools:
            return v
        channels = self.grid[0]
        maps = v.reshape(-1, channels, v.shape[-1] // channels)
        if self.squeeze.size:
            level = self.looked_up(self.channel_thresholds, self.channel_sums(maps))
            maps = fp.gain(maps, level[:, :, None], self.gate_bits)
        if self.kernel.size:
            level = self.looked_up(self.space_thresholds, self.space_sums(maps))
            maps = fp.gain(maps, level[:, None], self.gate_bits)
        return maps.reshape(v.shape)

    def channel_sums(self, maps: IntArray) -> IntArray:
        """Return n (B, C) of membranes (B, C, S)."""
        both = (maps.sum(axis=2), maps.max(axis=2) * maps.shape[2])
        hidden = sum((np.maximum(pool @ self.squeeze.T, 0) for pool in both), np.zeros((), np.int64))
        return np.asarray(hidden @ self.excite.T)

    def space_sums(self, maps: IntArray) -> IntArray:
        """Return m (B, S) of membranes (B, C, S)."""
        both = np.stack([maps.sum(axis=1), maps.max(axis=1) * maps.shape[1]], 1)
        pad = self.kernel.shape[-1] // 2
        found = conv2d(both.reshape(-1, 2, *planar(self.grid)[1:]), self.kernel, (1, 1), (pad, pad))
        return np.asarray(found.reshape(maps.shape[0], -1))

    def looked_up(self, thresholds: IntArray, sums: IntArray) -> IntArray:
        """Return the levels of sums. From sums (..., k) to levels (..., k)."""
        return np.asarray(self.levels[np.searchsorted(thresholds, sums, side="right")])

    def malformed(self, size: int) -> Iterator[Wrong]:
        """Yield what is wrong with the form of its fields."""
        yield from super().malformed(size)
        yield from sizes("membrane_gates", (self.membrane_gates,), 0, 64)
        yield from sizes("grid", self.grid, 1)
        ranks = {"squeeze": 2, "excite": 2, "kernel": 4, "channel_thresholds": 1, "space_thresholds": 1, "levels": 1}
        for name, rank in ranks.items():
            if np.ndim(getattr(self, name)) != rank:
                yield Wrong(f"{name} has shape {np.shape(getattr(self, name))}; expected {rank} axes", "correct it")

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal: gates that do not fit the grid, levels out of range, sums beyond 64 bits."""
        yield from super().wrong(size, steps, core)
        channels = self.grid[0] if self.grid else 0
        if prod(self.grid) != size:
            yield Wrong(f"grid {self.grid} for {size} neurons", "give the shape of the population")
            return
        if self.membrane_gates > self.gates - self.output_gate:
            yield Wrong(f"{self.membrane_gates} membrane gates of {self.gates} ports", "give it more ports")
        if self.squeeze.shape != self.excite.shape[::-1] or (self.squeeze.size and self.squeeze.shape[1] != channels):
            what = f"squeeze {self.squeeze.shape} and excite {self.excite.shape} for {channels} channels"
            yield Wrong(what, "give (h, C) and (C, h)")
        yield from within("levels", self.levels, 0, 1 << self.gate_bits, "clip the levels")
        for part, thresholds in ((self.squeeze, self.channel_thresholds), (self.kernel, self.space_thresholds)):
            if part.size and (self.levels.size != thresholds.size + 1 or bool((np.diff(thresholds) < 0).any())):
                what = f"{self.levels.size} levels for {thresholds.size} thresholds; expected one more, thresholds ascending"
                yield Wrong(what, "sort the thresholds and give a level below, between and above them")
        if self.worst_pool >= 1 << 62:
            yield Wrong(
                f"pooled sums of up to 2^{self.worst_pool.bit_length() - 1}; 62 bits hold them", "use coarser weights"
            )

    @property
    def worst_pool(self) -> int:
        """The largest |n| or |m| that any membranes can cause; a membrane has 24 bits, |v| < 2^23."""
        places, reach = prod(self.grid[1:]), fp.STATE_LIMIT
        hidden = int(np.abs(self.squeeze).sum(axis=1).max(initial=0)) * places * reach
        channel = 2 * int(np.abs(self.excite).sum(axis=1).max(initial=0)) * hidden
        return max(channel, int(np.abs(self.kernel).sum()) * self.grid[0] * reach)


@dataclass(frozen=True, eq=False)
class DeltaRelu(Soma):
    """Event-driven rectifier: sends the *change* of ``relu(acc) >> shift``, and nothing if nothing changed.

    ::

        acc = clip24(decay(acc, decay) + a);  y = max(acc, 0) >> shift;  out = y - y_previous   (y starts at 0)

    Output: signed graded payloads. Its state v is ``acc``.
    """

    states: ClassVar[tuple[str, ...]] = ("v", "sent")
    per_neuron: ClassVar[tuple[str, ...]] = ("decay",)
    decay: IntArray
    shift: int

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
        """Accumulate, rectify, send the change.

        From synaptic input (..., n) to signed changes (..., n); see ``Soma.step``.
        """
        state["v"] = _accumulated(state["v"], self.decay, a, full)
        y = np.maximum(state["v"], 0) >> self.shift
        change = y - state["sent"]
        state["sent"] = y
        return change

    @property
    def sends(self) -> Signal:
        """Signed changes."""
        return "graded"

    def largest_payload(self, current: int | None = None, steps: int = 1) -> int:
        """Return the largest change: all that the accumulator can hold, or that the input can bring."""
        forgets = bool(np.all(self.decay == fp.DECAY_ONE))
        reach = fp.STATE_MAX if current is None else current * (1 if forgets else steps)
        return min(fp.STATE_MAX, reach) >> self.shift

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal."""
        yield from super().wrong(size, steps, core)
        yield from within("shift", self.shift, 0, fp.STATE_BITS - 1, "the accumulator has 24 bits")


@dataclass(frozen=True, eq=False)
class Relay(Soma):
    """Signed linear neuron: passes the sum of this step on as a payload, and sends nothing where that is 0.

    ::

        v = clip(a, +-(2**payload_bits - 1) << shift);   out = (v + half) >> shift,   half = 2**(shift - 1), 0 for shift 0

    It remembers nothing: without an event a = 0, and no message leaves. Output: signed graded payloads of ``payload_bits``
    and a sign. A residual stream of membranes travels so, instead of a copy of every synapse in front for every reader.
    """

    shift: int
    payload_bits: int = 15

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
        """Clip, round, send. From synaptic input (..., n) to signed values (..., n); see ``Soma.step``."""
        state["v"] = np.clip(a, -self.limit, self.limit)
        if full is not None:
            full.clips += int(np.count_nonzero(state["v"] != a))
        return (state["v"] + self.half) >> self.shift

    @property
    def half(self) -> int:
        """What is added so that payloads are rounded."""
        return (1 << self.shift) >> 1

    @property
    def limit(self) -> int:
        """The largest |sum| that a payload holds."""
        return ((1 << self.payload_bits) - 1) << self.shift

    @property
    def sends(self) -> Signal:
        """Signed values."""
        return "graded"

    def largest_payload(self, current: int | None = None, steps: int = 1) -> int:
        """Return the largest |payload|: all that its bits hold, or what the input can bring.

        In units of the payload; it fits in ``payload_bits`` bits.
        """
        reach = self.limit if current is None else min(current, self.limit)
        return (reach + self.half) >> self.shift

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal: sums have 24 bits, and payloads at most as many as a graded spike."""
        yield from within("shift", self.shift, 0, fp.STATE_BITS - 1, "a sum has 24 bits")
        most = (fp.PAYLOAD_BITS if core is None else core.payload_bits) - 1
        yield from within("payload_bits", self.payload_bits, 1, most, "take fewer payload bits; one is the sign")
        yield from within(
            "payload_bits + shift", self.payload_bits + self.shift, 1, fp.STATE_BITS - 1, "take a smaller shift"
        )


@dataclass(frozen=True, eq=False)
class SigmaDelta(Soma):
    """Sigma-delta neuron: adds up the changes it is sent, and sends the change of its activation where that is large enough.

    ::

        v = clip24(v + a)  (``sums``)  or  clip24(a);   y = clip24(v + bias);   y = max(y, 0)  (``rectify``)
        d = y - sent;   where |d| >= threshold:  out = d >> shift,  sent = y                    (sent starts at 0)
        where d >> shift leaves the payload:     out = the end of the payload,  sent += out << shift: the rest follows

    lava-nc's ``SigmaDelta`` (``rectify``), its ``Delta`` (an encoder: nothing is summed) and ``Sigma`` (a read-out:
    ``threshold`` ``NEVER``) without accumulated errors; their ``act - residue`` is ``sent`` here. They do not clip: what leaves
    24 bits, or the payload, is counted. A bias is sent once, by no event. Output: signed graded payloads of ``payload_bits``
    and a sign; the low ``shift`` bits of a change are not sent (rounded down), as there. Its program runs twice a step:
    dendrite updates of PilotNet SDNN on Loihi 2 are 2 x neurons x steps (lava-dl, pilotnet_sdnn/benchmark.ipynb).
    """

    NEVER: ClassVar[int] = 1 << fp.STATE_BITS
    states: ClassVar[tuple[str, ...]] = ("v", "sent")
    per_neuron: ClassVar[tuple[str, ...]] = ("bias", "threshold")
    updates: ClassVar[int] = 2
    bias: IntArray
    threshold: IntArray
    shift: int = 6
    rectify: bool = True
    sums: bool = True
    payload_bits: int = 15

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
        """Add up, rectify, send the change.

        From synaptic input (..., n) to signed changes (..., n); see ``Soma.step``.
        """
        total = state["v"] + a if self.sums else a
        state["v"] = fp.clip_voltage(total)
        y = fp.clip_voltage(state["v"] + self.bias)
        change = (np.maximum(y, 0) if self.rectify else y) - state["sent"]
        whole = np.where(np.abs(change) >= self.threshold, change, 0)
        out = np.clip(whole >> self.shift, -self.limit - 1, self.limit)
        cut = out != whole >> self.shift
        state["sent"] = state["sent"] + np.where(cut, out << self.shift, whole)
        if full is not None:
            full.clips += int(np.count_nonzero((total != state["v"]) | (y != state["v"] + self.bias) | cut))
        return out

    @property
    def limit(self) -> int:
        """The largest payload."""
        return (1 << self.payload_bits) - 1

    @property
    def sends(self) -> Signal:
        """Signed changes."""
        return "graded"

    @property
    def kind(self) -> str:
        """``none`` for a read-out."""
        return "none" if bool((self.threshold >= self.NEVER).all()) else self.sends

    @property
    def counts_as_spikes(self) -> bool:
        """Yes: each message is a neuron's, like a spike; no gate scales it."""
        return True

    def largest_payload(self, current: int | None = None, steps: int = 1) -> int:
        """Return the largest |change|: all that its bits hold, or what the input and the bias can bring."""
        reach = 2 * fp.STATE_MAX
        if current is not None:
            reach = min(reach, 2 * current * (steps if self.sums else 1) + int(np.abs(self.bias).max(initial=0)))
        return min((reach >> self.shift) + 1, self.limit + 1)

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal: states of 24 bits, payloads of at most as many as a graded spike has."""
        yield from super().wrong(size, steps, core)
        yield from within("shift", self.shift, 0, fp.STATE_BITS - 1, "a change has 24 bits")
        yield from within("bias", self.bias, -fp.STATE_MAX, fp.STATE_MAX, STATE_HELP)
        yield from within(
            "threshold", self.threshold, 0, self.NEVER, f"take {self.NEVER} for a read-out, which never sends"
        )
        most = (fp.PAYLOAD_BITS if core is None else core.payload_bits) - 1
        yield from within("payload_bits", self.payload_bits, 1, most, "take fewer payload bits; one is the sign")


class _Levels(Soma):
    """Sends gate levels 0 .. 2**gate_bits; the highest is 1.0."""

    gate_bits: int

    @property
    def sends(self) -> Signal:
        """Gate levels."""
        return "gate"

    @property
    def idle(self) -> int:
        """The level of 1.0."""
        return 1 << self.gate_bits

    def largest_payload(self, current: int | None = None, steps: int = 1) -> int:
        """Return the level of 1.0."""
        return 1 << self.gate_bits

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal."""
        yield from super().wrong(size, steps, core)
        yield from within("gate_bits", self.gate_bits, 0, GATE_BITS_MAX, "use fewer gate bits")


def changed(soma: _Levels, out: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return where levels (T, ...) are not those of the step before; before the first step they are 1.0."""
    return np.asarray(out != np.concatenate([np.full_like(out[:1], soma.idle), out[:-1]]))


@dataclass(frozen=True, eq=False)
class Gate(_Levels):
    """Gate neuron: a table from an accumulated input to a gain level; sends the level when it changes, receivers hold it.

    ::

        acc = clip24(decay(acc, decay) + a);  level = levels[count(acc + bias >= thresholds)]

    ``thresholds`` (K,) ascending, ``levels`` (K + 1,) in 0 .. 2**gate_bits. The level before the first step is 2**gate_bits
    (1.0).
    Its state v is ``acc``; its recorded output is the level at every step. A message is counted when
    ``level[t] != level[t-1]`` (with ``level[-1] = 2**gate_bits``).
    """

    per_neuron: ClassVar[tuple[str, ...]] = ("decay", "bias")
    decay: IntArray
    bias: IntArray
    thresholds: IntArray
    levels: IntArray
    gate_bits: int = 8

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
        """Accumulate and look the level up.

        From synaptic input (..., n) to the level it holds (..., n); see ``Soma.step``.
        """
        state["v"] = _accumulated(state["v"], self.decay, a, full)
        found: IntArray = self.levels[np.searchsorted(self.thresholds, state["v"] + self.bias, side="right")]
        return found

    def malformed(self, size: int) -> Iterator[Wrong]:
        """Yield what is wrong with the form of its fields."""
        yield from super().malformed(size)
        yield from ranked("levels", self.levels, 1)
        if np.ndim(self.thresholds) != 1:
            yield Wrong(f"thresholds has shape {np.shape(self.thresholds)}; expected one axis", "correct it")

    def messages(self, out: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Return where the level changes. From levels (T, ..., n) to as many truth values."""
        return changed(self, out)

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal: levels 0 .. 2**gate_bits, thresholds in order."""
        yield from super().wrong(size, steps, core)
        yield from within("levels", self.levels, 0, 1 << self.gate_bits, "clip the levels")
        if self.levels.size != self.thresholds.size + 1 or bool((np.diff(self.thresholds) < 0).any()):
            what = f"{self.levels.size} levels for {self.thresholds.size} thresholds; expected one more, thresholds ascending"
            yield Wrong(what, "sort the thresholds and give a level below, between and above them")


@dataclass(frozen=True, eq=False)
class HeldSum(_Levels):
    """Sends its sum when it changes, and receivers hold it: a factor of a ``ProductGate``.

    ::

        acc = clip24(decay(acc, decay) + a);  out = acc                (0 before the first step)

    Its state v is ``acc``; a message is counted as a ``Gate``'s.
    """

    per_neuron: ClassVar[tuple[str, ...]] = ("decay",)
    decay: IntArray
    gate_bits: int = 8

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
        """Accumulate. From synaptic input (..., n) to the sum it holds (..., n); see ``Soma.step``."""
        state["v"] = _accumulated(state["v"], self.decay, a, full)
        return state["v"].copy()

    @property
    def idle(self) -> int:
        """Nothing."""
        return 0

    def largest_payload(self, current: int | None = None, steps: int = 1) -> int:
        """Return the largest sum."""
        return fp.STATE_MAX

    def messages(self, out: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Return where the sum changes. From sums (T, ..., n) to as many truth values."""
        return changed(self, out)


@dataclass(frozen=True, eq=False)
class ProductGate(Gate):
    """Gate of a product of two sums, of its own and of the one that its gate port holds.

    ::

        acc = clip24(decay(acc, decay) + a);  level = levels[count(acc x >= thresholds)],  x: what port 0 holds

    One multiply a neuron and step, in the neuron's own program; the product is wide (48 bits). ``bias`` is 0.
    """

    takes_gates: ClassVar[bool] = True

    @property
    def ports(self) -> int:
        """One."""
        return 1

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
        """Accumulate, multiply, and look the level up.

        From synaptic input (..., n) to the level it holds (..., n); see ``Soma.step``.
        """
        state["v"] = _accumulated(state["v"], self.decay, a, full)
        found: IntArray = self.levels[np.searchsorted(self.thresholds, state["v"] * levels[0], side="right")]
        return found

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal."""
        yield from super().wrong(size, steps, core)
        yield from within("bias", self.bias, 0, 0, "add a bias to one of the sums")


@dataclass(frozen=True, eq=False)
class GateTable(_Levels):
    """Learned or calibrated constant gains, one row a step: ``table`` (T or 1, n); needs no message (neuron microcode)."""

    states: ClassVar[tuple[str, ...]] = ()
    on_host: ClassVar[bool] = True
    integrates: ClassVar[bool] = False
    table: IntArray
    gate_bits: int = 8

    def step(
        self, state: State, a: IntArray, levels: Sequence[IntArray] = (), t: int = 0, full: Saturations | None = None
    ) -> IntArray:
        """Return the row of this step. Returns levels (..., n); see ``Soma.step``."""
        row: IntArray = self.table[t if len(self.table) > 1 else 0]
        return row

    def malformed(self, size: int) -> Iterator[Wrong]:
        """Yield what is wrong with the form of its fields."""
        yield from ranked("table", self.table, 2)

    def messages(self, out: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Return that nothing is sent. From levels (T, ..., n) to as many zeros."""
        return np.zeros(out.shape, bool)

    def parameters(self) -> Sequence[IntArray]:
        """Return the rows of the table. Each is (n,); one for all steps, or one for each."""
        return list(self.table)

    def wrong(self, size: int, steps: int | None = None, core: CoreLimits | None = None) -> Iterator[Wrong]:
        """Yield what is illegal: levels 0 .. 2**gate_bits, a row for all steps or one for each."""
        yield from super().wrong(size, steps, core)
        yield from within("table", self.table, 0, 1 << self.gate_bits, "clip the levels")
        rows = (1,) if steps is None else (1, steps)
        if self.table.ndim != 2 or self.table.shape[1] != size or (steps and self.table.shape[0] not in rows):
            what = f"a table of shape {self.table.shape}; expected (1 or {steps or 'T'}, {size})"
            yield Wrong(what, "give one row for all steps, or one for each")


@dataclass(frozen=True, eq=False)
class HostGate(_Levels):
    """Gains of each sample and step that the host computes and sends: a level when it changes, receivers hold it.

    What comes in a run, (T, B, *shape), is an input of it; without one the level of 1.0. A message is counted as a ``Gate``'s.
    """

    states: ClassVar[tuple[str, ...]] = ()
    on_host: ClassVar[bool] = True
    integrates: ClassVar[bool] = False
    gate_bits: int = 8

    def messages(self, out: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Return where the level changes. From levels (T, ..., n) to as many truth values."""
        return changed(self, out)

    def refused(self, x: NDArray[np.generic]) -> str:
        """Return in words which levels are out of range, or nothing."""
        least, most = (x.min(), x.max()) if x.size else (0, 0)
        if least >= 0 and most <= self.idle:
            return ""
        return f"gate levels run from {least:.0f} to {most:.0f}; {self.gate_bits} bits hold 0 .. {self.idle}"


KINDS: Mapping[str, type[Soma]] = {
    kind.__name__: kind
    for kind in (
        Source,
        Lif,
        GatedMembrane,
        DeltaRelu,
        Relay,
        SigmaDelta,
        Gate,
        HeldSum,
        ProductGate,
        GateTable,
        HostGate,
    )
}
"""The models by the name files know them by."""
