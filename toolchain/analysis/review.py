"""What a reviewer asks of an energy number: sparsity against published bounds, artificial twin, bytes, lists, power at a rate.

::

    spikes per synapse and inference = T SOPs / (SOPs if every neuron fired in every step)
    bits of the artificial twin      = ceil(log2(T + 1))          (Yan et al. 2026: as many levels as T binary steps can count)
    break-even rate                  = rate (E_twin - E_fixed) / (E - E_fixed)      under one price list
    power at a rate                  = rate (dynamic + host) + static        (static: on all the time, or off between samples)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, log2
from typing import Literal

from spikewright.toolchain.analysis.activity import Activity
from spikewright.toolchain.analysis.energy import Energy
from spikewright.toolchain.analysis.latency import Latency
from spikewright.toolchain.analysis.ledger import Ledger, ann_twin
from spikewright.toolchain.analysis.price_lists import Priced, PriceList, price
from spikewright.toolchain.analysis.quantity import Quantity, total
from spikewright.toolchain.errors import InputError

SYNAPSE_BOUNDS = (0.15, 1.38)
"""Spikes per synapse and inference below which a spiking net can beat an artificial one, by how good that one's hardware is."""
SYNAPSE_SOURCE = "Dampfhoffer et al., IEEE TETCI 7(3):731-741, 2023 (abstract)"
RATE_BOUND, RATE_STEPS = 0.057, 5
"""Spike rate below which a net of ``RATE_STEPS`` steps beats its quantized artificial twin."""
RATE_SOURCE = "Yan et al., arXiv:2409.08290v4, 2026 (abstract)"
STATEMENT = (
    "Counts are simulated, bit for bit equal to the integer reference; energies are these counts times published or assumed "
    "prices; no count, time or energy of this net was measured on a chip."
)

Standing = Literal["below", "between", "above"]


@dataclass(frozen=True)
class Beside:
    """The net and its artificial twin under one list.

    Args:
        net: Of the spiking net.
        twin: Of the quantized artificial net.
        break_even: Spike rate at which both cost the same; 0: never, the net's fixed costs alone are above the twin.
    """

    net: Priced
    twin: Priced
    break_even: float


@dataclass(frozen=True)
class Review:
    """See the module.

    Args:
        spikes_per_synapse: Per inference.
        spike_rate: Per neuron and step.
        timesteps: T.
        ledger: Counts of one sample.
        twin: Counts of the artificial twin.
        twin_bits: Bits of its activations.
        lists: Both under every list.
        attention: SOPs of attention a sample, by class (``binary``, ``graded``, ``gate``).
        widths: Bits of weights, payloads and states.
        batch: Samples in flight at once: 1, as on a chip.
        samples: Samples behind the means.
        seed: That drew the calibration samples.
    """

    spikes_per_synapse: float
    spike_rate: float
    timesteps: int
    ledger: Ledger
    twin: Ledger
    twin_bits: int
    lists: tuple[Beside, ...]
    attention: dict[str, float]
    widths: dict[str, int]
    samples: int
    seed: int
    batch: int = 1

    def under(self, lists: Iterable[PriceList]) -> Review:
        """Return the review with further price lists."""
        more = tuple(_beside(self.ledger, self.twin, one, self.spike_rate) for one in lists)
        return replace(self, lists=(*self.lists, *more))

    @property
    def per_synapse_stands(self) -> Standing:
        """Where the spikes per synapse stand to ``SYNAPSE_BOUNDS``.

        Source: Dampfhoffer et al., IEEE TETCI 7(3):731-741, 2023.
        """
        low, high = SYNAPSE_BOUNDS
        return "below" if self.spikes_per_synapse < low else "between" if self.spikes_per_synapse <= high else "above"

    @property
    def rate_stands(self) -> Standing:
        """Where the spike rate stands to ``RATE_BOUND``, which is published for T = 5.

        Source: Yan et al., arXiv:2409.08290v4.
        """
        return "below" if self.spike_rate < RATE_BOUND else "above"


def review(
    counts: Activity, of: Ledger, ann_macs: int, lists: Iterable[PriceList], widths: dict[str, int], seed: int
) -> Review:
    """Return the review of a run.

    Args:
        counts: Its totals.
        of: Its ledger.
        ann_macs: MACs of one frame of an artificial net of the same shape.
        lists: Price lists.
        widths: Bits by what.
        seed: Of the deployment.
    """
    sops, n = counts.sops, counts.samples
    neurons = sum(layer.firing for layer in counts.layers if layer.neurons) // (counts.steps * n)
    twin = ann_twin(of, ann_macs, neurons)
    gates = [layer for layer in counts.layers if layer.attention_sops]
    attention = {kind: sum(getattr(layer.attention, kind) for layer in gates) / n for kind in ("binary", "graded")}
    attention["gate"] = sops.gate / n
    made = Review(
        spikes_per_synapse=counts.steps * sops.total / sops.dense if sops.dense else 0.0,
        spike_rate=counts.spike_rate,
        timesteps=counts.steps,
        ledger=of,
        twin=twin,
        twin_bits=ceil(log2(counts.steps + 1)),
        lists=(),
        attention=attention,
        widths=widths,
        samples=n,
        seed=seed,
    )
    return made.under(lists)


def _beside(of: Ledger, twin: Ledger, prices: PriceList, rate: float) -> Beside:
    ours, theirs = price(of, prices), price(twin, prices)
    moving = ours.total.value - ours.fixed
    room = theirs.total.value - ours.fixed
    return Beside(ours, theirs, max(rate * room / moving, 0.0) if moving > 0 else 0.0)


@dataclass(frozen=True)
class DutyCycle:
    """Mean power, W, at ``rate_hz`` samples a second: chip always on, and off between samples."""

    rate_hz: float
    always_on: Quantity
    gated: Quantity


def duty_cycle(energy: Energy, time: Latency, static_w: Quantity, rate_hz: float) -> DutyCycle:
    """Return the mean power at a rate of samples.

    Raises:
        InputError: The rate is not above 0, or a sample takes longer than its share of a second.
    """
    longest = time.per_sample.value
    if not 0 < rate_hz * longest <= 1:
        raise InputError(
            f"{rate_hz:g} samples a second; a sample takes {longest:.3g} s, so more than 0 and at most {1 / longest:.4g} fit",
            where="--rate",
            help="give a lower rate, or map the net to more cores",
        )
    worked = [energy.dynamic.energy.times(rate_hz), energy.host.energy.times(rate_hz)]
    gated = total([*worked, energy.static.energy.times(rate_hz)], "W")
    return DutyCycle(rate_hz, total([*worked, static_w], "W"), gated)
