"""The meaning of a program, one chip step at a time in plain numpy, and its counters by walking every event."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spikewright import hw_sim as hw
from spikewright.hw_sim import Chip, Program
from spikewright.hw_sim.fixed_point import clip_voltage, decay, gain, shift, wrap_current

Int = NDArray[np.int64]


def matrix(program: Program, projection: hw.Projection) -> Int:  # noqa: C901 - one case a format
    """Return a projection's synapses as (n_target, n_source), written out one by one."""
    source, target = program.population(projection.source), program.population(projection.target)
    w = np.zeros((target.size, source.size), np.int64)
    match projection.synapses:
        case hw.DenseSynapses(weight=weight):
            w[:] = weight
        case hw.IdentitySynapses(weight=weight):
            np.fill_diagonal(w, weight)
        case hw.SparseSynapses(indptr=indptr, indices=indices, weight=weight):
            for i in range(target.size):
                for k in range(indptr[i], indptr[i + 1]):
                    w[i, indices[k]] += weight[k]
        case hw.ConvSynapses() as conv:
            per_group, per_group_out = conv.weight.shape[1], conv.weight.shape[0] // conv.groups
            at_target, at_source = (
                np.arange(target.size).reshape(target.shape),
                np.arange(source.size).reshape(source.shape),
            )
            for (o, y, x), i in np.ndenumerate(at_target):
                for (c, ky, kx), value in np.ndenumerate(conv.weight[o]):
                    row = y * conv.stride[0] - conv.padding[0] + ky * conv.dilation[0]
                    column = x * conv.stride[1] - conv.padding[1] + kx * conv.dilation[1]
                    if 0 <= row < source.shape[1] and 0 <= column < source.shape[2]:
                        w[i, at_source[o // per_group_out * per_group + c, row, column]] += value
        case hw.TransposedConvSynapses(weight=weight, stride=stride, padding=padding):
            at_target = np.arange(target.size).reshape(target.shape)
            for (c, i, j), n in np.ndenumerate(np.arange(source.size).reshape(source.shape)):
                for (o, a, b), value in np.ndenumerate(weight[:, c]):
                    row, column = i * stride[0] - padding[0] + a, j * stride[1] - padding[1] + b
                    if 0 <= row < target.shape[1] and 0 <= column < target.shape[2]:
                        w[at_target[o, row, column], n] += value
        case hw.GateLink():
            axes = (*source.shape, *(1,) * (len(target.shape) - len(source.shape)))  # channel first
            index = np.broadcast_to(np.arange(source.size).reshape(axes), target.shape).ravel()
            w[np.arange(target.size), index] = 1
    return w


@dataclass
class Reference:
    """Everything by population: (T, B, n) sent, messages (non-zero where one leaves), v, u, fired; and saturation."""

    sent: dict[str, Int]
    messages: dict[str, Int]
    v: dict[str, Int]
    u: dict[str, Int]
    fired: dict[str, NDArray[np.bool_]]
    wraps: dict[str, int]
    clips: dict[str, int]


def run(program: Program, inputs: dict[str, Int], steps: int) -> Reference:
    """Run a program chip step by chip step."""
    batch = next(iter(inputs.values())).shape[1]
    shape = {p.name: (steps, batch, p.size) for p in program.populations}
    ref = Reference(
        *({name: np.zeros(s, np.int64) for name, s in shape.items()} for _ in range(4)),
        {name: np.zeros(s, bool) for name, s in shape.items()},
        *(dict.fromkeys(shape, 0) for _ in range(2)),
    )
    weights = {p.name: matrix(program, p) for p in program.projections}
    for step in range(steps + max(p.start for p in program.populations)):
        for population in program.populations:
            t = step - population.start
            if 0 <= t < steps:
                _step(program, population, t, inputs, weights, ref)
    return ref


def _arriving(program: Program, population: hw.Population, t: int, weights: dict[str, Int], ref: Reference) -> Int:
    total = np.zeros(ref.v[population.name].shape[1:], np.int64)
    for p in program.projections:
        at = t - program.lag(p)
        if p.target == population.name and not isinstance(p.synapses, hw.GateLink) and at >= 0:
            total += shift(ref.sent[p.source][at] @ weights[p.name].T, p.exponent)
    return total


def _step(
    program: Program, population: hw.Population, t: int, inputs: dict[str, Int], weights: dict[str, Int], ref: Reference
) -> None:
    name, soma = population.name, population.soma
    sent, v, u = ref.sent[name], ref.v[name], ref.u[name]
    batch = sent.shape[1]
    match soma:
        case hw.Source():
            sent[t] = inputs[name][t].reshape(batch, -1)
            ref.messages[name][t] = sent[t] != 0
        case hw.GateTable(table=table):
            sent[t] = table[t if len(table) > 1 else 0]
        case hw.Lif():
            fresh = t == 0 or (soma.reset_interval > 0 and t % soma.reset_interval == soma.reset_phase)
            before = v[0] * 0 + soma.v_start if fresh else v[t - 1]
            raw = decay(u[0] * 0 if fresh else u[t - 1], soma.decay_u) + (
                _arriving(program, population, t, weights, ref) << 6
            )
            u[t] = wrap_current(raw)
            current, sending = u[t] + soma.bias, np.ones_like(u[t])
            links = [p for p in program.projections if p.target == name and isinstance(p.synapses, hw.GateLink)]
            for link in sorted(links, key=lambda p: p.synapses.port):  # type: ignore[union-attr]
                at = t - program.lag(link)
                level = ref.sent[link.source][at] @ weights[link.name].T if at >= 0 else 1 << soma.gate_bits
                if soma.output_gate and link.synapses.port == soma.gates - 1:  # type: ignore[union-attr]
                    sending = sending * level
                else:
                    current = gain(current, level, soma.gate_bits)
            if soma.rectify:
                current = np.maximum(current, 0)
            resting = _resting(soma, ref.fired[name], t)
            free = np.where(resting, before, decay(before, soma.decay_v) + current)
            v[t] = clip_voltage(free)
            ref.wraps[name] += int((raw != u[t]).sum())
            ref.clips[name] += int((free != v[t]).sum())
            fired = ref.fired[name][t] = (v[t] > soma.threshold) & ~resting
            count = _often(soma, v[t], fired)
            reset = np.broadcast_to(soma.v_reset, v[t].shape)
            v[t] = np.where(fired, reset if soma.reset == "value" else v[t] - count * reset, v[t])
            v[t] = np.maximum(v[t], soma.v_min)
            sent[t] = count * sending
            ref.messages[name][t] = sent[t] != 0
        case hw.Relay(shift=shift, payload_bits=bits):
            free = _arriving(program, population, t, weights, ref)
            most = (2**bits - 1) * 2**shift
            v[t] = np.minimum(np.maximum(free, -most), most)
            ref.clips[name] += int((free != v[t]).sum())
            sent[t] = np.floor_divide(v[t] + 2**shift // 2, 2**shift)
            ref.messages[name][t] = sent[t] != 0
        case hw.SigmaDelta() | hw.DeltaRelu() | hw.Gate():
            _held(soma, name, t, _arriving(program, population, t, weights, ref), ref)


def _held(soma: hw.SigmaDelta | hw.DeltaRelu | hw.Gate, name: str, t: int, a: Int, ref: Reference) -> None:
    """Advance what adds up its input and sends what changed."""
    sent, v = ref.sent[name], ref.v[name]
    before = v[t - 1] if t else v[0] * 0
    if isinstance(soma, hw.SigmaDelta):
        free = a + before * soma.sums
        v[t] = clip_voltage(free)
        sent[t], cut = _changes(soma, v[: t + 1])
        ref.clips[name] += int((cut | (free != v[t])).sum())
        ref.messages[name][t] = sent[t] != 0
        return
    free = decay(before, soma.decay) + a
    v[t] = clip_voltage(free)
    ref.clips[name] += int((free != v[t]).sum())
    if isinstance(soma, hw.DeltaRelu):
        now, last = np.maximum(v[t], 0) >> soma.shift, np.maximum(v[t - 1], 0) >> soma.shift if t else 0
        sent[t] = now - last
        ref.messages[name][t] = sent[t] != 0
    else:
        count = ((v[t] + soma.bias)[..., None] >= soma.thresholds).sum(axis=-1)
        sent[t] = soma.levels[count]
        ref.messages[name][t] = sent[t] != (sent[t - 1] if t else 1 << soma.gate_bits)


def _changes(soma: hw.SigmaDelta, v: Int) -> tuple[Int, NDArray[np.bool_]]:
    """Return what is sent after the sums ``v`` of all steps so far, as lava-nc has it: by activation and residue."""
    act = residue = v[0] * 0
    for sums in v:
        whole = clip_voltage(sums + soma.bias)
        now = np.where(whole < 0, 0, whole) if soma.rectify else whole
        delta = now - act + residue
        due = np.where(np.abs(delta) >= soma.threshold, delta, 0) // 2**soma.shift
        out = np.minimum(np.maximum(due, -(2**soma.payload_bits)), 2**soma.payload_bits - 1)
        passed = np.where(out == due, np.where(np.abs(delta) >= soma.threshold, delta, 0), out * 2**soma.shift)
        act, residue = now, delta - passed
    return out, (out != due) | (whole != sums + soma.bias)


def _often(soma: hw.Lif, v: Int, fired: NDArray[np.bool_]) -> Int:
    """Return how often neurons fire, one multiple of the spacing after the other."""
    count, left = fired.astype(np.int64), v - soma.spacing
    while soma.max_spikes is None or count.max(initial=0) < soma.max_spikes:
        more = (left > soma.threshold) & fired
        if not more.any():
            break
        count, left = count + more, left - soma.spacing
    return count


def _resting(soma: hw.Lif, fired: NDArray[np.bool_], t: int) -> NDArray[np.bool_]:
    """Return which neurons fired less than a refractory period ago, and since the last periodic reset."""
    resting = np.zeros(fired.shape[1:], bool)
    for back in range(1, min(soma.refractory, t + 1)):
        if soma.reset_interval and (t - back + 1) % soma.reset_interval == soma.reset_phase:
            break
        resting |= fired[t - back]
    return resting


@dataclass
class Counts:
    """Counters (S, cores) by event walking; links by number."""

    sops: dict[str, Int]
    messages: Int
    messages_in: Int
    hops: Int
    host: Int
    links: dict[str, int] = field(default_factory=dict)


def walk(program: Program, ref: Reference, steps: int, cores: int, chip: Chip) -> Counts:
    """Count by following every message along every synapse and every link."""
    length = steps + max(p.start for p in program.populations)
    counts = Counts({k: np.zeros((length, cores), np.int64) for k in ("binary", "graded", "gate")},
                    *(np.zeros((length, cores), np.int64) for _ in range(3)), np.zeros(length, np.int64))  # fmt: skip
    weights = {p.name: matrix(program, p) for p in program.projections}
    for population in program.populations:
        outgoing = [p for p in program.projections if p.source == population.name]
        for t, _, i in zip(*np.nonzero(ref.messages[population.name]), strict=True):
            step = population.start + t
            reached = set()
            for p in outgoing:
                target = program.population(p.target)
                for j in np.nonzero(weights[p.name][:, i])[0]:
                    reached.add(int(target.core[j]))
                    if 0 <= t + program.lag(p) < steps and target.core[j] >= 0:
                        counts.sops[population.kind if population.kind != "none" else "binary"][
                            step + p.delay, target.core[j]
                        ] += 1
            _deliver(int(population.core[i]), reached - {-1}, step, counts, chip)
    return counts


def _deliver(own: int, reached: set[int], step: int, counts: Counts, chip: Chip) -> None:
    for core in sorted(reached):
        counts.messages_in[step, core] += 1
        if own < 0:
            counts.host[step] += 1
            continue
        counts.messages[step, own] += 1
        tile, goal = (divmod(k // chip.mesh.cores_per_tile, chip.mesh.tiles_x) for k in (own, core))
        (y, x), (y1, x1) = tile, goal
        path = [f"core {own} out"]
        while x != x1:
            path.append(f"router ({x}, {y}) {'east' if x1 > x else 'west'}")
            x += np.sign(x1 - x)
        while y != y1:
            path.append(f"router ({x}, {y}) {'south' if y1 > y else 'north'}")
            y += np.sign(y1 - y)
        path.append(f"core {core} in")
        counts.hops[step, own] += len(path) - 2
        for link in path:
            counts.links[link] = counts.links.get(link, 0) + 1
