"""The meaning of the attention ops: MA-SNN in its three variants, and gated attention coding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spikewright.hw_sim.linear import conv2d
from spikewright.toolchain.errors import VerifyError
from spikewright.toolchain.interpret.gates import gate_function
from spikewright.toolchain.interpret.states import FloatState, fire, grid
from spikewright.toolchain.ops import Array, Attention, AttentiveLif, GatedCoding


def mlp(w0: Array, w1: Array, x: Array) -> Array:
    """Return w1 relu(w0 x) along the last axis."""
    return np.maximum(x @ w0.T, 0) @ w1.T


def need_timesteps(op: Attention, T: int) -> None:
    """Refuse an input of another number of steps than an attention block was made for."""
    if op.timesteps != T:
        raise VerifyError(
            f"its weights are for T = {op.timesteps} steps; the input has {T}",
            where=f"op {op.name!r}",
            help=f"run with --timesteps {op.timesteps}, or train a net for T = {T}",
        )


def _space(x: Array) -> tuple[int, ...]:
    """Axes behind (T, B, C)."""
    return tuple(range(3, x.ndim))


def temporal_gate(op: AttentiveLif | GatedCoding, x: Array) -> Array:
    """Return M(avg) + M(max) over T of currents (T, B, C, ...): (T, B), before h."""
    axes = tuple(range(2, x.ndim))
    w0, w1 = op.parameters["ta_w0"], op.parameters["ta_w1"]
    return (mlp(w0, w1, x.mean(axis=axes).T) + mlp(w0, w1, x.max(axis=axes).T)).T


def _channel(op: AttentiveLif, average: Array, largest: Array) -> Array:
    w0, w1 = op.parameters["ca_w0"], op.parameters["ca_w1"]
    return gate_function(op.gate, mlp(w0, w1, average) + mlp(w0, w1, largest))


def _spatial(op: AttentiveLif, average: Array, largest: Array) -> Array:
    kernel = op.parameters["sa_kernel"]
    pad = kernel.shape[-1] // 2
    return gate_function(op.gate, conv2d(np.stack([average, largest], 1), kernel, (1, 1), (pad, pad))[:, 0])


def _fill(gate: Array, x: Array) -> Array:
    return gate.reshape(gate.shape + (1,) * (x.ndim - gate.ndim))


Observer = Callable[[str, Array], None]
"""Told every gate that is applied: its dimension (T, C, S) and its value, for one step, or for all where it is one for all."""


def _ignore(dim: str, gate: Array) -> None:
    """Observe nothing."""


def attentive_lif(op: AttentiveLif, x: Array, seen: Observer = _ignore) -> tuple[Array, Array]:
    """Return spikes and membranes after reset, (T, B, *shape)."""
    if "T" in op.dims or op.variant == "causal":
        need_timesteps(op, x.shape[0])
    if op.variant == "causal":
        return _causal(op, x, seen)
    if "T" in op.dims:
        gate = gate_function(op.gate, temporal_gate(op, x))
        for row in gate:
            seen("T", row)
        x = x * _fill(gate, x)
    if op.variant == "code":
        return _run(op, _released(op, x, seen))
    return _paper(op, x, seen)


def _released(op: AttentiveLif, x: Array, seen: Observer) -> Array:
    """The released code after its temporal gate: channel and spatial gates pooled over all T, then a rectifier."""
    if "C" in op.dims:
        pooled = (0, *_space(x))
        gate = _channel(op, x.mean(axis=pooled), x.max(axis=pooled))
        seen("C", gate)
        x = x * _fill(gate[None], x)
    if "S" in op.dims:
        gate = _spatial(op, x.mean(axis=(0, 2)), x.max(axis=(0, 2)))
        seen("S", gate)
        x = x * gate[None, :, None]
    return np.maximum(x, 0)


def attentive_gates(op: AttentiveLif, x: Array) -> dict[str, Array]:
    """Return the gates a block applies to currents ``x``, by dimension: (T or 1, B, *gate shape)."""
    gates: dict[str, list[Array]] = {dim: [] for dim in op.dims}
    attentive_lif(op, x, lambda dim, gate: gates[dim].append(gate))
    flat = (1,) * (x.ndim - 3)
    shapes = {"T": (1, *flat), "C": (x.shape[2], *flat), "S": (1, *x.shape[3:])}
    return {dim: np.stack(found).reshape((-1, x.shape[1], *shapes[dim])) for dim, found in gates.items()}


def _run(op: AttentiveLif, x: Array) -> tuple[Array, Array]:
    state = FloatState(op.neuron, x.shape[1])
    spikes, membranes = [], []
    for current in x:
        spikes.append(state.step([current]))
        membranes.append(state.v)
    return np.stack(spikes), np.stack(membranes)


def _paper(op: AttentiveLif, x: Array, seen: Observer) -> tuple[Array, Array]:
    """Channel and spatial gates on the membrane, between integration and firing."""
    neuron = op.neuron
    beta, gain, leak = (grid(p, neuron.shape) for p in (neuron.beta, neuron.gain, neuron.leak))
    v = np.zeros(x.shape[1:])
    spikes, membranes = [], []
    for current in x:
        u = beta * v + gain * current + leak
        axes = tuple(range(2, u.ndim))
        if "C" in op.dims:
            gate = _channel(op, u.mean(axis=axes), u.max(axis=axes))
            seen("C", gate)
            u = u * _fill(gate, u)
        if "S" in op.dims:
            gate = _spatial(op, u.mean(axis=1), u.max(axis=1))
            seen("S", gate)
            u = u * gate[:, None]
        s, v = fire(neuron, u)
        spikes.append(s)
        membranes.append(v)
    return np.stack(spikes), np.stack(membranes)


def _causal(op: AttentiveLif, x: Array, seen: Observer) -> tuple[Array, Array]:
    """Gates from the neuron's own spikes, ``gate_delay`` steps earlier."""
    T, B = x.shape[:2]
    p, d, lam = op.parameters, op.gate_delay, op.decay
    state = FloatState(op.neuron, B)
    space = tuple(range(2, x.ndim - 1))
    m, n, a = np.zeros(B), np.zeros((B, x.shape[2])), np.zeros((B, 1, *x.shape[3:]))
    gates: list[list[Array]] = []
    sizes = {"T": (1,) * (x.ndim - 2), "C": (x.shape[2], *(1,) * (x.ndim - 3)), "S": (1, *x.shape[3:])}
    ones = [np.ones((B, *sizes[dim])) for dim in op.dims]
    spikes, membranes = [], []
    for t in range(T):
        current = x[t]
        for dim, gate in zip(op.dims, gates[t - d] if t >= d else ones, strict=True):
            seen(dim, gate)
            current = current * gate
        s = state.step([current])
        spikes.append(s)
        membranes.append(state.v)
        now: list[Array] = []
        if "T" in op.dims:
            m = lam * m + s.mean(axis=tuple(range(1, s.ndim))) / T
            now.append(_fill(gate_function(op.gate, p["ta_w"] * m + p["ta_b"]), s))
        if "C" in op.dims:
            n = lam * n + (s.mean(axis=space) if space else s) / T
            now.append(_fill(gate_function(op.gate, mlp(p["ca_w0"], p["ca_w1"], n) + p["ca_b"]), s))
        if "S" in op.dims:
            a = lam * a + s.mean(axis=1, keepdims=True) / T
            pad = p["sa_kernel"].shape[-1] // 2
            now.append(gate_function(op.gate, conv2d(a, p["sa_kernel"], (1, 1), (pad, pad)) + p["sa_b"]))
        gates.append(now)
    return np.stack(spikes), np.stack(membranes)


def same_conv(x: Array, kernel: Array) -> Array:
    """Convolve with 'same' padding; an even kernel pads less on the left and top (k = 4: 1 and 2), as torch does."""
    total = kernel.shape[-1] - 1
    left, right = total // 2, total - total // 2
    padded = np.pad(x, ((0, 0), (0, 0), (left, right), (left, right)))
    return conv2d(padded, kernel, (1, 1), (0, 0))


def gated_coding(op: GatedCoding, x: Array) -> tuple[Array, Array]:
    """Return graded spikes O = h(A F) S and membranes, from currents (T, B, C, H, W)."""
    T, B = x.shape[:2]
    need_timesteps(op, T)
    state = FloatState(op.neuron, B)
    out, membranes = [], []
    scores = temporal_gate(op, x)
    for t in range(T):
        features = same_conv(np.maximum(same_conv(x[t], op.parameters["conv0"]), 0), op.parameters["conv1"])
        gate = gate_function(op.gate, _fill(scores[t], features) * features)
        out.append(gate * state.step([x[t]]))
        membranes.append(state.v)
    return np.stack(out), np.stack(membranes)
