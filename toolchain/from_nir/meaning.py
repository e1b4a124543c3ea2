"""What the neurons of a NIR file mean: what it records, else what the user says, else its dialect; and what was assumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import exp, isfinite
from typing import TYPE_CHECKING, Any, TypeVar

import nir
import numpy as np

from spikewright.toolchain.errors import ImportingError, InputError
from spikewright.toolchain.nirx.dialects import DIALECTS, SAID_BY, STANDARD, Dialect, dialect_of
from spikewright.toolchain.nirx.metadata import (
    DEFAULT_DT_S,
    NAMES,
    OURS,
    Settings,
    allowed,
    positive_number,
    settings,
)

if TYPE_CHECKING:
    from spikewright.toolchain.options import Reading

Value = TypeVar("Value", str, float)

TOLERANCE = 1e-5
SANE = 1000.0
"""A time constant of more steps than this is taken for one in another unit."""


@dataclass(frozen=True)
class Meaning:
    """How a graph's neurons are read.

    Args:
        dt_s: Length of a timestep in s.
        dialect: Rules where neither a node nor the user says anything.
        given: What the user said.
    """

    dt_s: float = DEFAULT_DT_S
    dialect: Dialect = STANDARD
    given: Settings = field(default_factory=Settings)

    @property
    def step(self) -> float:
        """A timestep in the file's unit of tau."""
        return {"s": self.dt_s, "steps": 1.0, "dt s": self.dt_s**2}[self.dialect.tau]

    def of(self, metadata: dict[str, Any], where: str) -> Settings:
        """Return all settings of a node.

        Raises:
            ImportingError: Its metadata are illegal, or contradict the user.
        """
        said, found = settings(metadata, where), {}
        for name in NAMES:
            own, given = getattr(said, name), getattr(self.given, name)
            if own is not None and given is not None and not np.array_equal(own, given):
                raise ImportingError(
                    f"its metadata say {name} {own!r}; {flag(name)} {given} contradicts them",
                    where=where,
                    help=f"leave {flag(name)} out, or correct the metadata",
                )
            rule = getattr(self.dialect.settings, name)
            found[name] = own if own is not None else given if given is not None else rule
        return Settings(**found)

    def too_short(self, tau: float, what: str, where: str) -> ImportingError:
        """Return the error for a time constant below a step, with what would make sense of it."""
        if tau <= 0:
            return ImportingError(f"{what} is {tau:g}; it must be positive", where=where, help="export the net again")
        ways = [f"--dt {tau / 10:.1g} if the net was made with steps of a tenth of {what} (beta 0.9)"]
        if self.dialect.tau == "s" and tau / self.dt_s >= self.dt_s * (1 - TOLERANCE):
            ways.insert(0, f"--dialect norse if the file holds dt tau (then {what} is {tau / self.dt_s:g} s)")
        return ImportingError(
            f"{what} is {tau:g} s, shorter than one timestep of {self.dt_s:g} s",
            where=where,
            help=f"{'; '.join(ways)}; --decay exact takes any",
        )


def flag(name: str) -> str:
    """Return the option of a setting."""
    return "--v0" if name == "v_start" else f"--{name.replace('_', '-')}"


def meaning(graph: nir.NIRGraph, dt_s: float | None, reading: Reading | None, where: str) -> Meaning:
    """Return how a graph's neurons are to be read.

    Raises:
        ImportingError: dt contradicts the graph's metadata, or is no positive number.
        InputError: An option out of range.
    """
    name = _agreed(graph, dialect_of, "the dialect", where)
    chosen = reading.dialect if reading is not None and reading.dialect is not None else name
    if name is not None and chosen != name:
        raise ImportingError(
            f"its metadata name {name!r}; --dialect {chosen} contradicts them", where=where, help="leave --dialect out"
        )
    dialect = STANDARD if chosen is None else DIALECTS[chosen]
    return Meaning(_dt(graph, dt_s, dialect, where), dialect, _given(reading))


def _given(reading: Reading | None) -> Settings:
    """Return what the user said, checked."""
    if reading is None:
        return Settings()
    from spikewright.toolchain.options import SPELLED

    said = {name: getattr(reading, "v0" if name == "v_start" else name) for name in NAMES}
    said["comparison"] = SPELLED.get(said["comparison"], said["comparison"])
    for name, value in said.items():
        if value is None:
            continue
        try:
            settings({name: value}, flag(name))
        except ImportingError:
            raise InputError(f"{value!r}; {allowed(name)}", where=flag(name), help="choose one that is") from None
    return Settings(**said)


def _dt(graph: nir.NIRGraph, given: float | None, dialect: Dialect, where: str) -> float:
    dt = _recorded_dt(graph, where)
    if dt is not None:
        if given is not None and abs(positive_number(given, "dt", "--dt") - dt) > TOLERANCE * dt:
            raise ImportingError(f"dt {given:g} s; the graph was made for {dt:g} s", where=where, help="leave --dt out")
        return dt
    if given is not None:
        return positive_number(given, "dt", "--dt")
    return next(_implied(graph, dialect), dialect.dt_s)


