"""Power under the names of Lava's probe: total exact to the price table, rails as one net on one board split it.

power over a slice of time = static + dynamic energy spent in it / its length
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.profiler.probe import Probe
from spikewright.export.lava.profiler.run import Power
from spikewright.hw_sim.costs import Basis

Floats = NDArray[np.float64]

RAILS_W = {"vdd": 0.2527, "vddm": 0.4221, "vddio": 0.0044}
"""Power of each rail of one board, W, static and dynamic together: measured, PilotNet LIF on Loihi 2 (oheogulch); lava-dl
0.6.0, tutorials/lava/lib/dl/netx/pilotnet_snn/benchmark.ipynb. That the power of every net, static and dynamic alike, splits
so is assumed: nothing else is published."""


class Loihi2Power(Probe):
    """Power in W over time; the mean of an array times the time is the energy.

    Each array has one value per equal slice of the time, as many as steps. Rails are assumed: see ``RAILS_W``.

    Args:
        num_steps: Steps to look at from the first one on; None: all.
    """

    def __init__(self, num_steps: int | None = None) -> None:
        super().__init__()
        self.num_steps = num_steps

    @property
    def measured(self) -> Power:
        """Means over the steps looked at."""
        return self.simulated.power(self.num_steps)

    @property
    def total_power(self) -> Floats:
        """Static and dynamic. (steps,), in W."""
        return self.measured.series_w

    @property
    def static_total_power(self) -> float:
        """Static power of the chips in use. It is in W."""
        return self.measured.static_w

    @property
    def vdd_power(self) -> Floats:
        """Logic: neurocores, mesh. (steps,), in W."""
        return self.measured.series_w * rail_share("vdd")

    @property
    def vddm_power(self) -> Floats:
        """Memory. (steps,), in W."""
        return self.measured.series_w * rail_share("vddm")

    @property
    def vddio_power(self) -> Floats:
        """Interfaces. (steps,), in W."""
        return self.measured.series_w * rail_share("vddio")

    @property
    def static_vdd_power(self) -> float:
        """Static power of the logic. It is in W."""
        return self.measured.static_w * rail_share("vdd")

    @property
    def static_vddm_power(self) -> float:
        """Static power of the memory. It is in W."""
        return self.measured.static_w * rail_share("vddm")

    @property
    def static_vddio_power(self) -> float:
        """Static power of the interfaces. It is in W."""
        return self.measured.static_w * rail_share("vddio")

    @property
    def basis(self) -> dict[str, Basis]:
        """How each figure is known."""
        known = self.simulated.power_basis
        rails: dict[str, Basis] = {f"{at}{rail}_power": "assumed" for rail in RAILS_W for at in ("", "static_")}
        return {"total_power": known["power"], "static_total_power": known["static_power"], **rails}


def rail_share(rail: str) -> float:
    """Return the assumed share of a rail in any power."""
    return RAILS_W[rail] / sum(RAILS_W.values())
