"""Coding: data in a net's own numbers as the integer payloads that its chip is sent; counts beyond the input's bits saturate.

payload = round(x / scale),  at most 2^bits - 1                   what saturates is counted, and told (``saturated``)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.budget import BUDGET, blocks, slices
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.integer import IntInput, source_of
from spikewright.toolchain.ir import Graph

INPUT_BITS_MAX = 16
"""Bits of an event count at most."""
PAYLOAD_COPIES = 4
"""Values in 64 bits that encoding one makes: real, scaled, rounded, compared."""


def payload_type(integer: Graph) -> type[np.integer[Any]]:
    """Return the smallest type that holds an input's payloads; backends take any."""
    source = source_of(integer)
    return np.uint8 if source.soma.payload_bits <= 8 and not source.soma.signed else np.int32


def payloads(integer: Graph, sent: NDArray[Any], levels_only: bool = False, *, saturate: bool = False) -> NDArray[Any]:
    """Return what the chip gets as integers of ``payload_type``, both (T, B, *shape).

    Args:
        integer: The integer graph; its input says what one unit is worth, and how many bits there are.
        sent: Real values: what the host sends, or the data itself; whole numbers are looked at in their own type.
        levels_only: Refuse values between the levels instead of rounding them.
        saturate: Send counts beyond the input's bits as the largest there is, instead of refusing them.

    Raises:
        InputError: The values do not fit the input's coding.
    """
    source, kind = source_of(integer), payload_type(integer)
    if source.scale == 1 and sent.dtype.kind in "iu":
        sent = limited(source, sent) if saturate else sent
        _check_payloads(source, sent)
        return sent.astype(kind, copy=False)
    made = np.empty(sent.shape, kind)
    for steps in slices(sent.shape[0], max(1, BUDGET // max(1, PAYLOAD_COPIES * 8 * sent[:1].size))):
        real = np.asarray(sent[steps], np.float64)
        payload = np.round(real / source.scale)
        if levels_only and np.abs(payload * source.scale - real).max(initial=0.0) > 1e-6:
            bits = source.soma.payload_bits
            coding = "binary spikes" if bits == 1 else f"whole numbers below {1 << bits}"
            raise InputError(
                f"x holds values between the levels of the input's coding, which is {coding}, as the calibration data was",
                where="input",
                help="encode the data so (as the model card says, where there is one), or deploy again with calibration "
                "data like it (--calibrate)",
            )
        payload = limited(source, payload) if saturate else payload
        _check_payloads(source, payload)
        made[steps] = payload
    return made


def counts(source: IntInput) -> bool:
    """Say whether an input takes event counts: what a chip's encoder cuts off where there are more than its bits hold."""
    return source.scale == 1 and source.soma.payload_bits > 1


def limited(source: IntInput, payload: NDArray[Any]) -> NDArray[Any]:
    """Return counts with those that an input's bits do not hold at the nearest that they do; below 0 only of signed ones."""
    low, high = source.soma.payloads
    if not counts(source) or not payload.size or (payload.max() <= high and payload.min() >= min(low, 0)):
        return payload
    found: NDArray[Any] = np.minimum(payload, high)
    return np.maximum(found, low) if source.soma.signed else found


def saturated(integer: Graph, x: NDArray[Any], where: str = "input") -> tuple[Diagnostic, ...]:
    """Return a warning where data of a net without host part holds counts beyond the input's bits, (T, B, *shape)."""
    source = source_of(integer)
    low, high = source.soma.payloads
    if not counts(source) or not x.size or (x.max() <= high and (x.min() >= low or not source.soma.signed)):
        return ()
    beyond = sum(int(((part > high) | (part < low)).sum()) for part in blocks(x))
    top = max(float(x.max()), -float(x.min()) if source.soma.signed else 0.0)
    what = (
        f"{beyond:,} of {x.size:,} counts are beyond the {source.soma.payload_bits} bits of the input ({low} .. {high}) and "
        f"sent as the nearest that it holds; the largest is {top:,.0f}"
    )
    return (Diagnostic("input-saturates", where, what, _wider(source, int(x.min(initial=0)), int(x.max(initial=0)))),)


def check_range(integer: Graph, x: NDArray[Any], *, saturate: bool = False) -> None:
    """Refuse data of a net without host part, (T, B, *shape), that goes beyond the input's bits, before any of it runs.

    Raises:
        InputError: With the option that takes it.
    """
    source = source_of(integer)
    ends = np.array([x.min(initial=0), x.max(initial=0)]) / source.scale
    _check_payloads(source, limited(source, ends) if saturate else ends)


def _check_payloads(source: IntInput, payload: NDArray[Any]) -> None:
    if refused := source.soma.refused(payload):
        low, high = int(payload.min(initial=0)), int(payload.max(initial=0))
        raise InputError(refused, where="input", help=_wider(source, low, high))


def _wider(source: IntInput, low: int, high: int) -> str:
    """Return how to deploy a net so that payloads of this range fit."""
    data = "calibration data that covers this range (--calibrate)"
    if source.scale != 1:
        return f"the host sends more than it did on the calibration data: deploy again with {data}"
    if low < 0 and not source.soma.signed:
        return "deploy again with calibration data that has negative values too (--calibrate)"
    bits = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0)
    if bits > INPUT_BITS_MAX:
        return f"counts take {INPUT_BITS_MAX} bits: scale the data down, or deploy again with {data}"
    return f"deploy again with --input-bits {bits}, or with {data}"
