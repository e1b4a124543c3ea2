"""What the integers lose against the float net on a run's own first samples, by the limits that ``deploy`` judges by.

samples = min(B, those that deploy judged on, what UPDATES neuron updates, and BUDGET bytes for the chip, allow)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import prod

import numpy as np

from spikewright.toolchain.analysis.numbers import several
from spikewright.toolchain.budget import BUDGET
from spikewright.toolchain.calibration import drift, observe, sent_by, to_units
from spikewright.toolchain.deployment import Deployment, Drift
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.losses import run_losses
from spikewright.toolchain.ops import Neuron
from spikewright.toolchain.samples import Samples, first
from spikewright.toolchain.shapes import shapes

UPDATES = 1 << 22
"""Neuron updates of all judged samples, about: the interpreter does them twice, in a second on one core."""


@dataclass(frozen=True)
class Judged:
    """What was compared.

    Args:
        samples: How many of the first ones; 0: none, nothing of the net is quantized.
        found: Losses beyond their limits.
    """

    samples: int = 0
    found: tuple[Diagnostic, ...] = ()


def judged(made: Deployment, samples: Samples, said: Collection[Diagnostic], *, least: int = 1) -> Judged:
    """Run float net and integers on the first samples, and return what is lost there.

    Args:
        made: What runs.
        samples: Its data, (T, B, *shape).
        said: What is told already: a loss of the same kind at the same place is not told again.
        least: So many samples are judged, if there are, whatever they cost.
    """
    if made.drift is None:
        return Judged()
    few = first(samples, min(len(samples), max(least, _most(made, made.drift))))
    losses = _losses(made, few)
    known = {(one.code, one.where) for one in said}
    fresh = [one for one in losses if one.severity == "warning" and (one.code, one.where) not in known]
    where = f"on the first {several(len(few), 'sample')}"
    return Judged(len(few), tuple(replace(one, what=f"{where}: {one.what}") for one in fresh))


def _losses(made: Deployment, few: Samples) -> tuple[Diagnostic, ...]:
    """Return all losses on samples; those of the data that ran last are kept, so that it runs again as fast as before."""
    key = _digest(few)
    if key not in made.judgements:
        sent = few.x if made.host is None else sent_by(made.host, few.x)
        seen = observe(made.lowered, sent)
        changed, got = drift(seen, made.integer, sent)
        losses = run_losses(changed, seen.answers, to_units(made.integer, got), few.y, made.options.tolerance)
        made.judgements.clear()
        made.judgements[key] = tuple(losses)
    return made.judgements[key]


def _digest(few: Samples) -> bytes:
    held = blake2b(digest_size=16)
    for values in (few.x, few.y):
        if values is not None:
            held.update(f"{values.dtype}{values.shape}".encode())
            held.update(np.ascontiguousarray(values).data)
    return held.digest()


def _most(made: Deployment, drift: Drift) -> int:
    """Return how many samples are worth it: what deploy judged on, within bounds of work and memory; one at least."""
    T, graph = made.lowered.timesteps, made.lowered
    neurons = {op.name: prod(op.shape) for op in graph if isinstance(op, Neuron)}
    seen = [size // (T * neurons[name]) for name, (_, _, size) in drift.spikes.items() if name in neurons]
    bounds = [UPDATES // max(1, T * sum(neurons.values())), *seen[:1]]
    if made.host is not None:
        bounds.append(BUDGET // (T * _bytes(made.host.graph, made.host.boundary, 8 if made.host.graded else 1)))
    return max(1, min(bounds))


def _bytes(graph: Graph, signal: str, each: int) -> int:
    return prod(shapes(graph)[signal]) * each
