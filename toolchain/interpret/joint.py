"""The meaning of ``JointGate`` (TCJA) and ``StaaLif`` (STAA-style); equations in ``toolchain.ops``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikewright.toolchain.interpret.attention import attentive_lif, mlp, need_timesteps
from spikewright.toolchain.interpret.gates import gate_function
from spikewright.toolchain.interpret.states import FloatState
from spikewright.toolchain.ops import Array, AttentiveLif, JointGate, StaaLif

NORM_EPSILON = 1e-5
"""Epsilon of torch's layer norm."""


def joint_gains(op: JointGate, spikes: Array) -> Array:
    """Return the gains g (T, B, C) from spikes (T, B, C, ...)."""
    T = spikes.shape[0]
    need_timesteps(op, T)
    z = spikes.reshape(*spikes.shape[:3], -1).mean(axis=3)
    scores = []
    if "T" in op.dims:
        k = op.parameters["tla"].shape[-1]
        scores.append(_over_time(z, op.parameters["tla"], k - 1 if op.variant == "causal" else (k - 1) // 2))
    if "C" in op.dims:
        scores.append(_over_channels(op, z))
    gate = gate_function(op.gate, scores[0] if len(scores) == 1 else scores[0] * scores[1])
    if op.variant == "published" or op.gate_delay == 0:
        return gate
    late = min(op.gate_delay, T)
    return np.concatenate([np.ones_like(gate[:late]), gate[: T - late]])


def joint_gate(op: JointGate, operands: list[Array]) -> Array:
    """Return the gated spikes."""
    gains = joint_gains(op, operands[0])
    scaled = operands[-1]
    y: Array = gains.reshape(gains.shape + (1,) * (scaled.ndim - 3)) * scaled
    return y


def _over_time(z: Array, tla: Array, before: int) -> Array:
    T = z.shape[0]
    score = np.zeros((*z.shape[:2], tla.shape[0]))
    for m in range(tla.shape[-1]):
        first, last = max(0, before - m), min(T, T + before - m)
        score[first:last] += z[first + m - before : last + m - before] @ tla[:, :, m].T
    return score


def _over_channels(op: JointGate, z: Array) -> Array:
    cla, T, C = op.parameters["cla"], z.shape[0], z.shape[2]
    if op.variant == "causal" and op.memory == "count":
        counts = [z[0] / T]
        for step in z[1:]:
            counts.append(op.decay * counts[-1] + step / T)
        return np.stack(counts) @ channel_matrix(cla[0, 0], C).T
    past = np.tril(np.ones((T, T))) if op.variant == "causal" else np.ones((T, T))
    score = np.zeros_like(z)
    for t in range(T):
        for u in range(T):
            score[t] += past[t, u] * (z[u] @ channel_matrix(cla[t, u], C).T)
    return score


def channel_matrix(kernel: Array, channels: int) -> Array:
    """Return a 'same' convolution over the channel index as a matrix (C, C)."""
    k, matrix = kernel.size, np.zeros((channels, channels))
    for m in range(k):
        matrix += np.eye(channels, k=m - (k - 1) // 2) * kernel[m]
    return matrix


def positioned(op: StaaLif, x: Array) -> Array:
    """Return the current with its position encoding."""
    if "pe" not in op.parameters:
        return x
    pe = op.parameters["pe"]
    y: Array = x + pe.reshape(pe.shape[0], 1, pe.shape[1], *(1,) * (x.ndim - 3))
    return y


def gated_by_counts(op: StaaLif) -> AttentiveLif:
    """Return the causal form, behind its position encoding, as the op whose gates it shares."""
    names = ("ta_w", "ta_b", "ca_w0", "ca_w1", "ca_b")
    return AttentiveLif(
        name=op.name,
        inputs=op.inputs,
        block=op.block,
        neuron=op.neuron,
        dims="TC",
        variant="causal",
        timesteps=op.timesteps,
        parameters={name: op.parameters[name] for name in names},
        gate=op.gate,
        gate_delay=op.gate_delay,
        decay=op.decay,
    )


def staa_lif(op: StaaLif, x: Array) -> tuple[Array, Array]:
    """Return the spikes (graded in the reconstruction) and membranes after reset, (T, B, *shape)."""
    need_timesteps(op, x.shape[0])
    if op.variant == "causal":
        return attentive_lif(gated_by_counts(op), positioned(op, x))
    spikes, membranes, _ = _reconstruction(op, x)
    attention = step_gains(op, spikes)
    return attention.reshape(attention.shape + (1,) * (x.ndim - 2)) * spikes, membranes


def staa_gains(op: StaaLif, x: Array) -> tuple[Array, Array]:
    """Return what the reconstruction applies: the aggregator's gains (T, B, C) and the step attention (T, B)."""
    spikes, _, gains = _reconstruction(op, x)
    return gains, step_gains(op, spikes)


def step_gains(op: StaaLif, spikes: Array) -> Array:
    """Return the step attention a (T, B) of binary spikes."""
    mean = spikes.reshape(*spikes.shape[:2], -1).mean(axis=2)
    return gate_function(op.gate, mlp(op.parameters["sa_w0"], op.parameters["sa_w1"], mean.T).T)


def _reconstruction(op: StaaLif, x: Array) -> tuple[Array, Array, Array]:
    """Return binary spikes, membranes and the aggregator's gains (T, B, C)."""
    state = FloatState(replace(op.neuron, inputs=("x",)), x.shape[1])
    s = np.zeros(x.shape[1:])
    spikes, membranes, gains = [], [], []
    for current in positioned(op, x):
        gain = _aggregate(op, current, s)
        s = state.step([gain.reshape(gain.shape + (1,) * (current.ndim - 2)) * current])
        spikes.append(s)
        membranes.append(state.v)
        gains.append(gain)
    return np.stack(spikes), np.stack(membranes), np.stack(gains)


def _aggregate(op: StaaLif, current: Array, before: Array) -> Array:
    """Return the aggregator's gains (B, C) from a step's current and the spikes of the step before."""
    p = op.parameters
    maps = current.reshape(*current.shape[:2], -1)
    if "gc_key" in p:
        scores = np.einsum("kc,bcn->bkn", p["gc_key"], maps)
        weight = np.exp(scores - scores.max(axis=2, keepdims=True))
        context = (weight / weight.sum(axis=2, keepdims=True) * maps).sum(axis=2)
    else:
        context = before.reshape(*before.shape[:2], -1).mean(axis=2)
    hidden = context @ p["gc_query"].T
    centred = hidden - hidden.mean(axis=1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + NORM_EPSILON)
    hidden = np.maximum(normed * p["gc_scale"] + p["gc_shift"], 0)
    return gate_function(op.gate, hidden @ p["gc_value"].T)
