"""Event-driven synapses: ``drive[r, target] += weight * x[r, source]`` for non-zero ``x``; a row is one sample and step.

Populations of shape (C, H, W) are held channels-last here, so that one event adds long runs of consecutive targets. With
one group, the kernel is stored per phase ``(y + padding) mod stride`` of the source pixel, rows and columns reversed: what
one event adds is then one run, ``rows x columns x Co`` long.
"""

from __future__ import annotations

import numpy as np

from hw_sim.engine.jit import kernel


@kernel
def find(row, found):  # type: ignore[no-untyped-def]
    """Write the indices of the non-zeros of ``row`` into ``found`` and return how many; skips eight bytes of zeros at once."""
    each = 8 // row.itemsize
    words = row.size // each
    skip = row[: words * each].view(np.uint64)
    count = 0
    for k in range(words):
        if skip[k] != 0:
            for i in range(k * each, (k + 1) * each):
                if row[i] != 0:
                    found[count] = i
                    count += 1
    for i in range(words * each, row.size):
        if row[i] != 0:
            found[count] = i
            count += 1
    return count


@kernel
def add(target, weight, payload):  # type: ignore[no-untyped-def]
    """Add ``weight * payload`` to a run of targets."""
    if payload == 1:
        for j in range(target.size):
            target[j] += weight[j]
    else:
        for j in range(target.size):
            target[j] += weight[j] * payload


@kernel
def accumulate(target, values):  # type: ignore[no-untyped-def]
    """Add values to a run of targets."""
    for j in range(target.size):
        target[j] += values[j]


@kernel
def conv(  # type: ignore[no-untyped-def] # noqa: C901 - one loop nest; splitting it costs a third of its speed
    x, weight, drive, source_hw, target_hw, stride, padding, channels, start, stop
):
    """Scatter rows ``start`` to ``stop`` through a kernel with one group and no dilation.

    ``x`` (R, H * W * Ci), ``drive`` (R, H' * W' * Co), ``weight`` (stride y, stride x, Ci, rows * columns * Co) by phase,
    ``channels`` = (Ci, Co, kh, kw). The events of one pixel are summed first, so every target is touched once a pixel.
    """
    ci, co, kh, kw = channels
    found = np.empty(x.shape[1], np.int32)
    patch = np.empty(weight.shape[3], drive.dtype)
    for r in range(start, stop):
        count = find(x[r], found)
        k = 0
        while k < count:
            pixel = found[k] // ci
            y, z = divmod(pixel, source_hw[1])
            bottom, phase_y = divmod(y + padding[0], stride[0])
            last, phase_x = divmod(z + padding[1], stride[1])
            rows = (kh - 1 - phase_y) // stride[0] + 1 if phase_y < kh else 0
            columns = (kw - 1 - phase_x) // stride[1] + 1 if phase_x < kw else 0
            size = rows * columns * co
            for j in range(size):
                patch[j] = 0
            end = (pixel + 1) * ci
            while k < count and found[k] < end:
                entry = weight[phase_y, phase_x, found[k] - pixel * ci]
                payload = x[r, found[k]]
                if payload == 1:
                    for j in range(size):
                        patch[j] += entry[j]
                else:
                    for j in range(size):
                        patch[j] += entry[j] * payload
                k += 1
            left = last - columns + 1
            a = max(0, -left)
            b = min(last, target_hw[1] - 1) - left + 1
            if a >= b:
                continue
            for i in range(rows):
                down = bottom - rows + 1 + i
                if 0 <= down < target_hw[0]:
                    first = (down * target_hw[1] + left) * co
                    accumulate(drive[r, first + a * co : first + b * co], patch[(i * columns + a) * co :])


@kernel
def conv_grouped(x, weight, drive, source_hw, target_hw, stride, padding, dilation, channels, start, stop):  # type: ignore[no-untyped-def]
    """Scatter rows ``start`` to ``stop`` through any kernel, ``weight`` (Ci, kh, kw, Co // groups)."""
    rows, columns = target_hw
    ci, co, groups = channels[0], channels[1], channels[2]
    per_group = ci // groups
    kh, kw, run = weight.shape[1:]
    found = np.empty(x.shape[1], np.int32)
    for r in range(start, stop):
        for k in range(find(x[r], found)):
            pixel, c = divmod(found[k], ci)
            y, z = divmod(pixel, source_hw[1])
            payload = x[r, found[k]]
            base = (c // per_group) * run
            for ky in range(kh):
                down = y + padding[0] - ky * dilation[0]
                if down < 0 or down % stride[0] != 0 or down >= rows * stride[0]:
                    continue
                for kx in range(kw):
                    right = z + padding[1] - kx * dilation[1]
                    if right < 0 or right % stride[1] != 0 or right >= columns * stride[1]:
                        continue
                    first = ((down // stride[0]) * columns + right // stride[1]) * co + base
                    add(drive[r, first : first + run], weight[c, ky, kx], payload)


@kernel
def dense(x, weight, drive, start, stop):  # type: ignore[no-untyped-def]
    """Add row ``weight[source]`` (n_source, n_target) for every event of rows ``start`` to ``stop``."""
    found = np.empty(x.shape[1], np.int32)
    for r in range(start, stop):
        for k in range(find(x[r], found)):
            add(drive[r], weight[found[k]], x[r, found[k]])


@kernel
def sparse(x, indptr, targets, weight, drive, start, stop):  # type: ignore[no-untyped-def]
    """Walk the synapse list ``indptr[s] : indptr[s + 1]`` of every source with an event, rows ``start`` to ``stop``."""
    found = np.empty(x.shape[1], np.int32)
    for r in range(start, stop):
        for k in range(find(x[r], found)):
            s = found[k]
            for j in range(indptr[s], indptr[s + 1]):
                drive[r, targets[j]] += weight[j] * x[r, s]
