"""``--gates auto``: each block gets its exact causal lowering where it has one, else constants, if a paired test passes them.

loss = (samples only the float net answers rightly - samples only the chip does) / samples
p    = P(at least that many of the samples on which they differ, each of both with 1/2)                  (McNemar, exact)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import comb

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.budget import JUDGED_BYTES
from spikewright.toolchain.calibration import Labels, answers, looked_at, sent_by
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array
from spikewright.toolchain.samples import Samples, first
from spikewright.toolchain.stage import Context, Note

SIGNIFICANT = 0.05
"""A loss above the tolerance counts from this p on; chance explains one that is likelier."""
CONFIDENCE = 0.95
"""Of the bound on a loss that is stated."""
HELD_OUT = 1000
"""Samples at most that decide about constants (see ``budget.JUDGED_BYTES``)."""


@dataclass(frozen=True)
class Loss:
    """What the chip loses beside the float net, sample by sample.

    Args:
        worse: Samples that only the float net answers rightly.
        better: Samples that only the chip does.
        samples: All of them.
        of: Whose they are, in words.
    """

    worse: int
    better: int
    samples: int
    of: str

    @property
    def share(self) -> float:
        """The loss of accuracy."""
        return (self.worse - self.better) / self.samples

    @property
    def by_chance(self) -> float:
        """Probability that two equally good nets differ so much to this side."""
        n = self.worse + self.better
        return float(sum(comb(n, k) for k in range(self.worse, n + 1)) / (1 << n))

    @property
    def bound(self) -> float:
        """Loss that is not exceeded with the confidence stated: exact binomial bounds of both counts."""
        tail = (1 - CONFIDENCE) / 2
        return upper(self.worse, self.samples, tail) - (1 - upper(self.samples - self.better, self.samples, tail))

    def beyond(self, tolerance: float) -> bool:
        """Say whether the loss is above what is allowed, and no chance."""
        return self.share > tolerance and (tolerance < 0 or self.by_chance <= SIGNIFICANT)

    def quantized_away(self, tolerance: float) -> bool:
        """Say whether exact gates lose more than is allowed: by quantizing, which nothing else explains, and not one sample."""
        return self.share > tolerance and (tolerance <= 0 or self.worse - self.better > 1)

    def __str__(self) -> str:
        return (
            f"{100 * self.share:.1f} points on {self.of} ({self.worse} worse, {self.better} better; "
            f"at most {100 * self.bound:.1f} with {100 * CONFIDENCE:g} % confidence)"
        )


def upper(k: int, n: int, tail: float) -> float:
    """Return the largest p for which at most ``k`` of ``n`` events have probability ``tail`` (Clopper and Pearson 1934)."""
    if k >= n:
        return 1.0
    i = np.arange(k + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log(n - i[:-1]) - np.log(i[:-1] + 1))]) if k else np.zeros(1)
    low, high = k / n, 1.0
    for _ in range(50):
        p = (low + high) / 2
        below = float(np.exp(ways + i * np.log(p) + (n - i) * np.log1p(-p)).sum()) if p < 1 else 0.0
        low, high = (p, high) if below > tail else (low, p)
    return high


def choose(
    context: Context,
    y: Labels | None,
    lower: Callable[[Context], Context],
    note: Note,
    held_out: Callable[[], Samples | None] = lambda: None,
) -> Context:
    """Lower every block that ``auto`` is asked for as exactly as it can be, and judge what that loses.

    Args:
        context: What the gates are lowered from; its strategies hold what the user asked for, block by block.
        y: Labels of the calibration data; without them, agreement with the float net is judged.
        lower: The stages from there to the integer graph.
        note: Told what is tried.
        held_out: Samples that calibrated nothing: they decide about constants. None: the calibration data does.
            Asked only where there are constants to be judged.

    Raises:
        GateLoweringError: It loses too much; says how much.
    """
    strategies = context.strategies
    note(f"trying gates: {_named(strategies)}")
    tried = lower(context)
    constants = [block for block, strategy in strategies.items() if strategy == "static"]
    samples = held_out() if constants else None
    loss = _calibrated(tried, y) if samples is None else _held_out(tried, samples)
    tolerance = context.options.tolerance
    if loss.beyond(tolerance) or (not constants and loss.quantized_away(tolerance)):
        raise GateLoweringError(
            f"no spike-driven lowering stays within {100 * tolerance:.1f} points: {_named(strategies)} loses {loss}"
            + _why_not_exactly(context.captured),
            where=f"{context.name}, --gates auto",
            help="allow more with --tolerance, choose --gates yourself (static: constant gates), or train the causal variant",
        )
    if not constants:
        return tried
    shown = "" if loss.bound <= tolerance else f"; more samples would show whether it stays within {100 * tolerance:g}"
    said = Diagnostic("constant-gates", ", ".join(constants), f"constant gates lose {loss}{shown}", severity="note")
    return replace(tried, diagnostics=(*tried.diagnostics, said))


def _named(strategies: Mapping[str, str]) -> str:
    """Return one strategy that all blocks have, or each block's."""
    kinds = set(strategies.values())
    return kinds.pop() if len(kinds) == 1 else ", ".join(f"{block}={kind}" for block, kind in strategies.items())


def loss_of(wanted: Array, got: Array, y: Labels | None, of: str) -> Loss:
    """Compare answers (B, n) sample by sample; without labels, the float net is right."""
    truth = wanted.argmax(axis=1) if y is None else y
    right, ours = wanted.argmax(axis=1) == truth, got.argmax(axis=1) == truth
    return Loss(int((right & ~ours).sum()), int((ours & ~right).sum()), len(truth), of)


def _calibrated(tried: Context, y: Labels | None) -> Loss:
    """Return the loss on the calibration data."""
    assert tried.reference is not None
    assert tried.integer_answers is not None
    of = f"the {len(tried.reference):,} calibration samples"
    return loss_of(tried.reference, np.asarray(tried.integer_answers, np.float64), y, of)


def _held_out(tried: Context, samples: Samples) -> Loss:
    """Return the loss on samples that calibrated nothing, the captured net beside the integer graph."""
    most = min(HELD_OUT, len(samples))
    few = first(samples, looked_at(tried.captured, most, JUDGED_BYTES))
    sent = few.x if tried.host is None else sent_by(tried.host, few.x)
    return loss_of(answers(tried.captured, few.x), answers(tried.graph, sent), few.y, few.source)


def _why_not_exactly(graph: Graph) -> str:
    """Say why the first block that no exact lowering takes has none; "" where there is no such block."""
    for op in graph:
        if isinstance(op, AttentionBlock) and not op.on_host and (reason := op.refusal("causal")):
            return f"; for block {op.block!r}, {op.title}, no other is exact: {reason}"
    return ""
