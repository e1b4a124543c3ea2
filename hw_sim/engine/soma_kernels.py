"""The soma models over a block of timesteps: u, v, spikes of ``program.Lif``; acc and payload of ``DeltaRelu``; level of ``Gate``.

Two builds of the LIF kernel exist. ``lif_int32`` splits every product of a 24-bit state and a 12-bit decay into its high and
low 12 bits, ``(x k) >> 12 = (x >> 12) k + (((x & 4095) k) >> 12)``, so that all of it fits 32 bits and vectorizes; the compiler
picks it where ``|a| < 2**24`` and ``|bias| < 2**24``. ``lif_int64`` is the same code for everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hw_sim.engine.jit import int32, int64, parallel_kernel, prange

BLOCK = 2048
"""Neurons one thread carries through all timesteps: state and parameters of a block stay in the L1/L2 cache."""
LIMIT = 1 << 23
WRAP = 1 << 24


def _build_lif(word: Any) -> Callable[..., None]:
    """Build the LIF kernel for one integer width."""
    zero, limit, wrap, top = word(0), word(LIMIT), word(WRAP), word(LIMIT - 1)

    @parallel_kernel
    def lif(drive, u, v, params, subtract, levels, gate_index, gate_bits, out, rec_u, rec_v, saturated):  # type: ignore[no-untyped-def]
        """Scan ``drive`` (T, B, n); ``params`` (5, n) = kept u, kept v (of 4096), bias, threshold, v_reset."""
        steps, batch, n = drive.shape
        blocks = (n + BLOCK - 1) // BLOCK
        ports = gate_index.shape[0]
        low = word((1 << gate_bits) - 1)
        for k in prange(batch * blocks):
            b = k // blocks
            start = (k % blocks) * BLOCK
            stop = min(n, start + BLOCK)
            current = np.empty(BLOCK, drive.dtype)
            wraps = 0
            clips = 0
            for t in range(steps):
                for i in range(start, stop):
                    x = u[b, i]
                    mag = word(abs(x))
                    kept = word(word(word(mag >> 12) * params[0, i]) + word(word(word(mag & 4095) * params[0, i]) >> 12))
                    x = word(word(word(zero - kept) if x < 0 else kept) + word(drive[t, b, i] << 6))
                    over = x > limit
                    x = word(x - wrap) if over else x
                    under = x <= -limit
                    x = word(x + wrap) if under else x
                    wraps += over or under
                    u[b, i] = x
                    current[i - start] = word(x + params[2, i])
                for p in range(ports):
                    for i in range(start, stop):
                        x = current[i - start]
                        level = word(levels[p, t, b, gate_index[p, i]])
                        mag = word(abs(x))
                        part = word(word(word(mag >> gate_bits) * level) + word(word(word(mag & low) * level) >> gate_bits))
                        current[i - start] = word(zero - part) if x < 0 else part
                for i in range(start, stop):
                    x = v[b, i]
                    mag = word(abs(x))
                    kept = word(word(word(mag >> 12) * params[1, i]) + word(word(word(mag & 4095) * params[1, i]) >> 12))
                    x = word(word(word(zero - kept) if x < 0 else kept) + current[i - start])
                    y = min(max(x, word(-top)), top)
                    clips += x != y
                    fired = y > params[3, i]
                    after = word(y - params[4, i]) if subtract else params[4, i]
                    v[b, i] = after if fired else y
                    out[t, b, i] = fired
                if rec_u.shape[0] > 0:
                    for i in range(start, stop):
                        rec_u[t, b, i] = u[b, i]
                        rec_v[t, b, i] = v[b, i]
            saturated[k, 0] = wraps
            saturated[k, 1] = clips

    return lif


lif_int32 = _build_lif(int32)
lif_int64 = _build_lif(int64)


@parallel_kernel
def delta_relu(drive, acc, last, decay, shift, out, rec_v, saturated):  # type: ignore[no-untyped-def]
    """Scan a ``DeltaRelu``: state ``acc`` and last sent ``last`` (B, n), ``out`` (T, B, n) payloads."""
    steps, batch, n = drive.shape
    for b in prange(batch):
        clips = 0
        for t in range(steps):
            for i in range(n):
                x = acc[b, i]
                kept = (abs(x) * (4096 - decay[i])) >> 12
                x = (-kept if x < 0 else kept) + drive[t, b, i]
                y = min(max(x, -(LIMIT - 1)), LIMIT - 1)
                clips += x != y
                acc[b, i] = y
                sent = max(y, 0) >> shift
                out[t, b, i] = sent - last[b, i]
                last[b, i] = sent
                if rec_v.shape[0] > 0:
                    rec_v[t, b, i] = y
        saturated[b, 1] = clips


@parallel_kernel
def gate(drive, acc, last, decay, bias, thresholds, levels, out, changed, rec_v, saturated):  # type: ignore[no-untyped-def]
    """Scan a ``Gate``: ``out`` (T, B, n) levels, ``changed`` (T, B, n) where a message leaves."""
    steps, batch, n = drive.shape
    for b in prange(batch):
        clips = 0
        for t in range(steps):
            for i in range(n):
                x = acc[b, i]
                kept = (abs(x) * (4096 - decay[i])) >> 12
                x = (-kept if x < 0 else kept) + drive[t, b, i]
                y = min(max(x, -(LIMIT - 1)), LIMIT - 1)
                clips += x != y
                acc[b, i] = y
                k = 0
                while k < thresholds.size and y + bias[i] >= thresholds[k]:
                    k += 1
                out[t, b, i] = levels[k]
                changed[t, b, i] = levels[k] != last[b, i]
                last[b, i] = levels[k]
                if rec_v.shape[0] > 0:
                    rec_v[t, b, i] = y
        saturated[b, 1] = clips
