"""Event-driven synapses: ``drive[r, target] += weight * x[r, source]`` for every non-zero ``x``, one row per sample and timestep.

Populations of shape (C, H, W) are held channels-last here, so that one event adds runs of consecutive targets.
"""

from __future__ import annotations

from hw_sim.engine.jit import parallel_kernel, prange


@parallel_kernel
def conv(x, weight, drive, source_hw, target_hw, stride, padding, dilation, channels):  # type: ignore[no-untyped-def]
    """Scatter events through a shared kernel ``weight`` (Ci, kh, kw, Co // groups).

    ``x`` (R, H * W * Ci), ``drive`` (R, H' * W' * Co), ``channels`` = (Ci, Co, groups).
    """
    height, width = source_hw
    rows, columns = target_hw
    ci, co, groups = channels
    per_group = ci // groups
    kh, kw, run = weight.shape[1:]
    for r in prange(x.shape[0]):
        index = 0
        for y in range(height):
            for z in range(width):
                for c in range(ci):
                    payload = x[r, index]
                    index += 1
                    if payload == 0:
                        continue
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
                            if payload == 1:
                                for j in range(run):
                                    drive[r, first + j] += weight[c, ky, kx, j]
                            else:
                                for j in range(run):
                                    drive[r, first + j] += weight[c, ky, kx, j] * payload


@parallel_kernel
def dense(x, weight, drive):  # type: ignore[no-untyped-def]
    """Add row ``weight[source]`` (n_source, n_target) for every event."""
    for r in prange(x.shape[0]):
        for s in range(x.shape[1]):
            payload = x[r, s]
            if payload == 1:
                for j in range(weight.shape[1]):
                    drive[r, j] += weight[s, j]
            elif payload != 0:
                for j in range(weight.shape[1]):
                    drive[r, j] += weight[s, j] * payload


@parallel_kernel
def sparse(x, indptr, targets, weight, drive):  # type: ignore[no-untyped-def]
    """Walk the synapse list ``indptr[s] : indptr[s + 1]`` of every source with an event."""
    for r in prange(x.shape[0]):
        for s in range(x.shape[1]):
            payload = x[r, s]
            if payload != 0:
                for k in range(indptr[s], indptr[s + 1]):
                    drive[r, targets[k]] += weight[k] * payload
