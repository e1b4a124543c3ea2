"""The ledger: what one sample did, in counts that any price list can price: operations, updates, bytes moved, bits on the NoC.

::

    weight bytes = SOPs weight_bits / 8             index bytes = words read word_bytes - weight bytes (0 at least)
    state bytes  = updates 2 (u + v) state_bits / 8     axon bytes = (messages out + in) word_bytes
    hop bits     = hops MESSAGE_BITS

Counts are the simulator's, so exact; the widths of an axon entry and of a message are assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spikewright.hw_sim import Chip
from spikewright.toolchain.analysis.activity import Activity

MESSAGE_BITS = 32
"""Bits of a message on the NoC: assumed, not published."""
AXON_BITS = 64
"""Bits of an axon entry, one word as the vendor's compiler counts them; how much of it is used is not published."""

COUNTS: dict[str, str] = {
    "accumulate": "binary SOPs: an add",
    "multiply_accumulate": "graded SOPs",
    "multiply": "gains applied in neurons",
    "address": "synapse addresses computed, one a SOP",
    "neuron_update": "neurons updated: leak, add, compare",
    "spike": "spikes, graded ones and gate changes sent",
    "message": "messages, one for each core that hears a spike",
    "hop": "router-to-router crossings",
    "weight_byte": "bytes of weights read",
    "index_byte": "bytes of synapse indices and headers read beside the weights",
    "state_byte": "bytes of u and v read and written",
    "axon_byte": "bytes of axon entries read",
    "hop_bit": "bits of messages times hops",
    "gate_message": "gate levels delivered to neurons",
    "host_mac": "multiply-accumulates of the host's encoder",
}
"""What is counted, and what one of it is."""
FIXED = ("neuron_update", "state_byte", "host_mac", "multiply")
"""Counts that do not fall with the spike rate."""


@dataclass(frozen=True)
class Ledger:
    """Counts of one sample (means over a run), by the names of ``COUNTS``; ``assumed``: those that rest on an assumed width."""

    counts: Mapping[str, float]
    assumed: tuple[str, ...] = ("axon_byte", "hop_bit")

    def part(self, names: tuple[str, ...]) -> Ledger:
        """Return some of the counts."""
        return Ledger({name: self.counts[name] for name in names if name in self.counts}, self.assumed)


def ledger(counts: Activity, chip: Chip, host_macs: int, weight_bits: int) -> Ledger:
    """Return the ledger of a run.

    Args:
        counts: Its totals.
        chip: Its chip, for the widths.
        host_macs: MACs of the encoder a sample.
        weight_bits: Bits of a weight.
    """
    sops, n = counts.sops, counts.samples
    updates = counts.total("neuron_updates")
    messages = counts.total("messages") + counts.total("messages_in")
    weights = sops.total * weight_bits / 8
    words = counts.total("synmem_reads") * chip.core.synapse_word_bits / 8
    found = {
        "accumulate": sops.binary,
        "multiply_accumulate": sops.graded,
        "multiply": counts.total("gate_multiplies"),
        "address": sops.total,
        "neuron_update": updates,
        "spike": counts.total("spikes"),
        "message": counts.total("messages"),
        "hop": counts.total("hops"),
        "weight_byte": weights,
        "index_byte": max(words - weights, 0.0),
        "state_byte": updates * 2 * 2 * chip.core.state_bits / 8,
        "axon_byte": messages * AXON_BITS / 8,
        "hop_bit": counts.total("hops") * MESSAGE_BITS,
        "gate_message": sops.gate,
    }
    return Ledger({name: count / n for name, count in found.items()} | {"host_mac": float(host_macs)})


def ann_twin(of: Ledger, macs: int, neurons: int) -> Ledger:
    """Return the ledger of a quantized artificial net of the same shape on the same memories: one frame, every activation sent.

    Each multiply-accumulate reads its weight and index as a SOP does (nothing is reused), each neuron is updated once
    and sends
    one message, to as many cores over as many hops as a spike of the net.

    Args:
        of: The spiking net's.
        macs: Multiply-accumulates of one frame.
        neurons: Its neurons.

    Activations have ceil(log2(T + 1)) bits; counts are per sample.
    """
    have = of.counts
    sops = have["accumulate"] + have["multiply_accumulate"]
    each_spike = 1 / have["spike"] if have["spike"] else 0.0
    each_update = 1 / have["neuron_update"] if have["neuron_update"] else 0.0
    each_sop = 1 / sops if sops else 0.0
    found = {
        "multiply_accumulate": macs,
        "address": macs,
        "neuron_update": neurons,
        "spike": neurons,
        "weight_byte": macs * have["weight_byte"] * each_sop,
        "index_byte": macs * have["index_byte"] * each_sop,
        "state_byte": neurons * have["state_byte"] * each_update,
    }
    sent = {name: neurons * have[name] * each_spike for name in ("message", "hop", "axon_byte", "hop_bit")}
    return Ledger({name: float(count) for name, count in (found | sent).items()}, of.assumed)
