"""``--gates auto``: each block gets its exact causal lowering where it has one, else constants, if a paired test passes them.

    loss  = (samples only the float net answers rightly - samples only the chip does) / samples = (worse - better) / n
    bound = the largest d with  n d - (worse - better) <= z sqrt(n (2 q + d (1 - d))),   q: share of ``better``, likeliest at d

The one-sided score bound of a difference of paired shares (Tango, Statistics in Medicine 17, 1998, 891-908). Constants pass if
the bound is within the tolerance, and fail if the loss is as surely above it; between the two, more samples are asked for.
Where there are too few for any net to pass, constants that lose no more than the tolerance are taken with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.calibration import Labels, answers, sent_by
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array
from spikewright.toolchain.samples import Samples, apart, part
from spikewright.toolchain.stage import Context, Note

CONFIDENCE = 0.95
"""With which constants are judged, over all looks at the samples."""
LOOKS = (1000, 3000, 10_000)
"""How many samples have been read at each look: no more are run than decide."""
PORTION = 1000
"""Samples that are run at a time."""
OFFLINE = ("replay", "barrier")
"""Lowerings that are exact where no causal one is, and not spike-driven."""

Judges = Callable[[int], Samples | None]
"""Reads so many samples, or all there are: the first ones, or the last (``Samples.last``); None: there are none."""


@dataclass(frozen=True)
class Loss:
    """What the chip loses beside the float net, sample by sample.

    Args:
        worse: Samples that only the float net answers rightly.
        better: Samples that only the chip does.
        samples: All of them.
        of: Whose they are, in words.
        looks: How often samples may be looked at; the confidence is shared among the looks.
    """

    worse: int
    better: int
    samples: int
    of: str
    looks: int = 1

    @property
    def share(self) -> float:
        """The loss of accuracy."""
        return (self.worse - self.better) / self.samples

    @property
    def bound(self) -> float:
        """Loss that is not exceeded, with the confidence stated."""
        return score_bound(self.worse, self.better, self.samples, self._tail)

    @property
    def least(self) -> float:
        """Loss that is exceeded, with the confidence stated."""
        return -score_bound(self.better, self.worse, self.samples, self._tail)

    @property
    def _tail(self) -> float:
        return (1 - CONFIDENCE) / self.looks

    def within(self, tolerance: float) -> bool:
        """Say whether it is shown that no more is lost than is allowed."""
        return self.bound <= tolerance

    def beyond(self, tolerance: float) -> bool:
        """Say whether it is shown that more is lost than is allowed."""
        return self.least > tolerance

    def quantized_away(self, tolerance: float) -> bool:
        """Say whether exact gates lose more than is allowed: by quantizing, which nothing else explains, and not one sample."""
        return self.share > tolerance and (tolerance <= 0 or self.worse - self.better > 1)

    def __str__(self) -> str:
        return (
            f"{100 * self.share:.1f} points on {self.of} ({self.worse} worse, {self.better} better; "
            f"at most {100 * self.bound:.2f} with {100 * CONFIDENCE:g} % confidence)"
        )


def score_bound(worse: int, better: int, n: int, tail: float) -> float:
    """Return the largest loss that a paired score test of level ``tail`` does not reject; see the module's equation."""
    z = NormalDist().inv_cdf(1 - tail)
    low, high = (worse - better) / n, 1.0
    for _ in range(50):
        d = (low + high) / 2
        half = ((2 * n - worse + better) * d - worse - better) / 2
        q = (sqrt(half * half + 2 * n * better * d * (1 - d)) - half) / (2 * n)
        within = n * d - worse + better <= z * sqrt(max(n * (2 * q + d * (1 - d)), 0.0))
        low, high = (d, high) if within else (low, d)
    return high


def samples_needed(tolerance: float) -> int:
    """Return how many samples, all answered alike, show a loss within a tolerance above 0: their bound is z^2 / (n + z^2)."""
    z = NormalDist().inv_cdf(CONFIDENCE)
    return ceil(z * z * (1 - tolerance) / tolerance)


