"""What frameworks mean where NIR has no field: how neurons fire, reset and decay, v before the first step, the unit of tau.

::

    snntorch      v = beta v + x - v_threshold s[t - 1];  s = v > v_threshold    (its default: "subtract-late")
    norse         s = v > v_threshold;  v(0) = v_leak;  the file's tau is dt tau;  a current: u = (1 - dt / tau_syn) u + w_in x
    sinabs        v = a v + (1 - a) x,  a = exp(-1 / tau), tau in steps;  s = floor(v / v_threshold);  v -= s v_threshold
    spikingjelly  s = v >= v_threshold, to v_reset;  v(0) = v_reset;  r of an IF is 1 / dt, and says dt
    rockpool      u = a (u + x);  v = b v + u,  a = exp(-dt / tau_syn), b = exp(-dt / tau_mem);  s and reset as sinabs';
                  the file's r = tau_mem b / dt says dt
    lava-dl       u = (1 - dt / tau_syn) u + x;  v = (1 - dt / tau_mem) v + u;  s = v >= v_threshold, to 0     (slayer's CUBA)

Read in the frameworks' code: snntorch 1.0.0, norse 1.1.0, sinabs 3.1.3, spikingjelly 2.0.0, rockpool 3.1.0, lava-dl 0.6.0;
the first four are run against this by the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from spikewright.toolchain.nirx.metadata import DEFAULT_DT_S, Settings

Gain = Literal["detected", "r", "r dt"]
"""What an IF adds a step, in units of its input: r, r dt, or whichever of the two is 1."""


@dataclass(frozen=True)
class Dialect:
    """A framework's rules.

    Args:
        settings: How its neurons fire and reset where a node does not say.
        dt_s: Its usual timestep in s.
        tau: Unit of the file's tau: ``s``; ``steps``; ``dt s``: tau in s times dt in s.
        gain: What an IF adds.
        filtered_once_more: The current decays after its input came in, and the membrane takes it whole (rockpool).
        jumps: The current takes its input whole (norse), not dt / tau_syn of it.
    """

    settings: Settings
    dt_s: float = DEFAULT_DT_S
    tau: Literal["s", "steps", "dt s"] = "s"
    gain: Gain = "detected"
    filtered_once_more: bool = False
    jumps: bool = False


STANDARD = Dialect(Settings(">", "value", "euler", 0.0, 1, 1))
"""NIR's own equations by forward Euler: v > v_threshold, to v_reset, v(0) = 0, one spike a step."""

DIALECTS: Mapping[str, Dialect] = {
    "snntorch": Dialect(Settings(">", "subtract-late", "euler", 0.0, 1, 1)),
    "norse": Dialect(Settings(">", "value", "euler", "leak", 1, 1), 1e-3, "dt s", "r", jumps=True),
    "sinabs": Dialect(Settings(">=", "subtract", "exact", 0.0, 1, 0), 1e-3, "steps", "r"),
    "spikingjelly": Dialect(Settings(">=", "value", "euler", "reset", 1, 1), gain="r dt"),
    "rockpool": Dialect(Settings(">=", "subtract", "exact", 0.0, 1, 0), 1e-3, filtered_once_more=True),
    "lava-dl": Dialect(Settings(">=", "value", "euler", 0.0, 1, 1), 1e-3),
}

SAID_BY = ("dialect", "framework", "exporter", "source", "generator", "tool", "created_by", "producer")
"""Keys of a graph's metadata under which files name the framework they come from."""


def dialect_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the dialect that a graph's metadata name, or None."""
    for key in SAID_BY:
        said = metadata.get(key)
        if isinstance(said, str):
            word = "".join(c for c in said.lower() if c.isalnum())
            for name in DIALECTS:
                if name.replace("-", "") in word:
                    return name
    return None
