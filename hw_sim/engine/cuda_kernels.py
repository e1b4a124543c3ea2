"""The drives and the LIF scan as CUDA kernels, ``drive[r, i] += (sum_s weight[s, i] * x[r, s]) >> shift``; one thread a sum.

The arithmetic is that of ``soma_kernels`` and ``synapse_kernels``, in the same integer widths: sums of integers that fit do
not depend on their order, so the results are the same bit for bit. Every thread owns what it writes but the two counters.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from spikewright.hw_sim.engine.soma_kernels import LIMIT, WRAP

cuda: Any = import_module("numba.cuda")  # its attributes have no types


def _kernel(function: Callable[..., Any]) -> Any:
    return cuda.jit(function)


def _inline(function: Callable[..., Any]) -> Any:
    return cuda.jit(device=True)(function)


@_kernel
def conv(x, weight, source_hw, target_hw, stride, padding, dilation, channels, shift, drive):  # type: ignore[no-untyped-def]
    """Gather through a shared kernel: ``x`` (R, pixels * Ci), ``weight`` (Ci, kh, kw, Co // groups), ``drive`` (R, n)."""
    word = drive.dtype.type
    k = cuda.grid(1)
    n = drive.shape[1]
    if k >= drive.shape[0] * n:
        return
    r = k // n
    i = k % n
    co = i % channels[1]
    row = i // channels[1] // target_hw[1]
    column = i // channels[1] % target_hw[1]
    run = weight.shape[3]
    per_group = channels[0] // channels[2]
    first = co // run * per_group
    total = word(0)
    for ky in range(weight.shape[1]):
        y = row * stride[0] - padding[0] + ky * dilation[0]
        if y < 0 or y >= source_hw[0]:
            continue
        for kx in range(weight.shape[2]):
            z = column * stride[1] - padding[1] + kx * dilation[1]
            if z < 0 or z >= source_hw[1]:
                continue
            at = (y * source_hw[1] + z) * channels[0]
            for c in range(first, first + per_group):
                total = word(total + word(word(x[r, at + c]) * weight[c, ky, kx, co % run]))
    drive[r, i] = word(drive[r, i] + word(total >> shift))


@_kernel
def dense(x, weight, shift, drive):  # type: ignore[no-untyped-def]
    """Gather through ``weight`` (n_source, n_target)."""
    word = drive.dtype.type
    k = cuda.grid(1)
    n = drive.shape[1]
    if k >= drive.shape[0] * n:
        return
    r = k // n
    i = k % n
    total = word(0)
    for s in range(x.shape[1]):
        if x[r, s] != 0:
            total = word(total + word(word(x[r, s]) * weight[s, i]))
    drive[r, i] = word(drive[r, i] + word(total >> shift))


@_kernel
def sparse(x, indptr, sources, weight, shift, drive):  # type: ignore[no-untyped-def]
    """Gather through the synapse list ``indptr[i] : indptr[i + 1]`` of every target.

    ``x`` is (R, n_source), ``drive`` (R, n_target), ``indptr`` (n_target + 1,).
    """
    word = drive.dtype.type
    k = cuda.grid(1)
    n = drive.shape[1]
    if k >= drive.shape[0] * n:
        return
    r = k // n
    i = k % n
    total = word(0)
    for j in range(indptr[i], indptr[i + 1]):
        total = word(total + word(word(x[r, sources[j]]) * weight[j]))
    drive[r, i] = word(drive[r, i] + word(total >> shift))


@_kernel
def diagonal(x, weight, shift, drive):  # type: ignore[no-untyped-def]
    """Scale neuron by neuron. ``x`` and ``drive`` are (R, n), ``weight`` (n,)."""
    word = drive.dtype.type
    k = cuda.grid(1)
    n = drive.shape[1]
    if k >= drive.shape[0] * n:
        return
    r = k // n
    i = k % n
    drive[r, i] = word(drive[r, i] + word(word(word(x[r, i]) * weight[i]) >> shift))


@_inline
def _integrate_current(u, b, i, drive, keep):  # type: ignore[no-untyped-def]
    """Do as ``soma_kernels.integrate_current`` for one neuron; return 1 if u wrapped."""
    word = u.dtype.type
    limit, wrap = word(LIMIT), word(WRAP)
    x = u[b, i]
    mag = word(abs(x))
    kept = word(word(word(mag >> 12) * keep) + word(word(word(mag & 4095) * keep) >> 12))
    x = word(word(word(0) - kept if x < 0 else kept) + word(drive << 6))
    y = word(x - wrap) if x > limit else x
    y = word(y + wrap) if y <= -limit else y
    u[b, i] = y
    return 1 if x != y else 0


@_inline
def _gained(u, current, level, bits):  # type: ignore[no-untyped-def]
    """Do as ``soma_kernels.apply_gain`` for one neuron, in the width of ``u``."""
    word = u.dtype.type
    gain = word(level)
    mag = word(abs(current))
    part = word(word(word(mag >> bits) * gain) + word(word(word(mag & ((1 << bits) - 1)) * gain) >> bits))
    return word(word(0) - part) if current < 0 else part


@_inline
def _integrate_voltage(v, b, i, current, keep, floor):  # type: ignore[no-untyped-def]
    """Do as ``soma_kernels.integrate_voltage`` for one neuron; return 1 if v was clipped."""
    word = v.dtype.type
    top = word(LIMIT - 1)
    x = v[b, i]
    mag = word(abs(x))
    kept = word(word(word(mag >> 12) * keep) + word(word(word(mag & 4095) * keep) >> 12))
    x = word(word(word(0) - kept if x < 0 else kept) + max(current, word(floor)))
    y = min(max(x, word(-top)), top)
    v[b, i] = y
    return 1 if x != y else 0


@_inline
def _fire(v, b, i, params, most, subtract, floored):  # type: ignore[no-untyped-def]
    """Do as ``soma_kernels.fire_often`` and ``raise_to`` for one neuron; return how often it fired."""
    count = 0
    if v[b, i] > params[3, i]:
        count = 1 if most == 1 else min(most, (v[b, i] - params[3, i] - 1) // params[7, i] + 1)
        v[b, i] = v.dtype.type(v[b, i] - count * params[4, i]) if subtract else params[4, i]
    if floored:
        v[b, i] = max(v[b, i], params[5, i])
    return count


@_kernel
def lif(  # type: ignore[no-untyped-def]
    drive, u, v, params, subtract, floor, zeroing, ports, levels, gate_index, gate_bits, refractory, hold,
    most, floored, out, recording, rec_u, rec_v, saturated,
):  # fmt: skip
    """Scan ``drive`` (T, B, n), one thread a neuron of a sample; arguments as ``soma_kernels.lif``.

    ``ports`` is the number of gates; ``rec_*`` (T, B, n) are of this block, and not used unless ``recording``.
    """
    word = u.dtype.type
    steps, batch, n = drive.shape
    k = cuda.grid(1)
    if k >= batch * n:
        return
    b = k // n
    i = k % n
    wraps = 0
    clips = 0
    for t in range(steps):
        if t >= zeroing[0] and (t - zeroing[0]) % zeroing[1] == 0:
            u[b, i] = 0
            v[b, i] = params[6, i]
            if refractory > 1:
                hold[b, i] = 0
        wraps += _integrate_current(u, b, i, drive[t, b, i], params[0, i])
        current = word(u[b, i] + params[2, i])
        for p in range(ports):
            current = _gained(u, current, levels[p, t, b, gate_index[p, i]], gate_bits)
        if refractory > 1 and hold[b, i] > 0:
            hold[b, i] -= 1
            out[t, b, i] = 0
        else:
            clips += _integrate_voltage(v, b, i, current, params[1, i], floor)
            fired = _fire(v, b, i, params, most, subtract, floored)
            out[t, b, i] = fired
            if refractory > 1 and fired:
                hold[b, i] = refractory - 1
        if recording:
            rec_u[t, b, i] = u[b, i]
            rec_v[t, b, i] = v[b, i]
    if wraps + clips > 0:
        cuda.atomic.add(saturated, 0, wraps)
        cuda.atomic.add(saturated, 1, clips)
