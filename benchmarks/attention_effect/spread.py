"""Mean, standard deviation and 95 % interval of a few seeds; Student's t, so that three seeds claim no more than they can."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""0.975 quantile of Student's t for 1 to 10 degrees of freedom."""
NORMAL_975 = 1.96


@dataclass(frozen=True)
class Spread:
    """A figure over ``n`` seeds; ``low`` and ``high`` bound its mean with 95 % confidence (without end where n is 1)."""

    mean: float
    std: float
    low: float
    high: float
    n: int

    def verdict(self, against: float = 0.0) -> str:
        """Say whether the mean is ``"below"`` or ``"above"`` a value, or that so few seeds cannot tell: ``"open"``."""
        if self.high < against:
            return "below"
        return "above" if self.low > against else "open"


def spread(values: Sequence[float]) -> Spread:
    """Summarize the values of the seeds; at least one."""
    n, mean = len(values), statistics.fmean(values)
    if n == 1:
        return Spread(mean, 0.0, -math.inf, math.inf, 1)
    std = statistics.stdev(values)
    quantile = T_975[n - 2] if n - 2 < len(T_975) else NORMAL_975
    half = quantile * std / math.sqrt(n)
    return Spread(mean, std, mean - half, mean + half, n)
