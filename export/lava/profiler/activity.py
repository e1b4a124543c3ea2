"""Activity per core under the names of Lava's probe: the trace's counters, summed over steps and samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.profiler.probe import PerCore
from spikewright.hw_sim.costs import Basis
from spikewright.hw_sim.somas import SigmaDelta

Int = NDArray[np.int64]

DENDRITE_UPDATES_PER_NEURON = 2.04
"""What the chip's dendrite counter adds per neuron and step beside one per spike; fitted to that run, read off its plot."""


class Loihi2Activity(PerCore):
    """Counts over the whole run, all samples, per core."""

    @property
    def syn_ops(self) -> Int:
        """Synaptic operations: arriving messages times their non-zero synapses (a zero weight counts on no chip either).

        (cores,) in use.
        """
        return self.per_core(self.simulated.trace.sops)

    @property
    def dendrite_updates(self) -> Int:
        """Neuron updates: neurons x steps, exact. The chip's own counter shows more: ``dendrite_updates_silicon_estimate``.

        (cores,) in use.
        """
        return self.per_core(self.simulated.trace.neuron_updates)

    @property
    def neuron_updates(self) -> Int:
        """``dendrite_updates`` by its proper name. (cores,) in use."""
        return self.dendrite_updates

    @property
    def dendrite_updates_silicon_estimate(self) -> Int:
        """What the chip's counter would show: 2.04 x neurons x steps + spikes, a fit to one net (PilotNet LIF) on one board.

        Sigma-delta neurons: their two updates a step, as the counters of PilotNet SDNN show; spikes count where others are too.
        """
        spikes = self.per_core(self.simulated.trace.spikes_out)
        twice = self._sigma_delta_updates()
        once = self.dendrite_updates - twice
        estimate = np.rint(DENDRITE_UPDATES_PER_NEURON * once + twice + spikes * (once > 0))
        return np.asarray(estimate, np.int64)

    def _sigma_delta_updates(self) -> Int:
        """Return the updates of sigma-delta neurons, per core in use."""
        run = self.simulated
        total = np.zeros(run.trace.cores, np.int64)
        for p in run.program.populations:
            if isinstance(p.soma, SigmaDelta):
                total += np.bincount(p.cores[p.cores >= 0], minlength=run.trace.cores) * p.soma.updates
        return np.asarray(total[run.cores] * run.num_steps, np.int64)

    @property
    def axon_out(self) -> Int:
        """Messages sent: one per spike and core it goes to (the published counters of PilotNet agree with this reading).

        (cores,) in use.
        """
        return self.per_core(self.simulated.trace.messages)

    @property
    def spikes_out(self) -> Int:
        """Spikes sent, each once however many cores it goes to. (cores,) in use."""
        return self.per_core(self.simulated.trace.spikes_out)

    @property
    def spikes_in(self) -> Int:
        """Messages that reached the core. (cores,) in use."""
        return self.per_core(self.simulated.trace.messages_in)

    @property
    def spike_axon_in(self) -> Int:
        """Axon-in entries looked up: here one per message, so the same as ``spikes_in``. (cores,) in use."""
        return self.spikes_in

    @property
    def basis(self) -> dict[str, Basis]:
        """How each figure is known."""
        exact = (
            "core_idx",
            "chip_idx",
            "syn_ops",
            "dendrite_updates",
            "neuron_updates",
            "axon_out",
            "spikes_out",
            "spikes_in",
        )
        return {
            **dict.fromkeys(exact, "simulated"),
            "spike_axon_in": "assumed",
            "dendrite_updates_silicon_estimate": "assumed",
        }
