"""The soma models over a block of timesteps; equations in ``hw_sim.somas``.

The LIF kernel works in the integer width of its arrays. It splits every product of a 24-bit state and a 12-bit decay into its
high and low 12 bits, ``(x k) >> 12 = (x >> 12) k + (((x & 4095) k) >> 12)``, so that all of it fits 32 bits and vectorizes;
the compiler takes 32 bits where ``|a| < 2**24`` and ``|bias| < 2**24``, else 64. (No closures: numba caches none.)

``rec_*`` are recordings of the whole run (T, B, n), or of length 0; ``corner`` is where this block lies in them.
"""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim.jit import int64, kernel

BLOCK = 2048
"""Neurons carried through all timesteps at once: state and parameters of a block stay in the L1/L2 cache."""
LIMIT = 1 << 23
WRAP = 1 << 24
NO_FLOOR = -(1 << 31)
"""Below any current (|u + bias| < 2**25 in 32 bits; in 64 bits |u| <= 2**23, so only a bias below -2**31 would be cut)."""


@kernel
def integrate_current(u, drive, keep, bias, current):  # type: ignore[no-untyped-def]
    """U = wrap24(decay(u) + (a << 6)); current = u + bias; return the number of wraps.

    All are (n,) of one sample and step; u has 24 bits.
    """
    word = u.dtype.type
    zero, limit, wrap = word(0), word(LIMIT), word(WRAP)
    wraps = 0
    for i in range(u.size):
        x = u[i]
        mag = word(abs(x))
        kept = word(word(word(mag >> 12) * keep[i]) + word(word(word(mag & 4095) * keep[i]) >> 12))
        x = word(word(word(zero - kept) if x < 0 else kept) + word(drive[i] << 6))
        y = word(x - wrap) if x > limit else x
        y = word(y + wrap) if y <= -limit else y
        wraps += word(x != y)
        u[i] = y
        current[i] = word(y + bias[i])
    return wraps


@kernel
def apply_gain(current, levels, index, bits):  # type: ignore[no-untyped-def]
    """Current = sign(current) * ((|current| * level) >> bits).

    ``current`` and ``index`` are (n,); ``levels`` has one value for each gate neuron.
    """
    word = current.dtype.type
    zero = word(0)
    low = word((1 << bits) - 1)
    for i in range(index.size):
        x = current[i]
        level = word(levels[index[i]])
        mag = word(abs(x))
        part = word(word(word(mag >> bits) * level) + word(word(word(mag & low) * level) >> bits))
        current[i] = word(zero - part) if x < 0 else part


@kernel
def integrate_voltage(v, current, keep, floor):  # type: ignore[no-untyped-def]
    """V = clip24(decay(v) + max(current, floor)); return the number of clips.

    All are (n,) of one sample and step; v has 24 bits.
    """
    word = v.dtype.type
    zero, top = word(0), word(LIMIT - 1)
    clips = 0
    for i in range(v.size):
        x = v[i]
        mag = word(abs(x))
        kept = word(word(word(mag >> 12) * keep[i]) + word(word(word(mag & 4095) * keep[i]) >> 12))
        x = word(word(word(zero - kept) if x < 0 else kept) + max(current[i], word(floor)))
        y = min(max(x, word(-top)), top)
        clips += word(x != y)
        v[i] = y
    return clips


@kernel
def fire(v, threshold, reset, subtract, out):  # type: ignore[no-untyped-def]
    """Out = v > threshold; reset where it fired. Few arrays a loop: beyond that LLVM does not vectorize.

    ``v`` and ``out`` are (n,).
    """
    word = v.dtype.type
    for i in range(v.size):
        fired = v[i] > threshold[i]
        after = word(v[i] - reset[i]) if subtract else reset[i]
        v[i] = after if fired else v[i]
        out[i] = fired


@kernel
def integrate_voltage_free(v, current, keep, floor, hold):  # type: ignore[no-untyped-def]
    """Do as ``integrate_voltage`` where ``hold`` is 0; a neuron that is held keeps its voltage. All are (n,)."""
    word = v.dtype.type
    zero, top = word(0), word(LIMIT - 1)
    clips = 0
    for i in range(v.size):
        x = v[i]
        held = hold[i] > zero
        mag = word(abs(x))
        kept = word(word(word(mag >> 12) * keep[i]) + word(word(word(mag & 4095) * keep[i]) >> 12))
        z = word(word(word(zero - kept) if x < 0 else kept) + max(current[i], word(floor)))
        y = min(max(z, word(-top)), top)
        clips += word((z != y) & (not held))
        v[i] = x if held else y
    return clips


