"""Inputs drawn for a net whose data set is not at hand, to hold its captured graph against it; no data of the set's kind.

images   one of pixels N(0, 1), the same every step
events   counts per pixel, polarity and step, Poisson with mean 0.2
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.models.zoo.card import Card

MEAN_EVENTS = 0.2


def _tcja(arguments: Mapping[str, Any]) -> tuple[int, ...]:
    from spikewright.models.nets.tcja_nets import PLANS

    return (2, *PLANS[arguments["plan"]].size)


def _ma(arguments: Mapping[str, Any]) -> tuple[int, ...]:
    from spikewright.models.nets.ma_event import PLANS

    side = PLANS[arguments["plan"]].side
    return (2, side, side)


SHAPES: dict[str, Callable[[Mapping[str, Any]], tuple[int, ...]]] = {
    "tcja": _tcja,
    "ma_event": _ma,
    "ms_resnet_imagenet": lambda arguments: (3, 224, 224),
    "gac_ms_resnet_cifar": lambda arguments: (3, 32, 32),
}
"""(C, H, W) of the released nets' inputs, by net, of its constructor arguments."""


def example(card: Card, count: int = 2, seed: int = 0) -> NDArray[np.float32]:
    """Return inputs (T, B, C, H, W) for an imported checkpoint's net."""
    rng = np.random.default_rng(seed)
    shape = (count, *SHAPES[card.net](card.arguments))
    if card.coding == "direct":
        still = rng.normal(size=shape).astype(np.float32)
        return np.broadcast_to(still, (card.timesteps, *shape)).copy()
    return rng.poisson(MEAN_EVENTS, (card.timesteps, *shape)).astype(np.float32)