def choose(
    context: Context,
    calibration: Samples,
    lower: Callable[[Context], Context],
    note: Note,
    held_out: Judges = lambda _: None,
) -> Context:
    """Lower every block that ``auto`` is asked for as exactly as it can be, and judge what that loses.

    Args:
        context: What the gates are lowered from; its strategies hold what the user asked for, block by block.
        calibration: What the context was calibrated with; without labels, agreement with the float net is judged.
        lower: The stages from there to the integer graph.
        note: Told what is tried.
        held_out: Samples that decide about constants, but for those that calibrated; None: the calibration data does.
            Asked only where there are constants to be judged, and for more only where fewer do not decide.

    Raises:
        GateLoweringError: Too much is lost, or enough samples do not show that constants stay within the tolerance; says how
            much. Samples that are too few for that are a warning where what they lose is within.
    """
    strategies, tolerance = context.strategies, context.options.tolerance
    note(f"trying gates: {_named(strategies)}")
    tried = lower(context)
    constants = [block for block, strategy in strategies.items() if strategy == "static"]
    if not constants:
        if (loss := _calibrated(tried, calibration.y)).quantized_away(tolerance):
            raise _refusal(context, loss, ())
        return tried
    loss = _judged(tried, calibration, held_out, note)
    if loss.within(tolerance):
        said = Diagnostic("constant-gates", ", ".join(constants), f"constant gates lose {loss}", severity="note")
    elif _too_few(loss, tolerance) and loss.share <= tolerance:
        what = f"constant gates are not shown to stay within {100 * tolerance:.1f} points: they lose {loss}"
        said = Diagnostic("constants-unshown", ", ".join(constants), what, "".join(_ways(context, loss, constants)))
    else:
        raise _refusal(context, loss, constants)
    return replace(tried, diagnostics=(*tried.diagnostics, said))


def _too_few(loss: Loss, tolerance: float) -> bool:
    """Say whether so few samples could not have shown that constants stay within the tolerance, whatever they did."""
    return 0 < tolerance < 1 and loss.samples < samples_needed(tolerance) and not loss.beyond(tolerance)


def _judged(tried: Context, calibration: Samples, held_out: Judges, note: Note) -> Loss:
    """Return what constants lose, on as many samples as show on which side of the tolerance that is, or on all there are."""
    read, loss = 0, None
    for number, look in enumerate(LOOKS):
        found = held_out(look)
        if found is None or len(found) <= read:
            break
        if number:
            note(f"judging constant gates on {len(found):,} samples")
        news = apart(part(found, 0, len(found) - read) if found.last else part(found, read, len(found)), calibration)
        loss = _more(loss, tried, news, _looks(found, look))
        read = len(found)
        if loss is not None and (loss.within(tried.options.tolerance) or loss.beyond(tried.options.tolerance)):
            break
    return _calibrated(tried, calibration.y) if loss is None else loss


def _looks(found: Samples, asked: int) -> int:
    """Return how often samples may be looked at: where it is not known how many there are, as often as at ever more of them."""
    there = found.total if found.total is not None else len(found) if len(found) < asked else LOOKS[-1]
    return 1 + sum(look < there for look in LOOKS[:-1])


def _more(loss: Loss | None, tried: Context, news: Samples, looks: int) -> Loss | None:
    """Return a loss with more samples counted in: the captured net beside the integer graph."""
    worse, better, count = (0, 0, 0) if loss is None else (loss.worse, loss.better, loss.samples)
    for start in range(0, len(news), PORTION):
        few = part(news, start, start + PORTION)
        sent = few.x if tried.host is None else sent_by(tried.host, few.x)
        one = loss_of(answers(tried.captured, few.x), answers(tried.graph, sent), few.y, "")
        worse, better, count = worse + one.worse, better + one.better, count + one.samples
    return Loss(worse, better, count, news.called(count), looks) if count else None


def _refusal(context: Context, loss: Loss, constants: Sequence[str]) -> GateLoweringError:
    """Return the error that says what is lost, why there is no exact lowering, and what else there is."""
    tolerance, chosen = context.options.tolerance, _named(context.strategies)
    allowed = f"within {100 * tolerance:.1f} points"
    if not constants or loss.beyond(tolerance):
        what = f"no spike-driven lowering stays {allowed}: {chosen} loses {loss}"
    else:
        what = f"constant gates are not shown to stay {allowed}: {chosen} loses {loss}"
    return GateLoweringError(
        what + _why_not_exactly(context.captured),
        where=f"{context.name}, --gates auto",
        help="".join(_ways(context, loss, constants)),
    )


def _ways(context: Context, loss: Loss, constants: Sequence[str]) -> Iterator[str]:
    """Yield what can be done instead of constants that did not pass."""
    tolerance = context.options.tolerance
    if constants and _too_few(loss, tolerance):
        yield f"judge on {samples_needed(tolerance):,} samples or more (--calibrate), "
    yield "allow more with --tolerance, choose --gates yourself (static: constant gates"
    blocks = [op for op in context.captured if isinstance(op, AttentionBlock) and op.block in constants]
    for strategy in OFFLINE:
        if blocks and not any(op.refusal(strategy) for op in blocks):
            yield f"; {strategy}: exact, but not spike-driven"
            break
    yield "), or train the causal variant"


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


def _why_not_exactly(graph: Graph) -> str:
    """Say why the first block that no exact lowering takes has none; "" where there is no such block."""
    for op in graph:
        if isinstance(op, AttentionBlock) and not op.on_host and (reason := op.refusal("causal")):
            return f"; for block {op.block!r}, {op.title}, no other is exact: {reason}"
    return ""