@kernel
def fire_free(v, threshold, reset, subtract, hold, out):  # type: ignore[no-untyped-def]
    """Do as ``fire`` where ``hold`` is 0. All are (n,)."""
    word = v.dtype.type
    zero = word(0)
    for i in range(v.size):
        fired = (v[i] > threshold[i]) & (hold[i] == zero)
        after = word(v[i] - reset[i]) if subtract else reset[i]
        v[i] = after if fired else v[i]
        out[i] = fired


@kernel
def fire_often(v, threshold, spacing, most, reset, subtract, hold, out):  # type: ignore[no-untyped-def]
    """Out = how many of threshold, threshold + spacing, ... v is above, at most ``most``; reset; where ``hold`` is 0.

    All are (n,).
    """
    word = v.dtype.type
    for i in range(v.size):
        count = 0
        if v[i] > threshold[i] and hold[i] == 0:
            count = min(most, (int64(v[i]) - threshold[i] - 1) // spacing[i] + 1)
            v[i] = word(v[i] - count * reset[i]) if subtract else reset[i]
        out[i] = count


@kernel
def raise_to(v, floor):  # type: ignore[no-untyped-def]
    """V = max(v, floor). ``v`` is (n,)."""
    for i in range(v.size):
        v[i] = max(v[i], floor[i])


@kernel
def count_down(hold, refractory, out):  # type: ignore[no-untyped-def]
    """Hold = refractory - 1 where a neuron fired, else one less. ``hold``, in steps, and ``out`` are (n,)."""
    word = hold.dtype.type
    zero, one, whole = word(0), word(1), word(refractory - 1)
    for i in range(hold.size):
        hold[i] = whole if out[i] != 0 else max(word(hold[i] - one), zero)


@kernel
def fire_held(v, params, most, subtract, hold, refractory, out):  # type: ignore[no-untyped-def]
    """Fire and reset where ``hold`` is 0, and count it down; ``params`` as in ``lif``.

    ``v``, ``hold`` and ``out`` are (n,).
    """
    if most > 1:
        fire_often(v, params[3], params[7], most, params[4], subtract, hold, out)
    else:
        fire_free(v, params[3], params[4], subtract, hold, out)
    if refractory > 1:
        count_down(hold, refractory, out)


@kernel
def lif(  # type: ignore[no-untyped-def]
    drive,
    u,
    v,
    params,
    subtract,
    floor,
    zeroing,
    levels,
    gate_index,
    gate_bits,
    refractory,
    hold,
    most,
    floored,
    out,
    rec_u,
    rec_v,
    corner,
    saturated,
    start,
    stop,
):
    """Scan ``drive`` (T, B, n) for tasks ``start`` to ``stop``, each one block of neurons of one sample.

    ``params`` (8, n): kept u and kept v (of 4096), bias, threshold, v_reset, v_min, v_start, spacing;
    ``levels`` (ports, T, B, gates); ``floor`` is 0 for a rectified current, else -2**31; ``zeroing`` is (steps to the first
    periodic reset, interval); ``hold`` (B, n) counts the steps a refractory neuron still stands still (unused where
    ``refractory`` is 1); ``most`` is max_spikes, ``floored`` whether v_min is of use.
    """
    steps, _, n = drive.shape
    blocks = (n + BLOCK - 1) // BLOCK
    current = np.empty(BLOCK, drive.dtype)
    free = np.zeros(BLOCK, drive.dtype)
    for task in range(start, stop):
        b = task // blocks
        s = (task % blocks) * BLOCK
        e = min(n, s + BLOCK)
        for t in range(steps):
            if t >= zeroing[0] and (t - zeroing[0]) % zeroing[1] == 0:
                u[b, s:e] = 0
                v[b, s:e] = params[6, s:e]
                if refractory > 1:
                    hold[b, s:e] = 0
            saturated[task, 0] += integrate_current(
                u[b, s:e], drive[t, b, s:e], params[0, s:e], params[2, s:e], current
            )
            for p in range(gate_index.shape[0]):
                apply_gain(current, levels[p, t, b], gate_index[p, s:e], gate_bits)
            if refractory == most == 1:
                saturated[task, 1] += integrate_voltage(v[b, s:e], current, params[1, s:e], floor)
                fire(v[b, s:e], params[3, s:e], params[4, s:e], subtract, out[t, b, s:e])
            else:
                held = hold[b, s:e] if refractory > 1 else free[: e - s]
                saturated[task, 1] += integrate_voltage_free(v[b, s:e], current, params[1, s:e], floor, held)
                fire_held(v[b, s:e], params[:, s:e], most, subtract, held, refractory, out[t, b, s:e])
            if floored:
                raise_to(v[b, s:e], params[5, s:e])
            if rec_u.shape[0] > 0:
                rec_u[corner[0] + t, corner[1] + b, s:e] = u[b, s:e]
                rec_v[corner[0] + t, corner[1] + b, s:e] = v[b, s:e]


@kernel
def delta_relu(drive, acc, last, keep, shift, out, rec_v, corner, saturated, start, stop):  # type: ignore[no-untyped-def]
    """Scan a ``DeltaRelu`` for samples ``start`` to ``stop``: state ``acc``, last value ``last`` (B, n), ``out`` payloads."""
    steps, _, n = drive.shape
    for b in range(start, stop):
        for t in range(steps):
            for i in range(n):
                x = acc[b, i]
                kept = (abs(x) * keep[i]) >> 12
                x = (-kept if x < 0 else kept) + drive[t, b, i]
                y = min(max(x, -(LIMIT - 1)), LIMIT - 1)
                saturated[b, 1] += x != y
                acc[b, i] = y
                sent = max(y, 0) >> shift
                out[t, b, i] = sent - last[b, i]
                last[b, i] = sent
            if rec_v.shape[0] > 0:
                rec_v[corner[0] + t, corner[1] + b] = acc[b]


@kernel
def sigma_delta(  # type: ignore[no-untyped-def]
    drive, v, last, params, shift, rectify, sums, most, out, rec_v, corner, saturated, start, stop
):
    """Scan a ``SigmaDelta`` for samples ``start`` to ``stop``: ``last`` (B, n) was sent so far; ``params`` bias, threshold."""
    steps, _, n = drive.shape
    top = LIMIT - 1
    for b in range(start, stop):
        for t in range(steps):
            for i in range(n):
                x = drive[t, b, i] + (v[b, i] if sums else 0)
                kept = min(max(x, -top), top)
                v[b, i] = kept
                z = kept + params[0, i]
                y = min(max(z, -top), top)
                change = (max(y, 0) if rectify else y) - last[b, i]
                if abs(change) < params[1, i]:
                    change = 0
                due = change >> shift
                message = min(max(due, -most - 1), most)
                last[b, i] += change if message == due else message << shift
                saturated[b, 1] += (x != kept) | (y != z) | (message != due)
                out[t, b, i] = message
            if rec_v.shape[0] > 0:
                rec_v[corner[0] + t, corner[1] + b] = v[b]


@kernel
def relay(drive, v, shift, half, limit, out, rec_v, corner, saturated, start, stop):  # type: ignore[no-untyped-def]
    """Pass sums on for samples ``start`` to ``stop``: ``v`` (B, n) what is left of them, ``out`` payloads."""
    steps, _, n = drive.shape
    for b in range(start, stop):
        for t in range(steps):
            for i in range(n):
                x = drive[t, b, i]
                y = min(max(x, -limit), limit)
                saturated[b, 1] += x != y
                v[b, i] = y
                out[t, b, i] = (y + half) >> shift
            if rec_v.shape[0] > 0:
                rec_v[corner[0] + t, corner[1] + b] = v[b]


@kernel
def gate(  # type: ignore[no-untyped-def]
    drive, acc, last, keep, bias, thresholds, levels, out, changed, rec_v, corner, saturated, start, stop
):
    """Scan a ``Gate`` for samples ``start`` to ``stop``: ``out`` levels, ``changed`` where a message leaves."""
    steps, _, n = drive.shape
    for b in range(start, stop):
        for t in range(steps):
            for i in range(n):
                x = acc[b, i]
                kept = (abs(x) * keep[i]) >> 12
                x = (-kept if x < 0 else kept) + drive[t, b, i]
                y = min(max(x, -(LIMIT - 1)), LIMIT - 1)
                saturated[b, 1] += x != y
                acc[b, i] = y
                k = 0
                while k < thresholds.size and y + bias[i] >= thresholds[k]:
                    k += 1
                out[t, b, i] = levels[k]
                changed[t, b, i] = levels[k] != last[b, i]
                last[b, i] = levels[k]
            if rec_v.shape[0] > 0:
                rec_v[corner[0] + t, corner[1] + b] = acc[b]