def _recorded_dt(graph: nir.NIRGraph, where: str) -> float | None:
    def said(metadata: Mapping[str, Any]) -> float | None:
        return None if metadata.get("dt") is None else positive_number(metadata["dt"], "metadata dt", where)

    return _agreed(graph, said, "dt", where)


def _agreed(
    graph: nir.NIRGraph, said: Callable[[Mapping[str, Any]], Value | None], what: str, where: str
) -> Value | None:
    """Return what the metadata of a graph, and of those inside it, say alike; None where they say nothing.

    Raises:
        ImportingError: They say different things.
    """
    found = {value: name for name, one in _graphs(graph) if (value := said(one.metadata)) is not None}
    if len(found) > 1:
        first, second = list(found.items())[:2]
        raise ImportingError(
            f"its metadata say {what} {first[0]!r} in {first[1]} and {second[0]!r} in {second[1]}",
            where=where,
            help="one holds for all neurons: correct the metadata of the graphs",
        )
    return next(iter(found), None)


def _graphs(graph: nir.NIRGraph, name: str = "the graph") -> Iterator[tuple[str, nir.NIRGraph]]:
    """Yield a graph and all inside it, with their names."""
    yield name, graph
    for key, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            yield from _graphs(node, repr(key))


def _implied(graph: nir.NIRGraph, dialect: Dialect) -> Iterator[float]:
    """Yield the dt that the r of neurons says: rockpool's r = tau exp(-dt / tau) / dt, spikingjelly's 1 / dt of an IF."""
    for node in graph.nodes.values():
        if isinstance(node, nir.NIRGraph):
            yield from _implied(node, dialect)
        elif dialect.filtered_once_more and isinstance(node, nir.CubaLIF):
            r, tau = float(np.ravel(node.r)[0]), float(np.ravel(node.tau_mem)[0])
            if isfinite(r) and isfinite(tau) and r > 0 and tau > 0:
                y = 1 / (1 + r)  # y exp(y) = 1 / r, y = dt / tau: Newton from below
                for _ in range(60):
                    y -= (y * exp(y) - 1 / r) / (exp(y) * (1 + y))
                yield round(y * tau, 9)
        elif dialect.gain == "r dt" and isinstance(node, nir.IF):
            r = float(np.ravel(node.r)[0])
            if isfinite(r) and r > 0:
                yield float(f"{1 / r:.7g}")


# -------------------------------------------------------------------------------------- what was assumed
def says_all(graph: nir.NIRGraph) -> bool:
    """Say whether a graph is of our writing, so that its metadata say all that NIR has no field for."""
    return "extension_version" in graph.metadata


def assumed(graph: nir.NIRGraph, dt_s: float | None, reading: Reading | None, where: str) -> list[str]:
    """Return in words what neither the file nor the user says of neurons and dt."""
    means = meaning(graph, dt_s, reading, where)
    found = []
    if dt_s is None and _recorded_dt(graph, where) is None:
        found.append(f"dt {means.dt_s:g} s (--dt)")
    said = [settings(node.metadata, where) for node in _neurons(graph)]
    for name in _ASKED if said else ():
        if getattr(means.given, name) is None and any(getattr(one, name) is None for one in said):
            found.append(_in_words(name, getattr(means.dialect.settings, name)))
    return found


_ASKED = ("reset", "comparison", "decay", "v_start", "max_spikes")
_WORDS: Mapping[str, Mapping[str, str]] = {
    "reset": {
        "value": "reset to v_reset",
        "subtract": "reset by subtracting v_threshold",
        "subtract-late": "reset by subtracting v_threshold one step late",
    },
    "comparison": {">": "fires at v > v_threshold", ">=": "fires at v >= v_threshold"},
    "decay": {"euler": "decay 1 - dt/tau", "exact": "decay exp(-dt/tau)"},
}


def _in_words(name: str, value: Any) -> str:
    match name:
        case "v_start":
            text = f"v(0) = {f'v_{value}' if isinstance(value, str) else f'{value:g}'}"
        case "max_spikes":
            text = "one spike a step" if value == 1 else "as many spikes a step as fit"
        case _:
            text = _WORDS[name][value]
    return f"{text} ({flag(name)})"


def _neurons(graph: nir.NIRGraph) -> Iterator[nir.NIRNode]:
    for node in graph.nodes.values():
        if isinstance(node, nir.NIRGraph):
            yield from _neurons(node)
        elif isinstance(node, nir.IF | nir.LIF | nir.CubaLIF):
            yield node


def unknown(graph: nir.NIRGraph, prefix: str = "") -> list[str]:
    """Return the keys of metadata that mean nothing here, as ``node: key``."""
    known = OURS["graph"] | set(SAID_BY)
    found = [f"{prefix}{key}" for key in sorted(graph.metadata) if key not in known]
    for name in sorted(graph.nodes):
        node = graph.nodes[name]
        if isinstance(node, nir.NIRGraph):
            found += unknown(node, f"{prefix}{name}: ")
        else:
            found += [f"{prefix}{name}: {key}" for key in sorted(node.metadata) if key not in OURS["node"]]
    return found
