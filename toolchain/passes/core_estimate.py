"""How many cores neurons take, by what each of their terms shows a core: axons, kernels and neurons, before anything is mapped.

    cores = least channels x tiles, of cuts of a population (C, H, W) into parts with
            C' H' W' <= max_neurons,   sum over terms of  C_k ((H' - 1) stride_k + reach_k) (...)  <=  max_axons_in,
            sum over terms of  their weights / parts  <=  synapse_memory_bits

A term is a map from messages (``Window``). An estimate: mapping adds what borders and small layers cost.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import ceil, prod, sqrt

from spikewright.hw_sim.chip import CoreLimits
from spikewright.toolchain.ops import Add, Conv, Flatten, Op, Pair, Scale, Shape, SumPool


@dataclass(frozen=True)
class Window:
    """What neurons see of a message: rows and columns ``reach``, moving by ``stride``, of all its channels or of its own.

    ``kernel``: weights that a core stores whatever its places; ``listed``: weights that each neuron has for itself.
    """

    source: Shape
    reach: Pair = (1, 1)
    stride: Pair = (1, 1)
    own_channel: bool = True
    kernel: int = 0
    listed: int = 0

    def through(self, op: Op, shape: Shape) -> Window:
        """Return what neurons of ``shape`` behind one more map see."""
        match op:
            case Conv():
                seen, channels = self._wider((op.weight.shape[2], op.weight.shape[3]), op.stride, op.dilation), shape[0]
                depthwise = op.weight.shape[1] == 1 and op.groups > 1
                taps = prod(seen.reach) * (1 if depthwise and self.own_channel else _planes(self.source)[0])
                return replace(seen, own_channel=self.own_channel and depthwise, kernel=channels * taps)
            case SumPool():
                seen = self._wider(op.kernel, op.stride, (1, 1))
                return replace(seen, kernel=max(seen.kernel, shape[0]))
            case Add() | Scale() | Flatten():
                return self
            case _:
                _, high, wide = _planes(self.source)
                return replace(self, reach=(high, wide), own_channel=False, kernel=0, listed=prod(self.source))

    def _wider(self, kernel: Pair, stride: Pair, dilation: Pair) -> Window:
        (rh, rw), (sh, sw) = self.reach, self.stride
        reach = (rh + sh * (kernel[0] - 1) * dilation[0], rw + sw * (kernel[1] - 1) * dilation[1])
        return replace(self, reach=reach, stride=(sh * stride[0], sw * stride[1]))

    def axons(self, channels: int, high: int, wide: int) -> int:
        """Return how many neurons a part of so many channels, rows and columns reads."""
        most, rows, columns = _planes(self.source)
        seen = min(rows, (high - 1) * self.stride[0] + self.reach[0]) * min(
            columns, (wide - 1) * self.stride[1] + self.reach[1]
        )
        return seen * (min(most, channels) if self.own_channel else most)


def _planes(shape: Shape) -> tuple[int, int, int]:
    """Return a shape as (C, H, W); a vector has one place."""
    channels, high, *rest = (*shape, 1)
    return channels, high, prod(rest)


def cores_of(shape: Shape, terms: Collection[Window], core: CoreLimits) -> int:
    """Return the least cores that hold a population, or its neurons where one alone is too much for a core."""
    channels, high, wide = _planes(shape)
    best = channels * high * wide
    places = 1
    while places < 2 * high * wide:
        rows = min(high, round(sqrt(places)) if wide > 1 else places)
        columns = min(wide, ceil(places / rows))
        tile = (ceil(high / rows), ceil(wide / columns))
        parts = _channel_parts(channels, tile, terms, core)
        if parts is not None:
            best = min(best, parts * ceil(high / tile[0]) * ceil(wide / tile[1]))
        places *= 2
    return best


def _channel_parts(channels: int, tile: Pair, terms: Collection[Window], core: CoreLimits) -> int | None:
    """Return into how many parts channels must be cut where the places of a part are a tile; None: no number is enough."""
    places = prod(tile)
    parts = max(1, ceil(channels * places / core.max_neurons))
    while parts <= channels:
        each = ceil(channels / parts)
        axons = sum(term.axons(each, *tile) for term in terms)
        bits = sum(ceil(term.kernel / parts) + term.listed * each * places for term in terms) * core.weight_bits
        if axons <= core.max_axons_in and bits <= core.synapse_memory_bits and each * places <= core.max_neurons:
            return ceil(channels / each)
        parts += max(1, parts // 2)
    return None
