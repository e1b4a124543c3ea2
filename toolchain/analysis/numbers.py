"""Numbers for people: counts with thousands, SI prefixes, shares in percent, bands."""

from __future__ import annotations

from spikewright.toolchain.analysis.quantity import Quantity

PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
)


ENERGY = ("J", "W")
"""Printed with two digits: silicon does not repeat an energy or a power better than to 6 %."""


def si(value: float, unit: str) -> str:
    """Return a value with an SI prefix and three significant digits, e.g. ``1.23 µs``; an energy or power with two."""
    if value == 0:
        return f"0 {unit}".strip()
    if unit in ENERGY:
        value = float(f"{value:.1e}")
    factor, prefix = next(((f, p) for f, p in PREFIXES if abs(value) >= f * 0.9995), PREFIXES[-1])
    digits = 1 if unit in ENERGY and abs(value / factor) < 9.95 else 0
    shown = f"{value / factor:.{digits}f}" if unit in ENERGY else significant(value / factor)
    return f"{shown} {prefix}{unit}".strip()


def significant(value: float) -> str:
    """Return three significant digits without an exponent."""
    size = abs(value)
    return f"{value:.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def count(value: float) -> str:
    """Return a count, e.g. ``12,345`` or ``1.23 M``; a mean below 100 with one decimal."""
    if abs(value) >= 1e6:
        return si(value, "")
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.1f}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in percent, or a dash."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def several(number: int, word: str) -> str:
    """Return a number of things with its word, e.g. ``1 sample``, ``2,000 samples``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def ratio(value: float, other: float) -> str:
    """Return value / other, e.g. ``1.25 ×``."""
    return "–" if not other else f"{significant(value / other)} ×"


def quantity(figure: Quantity | None) -> str:
    """Return a figure with its unit; a share (no unit) in percent, a count plain."""
    if figure is None:
        return "–"
    match figure.unit:
        case "":
            return percent(figure.value)
        case "count":
            return count(figure.value)
        case unit:
            return si(figure.value, unit)


def band(figure: Quantity) -> str:
    """Return ``low – high`` with units, or empty."""
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return ""
    return f"{si(figure.low, figure.unit)} – {si(figure.high, figure.unit)}"
