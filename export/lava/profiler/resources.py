"""Memory and fan-out per core under the names of Lava's probes: what the mapped program takes, whatever it does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.profiler.fan_out import Reach
from spikewright.export.lava.profiler.probe import PerCore
from spikewright.export.lava.profiler.run import ProfilerError
from spikewright.hw_sim.costs import Basis, worst_basis

Floats = NDArray[np.float64]
Int = NDArray[np.int64]


class Loihi2Memory(PerCore):
    """Use of each core's memory."""

    @property
    def resources(self) -> dict[str, tuple[Int, Int]]:
        """(used, max) per core, by resource: neurons, synaptic memory in bits, axons in and out, fan-in and fan-out."""
        return self.simulated.resources

    @property
    def total_mpds(self) -> Floats:
        """Share of the synaptic memory in use, 0 to 1."""
        used, limit = self.resources["synapse_memory_bits"]
        return np.asarray(used / limit, np.float64)

    @property
    def small_mpds(self) -> Floats:
        """Raise: not known outside Intel."""
        raise self._unpublished("small_mpds")

    @property
    def large_mpds(self) -> Floats:
        """Raise: not known outside Intel."""
        raise self._unpublished("large_mpds")

    def _unpublished(self, name: str) -> ProfilerError:
        return ProfilerError(
            f"no published figure says what {name} holds",
            where=type(self).__name__,
            help="use total_mpds, or resources",
        )

    @property
    def basis(self) -> dict[str, Basis]:
        """How each figure is known: the layout of the memory is a model, its size a published limit."""
        limit = self.simulated.chip.facts["core.synapse_memory_bits"].basis
        return {"core_idx": "simulated", "chip_idx": "simulated", "total_mpds": worst_basis(["assumed", limit])}


class Loihi2Spike(PerCore):
    """Messages per core if each of its neurons fires once, to its own chip (local) and to others (remote).

    This reading is assumed: it is how public scripts use these names (they divide by the measured sparsity).
    """

    @property
    def reached(self) -> Reach:
        """Who reaches where."""
        return self.simulated.reach

    @property
    def num_spikes(self) -> Int:
        """Local and remote."""
        return self.reached.local + self.reached.remote

    @property
    def num_local_spikes(self) -> Int:
        """Messages to cores of the same chip."""
        return self.reached.local

    @property
    def num_remote_spikes(self) -> Int:
        """Messages to cores of other chips."""
        return self.reached.remote

    @property
    def min_remote_fanout(self) -> Int:
        """Cores on other chips that the least connected neuron of the core reaches."""
        return self.reached.fewest_remote

    @property
    def max_remote_fanout(self) -> Int:
        """Cores on other chips that the best connected neuron of the core reaches."""
        return self.reached.most_remote

    @property
    def basis(self) -> dict[str, Basis]:
        """How each figure is known: the counts are exact, the meaning of the names is assumed."""
        counts = ("num_spikes", "num_local_spikes", "num_remote_spikes", "min_remote_fanout", "max_remote_fanout")
        return {"core_idx": "simulated", "chip_idx": "simulated", **dict.fromkeys(counts, "assumed")}
