"""The fixed texts of a report: what is modelled and what is not, the glossary, what a basis means."""

from __future__ import annotations

MODELLED: tuple[str, ...] = (
    "Integer dynamics, bit for bit: 8-bit weights with an exponent, 12-bit decays, 24-bit u (wraps) and v "
    "(clips), graded payloads, gains at gate ports, resets, one-step delivery of spikes.",
    "Every event: SOPs by class, gains, neuron updates, synaptic-memory words, spikes, messages, router hops "
    "and link loads, per chip step and core. Zero weights cost no SOP, as on Loihi 2 silicon.",
    "The skew of a deep net: a layer runs when its input arrives, so a sample takes T steps plus the depth; "
    "neurons are updated (and paid for) in all of them.",
    "Time of a chip step as the largest of: neuron work, synaptic work and memory reads of the busiest core, "
    "the heaviest link and host input, plus the overhead of a Lava host (unless the run had --host bare), and at least the "
    "barrier.",
    "Energy as counts times the chip's price table, static power times latency, and host work, with a low-high "
    "band from the table.",
    "Limits of a neurocore: neurons, synaptic memory, axons in and out, fan-in, fan-out, delays, number ranges.",
)
NOT_MODELLED: tuple[str, ...] = (
    "No count, time or energy of this run was measured on a chip. Intel publishes no energy per event for Loihi 2: "
    "its nominal energies are Loihi 1's, and what has no published figure is called assumed.",
    "Contention in the network on chip: routers have no queues in the analytic timing; only the heaviest link counts.",
    "Voltage, temperature, chip-to-chip spread, and clock or power gating.",
    "The embedded processors, board management, and power of boards beside the chip. On real boards they can "
    "exceed the neurocores.",
    "Learning on chip.",
    "The vendor's own compiler: its partition of a net, and so its busiest core, may differ.",
    "The host's time: the encoder's MACs are counted and priced, but not in the latency.",
)
BASES: dict[str, str] = {
    "measured": "read off hardware or data by whoever published it, or an accuracy computed on real samples",
    "simulated": "counted by the simulator, whose spikes and membranes equal the integer reference bit for bit",
    "secondary": "published, but read through another document, or published for a sibling chip",
    "assumed": "no published figure: our assumption, stated in the price table",
}
CLASSES: dict[str, str] = {
    "A": "accumulate: a binary spike selects a weight to add",
    "B": "graded spike: an integer payload times a weight, only when an event arrives",
    "C": "one multiply in a neuron and step (a gain), not one a synapse",
    "D": "dense multiply-accumulates or a reduction that no event drives: host only, else a violation",
}
GLOSSARY: tuple[tuple[str, str], ...] = (
    ("timestep, T", "one algorithmic step of the network; T of them make a sample"),
    ("chip step", "one step of the chip; a net of depth d takes T + d of them, since a spike arrives one step later"),
    (
        "SOP",
        "synaptic operation: one arriving message meets one non-zero synapse; an accumulate if the message is a "
        "binary spike, a multiply-accumulate if it is graded",
    ),
    ("dense SOPs", "the SOPs there would be if every neuron fired in every step"),
    ("spike, graded spike, payload", "a binary event; an event that carries an integer; that integer"),
    (
        "gate",
        "a gain between 0 and 1 that attention applies to a neuron's input; its level is sent only when it changes",
    ),
    ("gate multiply", "one gain applied in one neuron in one step"),
    ("spike rate", "spikes per spiking neuron and timestep"),
    ("neuron update", "one neuron in one chip step, whether it fires or not"),
    ("neurocore, core", "the unit that holds neurons and their synaptic memory"),
    ("message, hop", "a spike on its way to one core; one crossing from router to router"),
    ("NoC, link", "the network on chip: a grid of routers; one wire of it"),
    ("barrier", "the end of a chip step, for which all cores wait"),
    (
        "overhead",
        "what Lava's runtime adds to every chip step, its barrier included: 1.16 µs with nothing to do (measured); none with "
        "--host bare",
    ),
    (
        "bottleneck",
        "what takes longest in most of the time: a core's neurons, synapses or memory, a link, the host, or the "
        "barrier",
    ),
    ("dynamic, static, host energy", "paid per event; paid per second the chip is on; paid outside the neurocores"),
    (
        "band",
        "the same figure with every price at its low or its high end; of an energy at least 24 %, as silicon repeats",
    ),
    ("quantize", "from float values to the chip's integers; what that changes is the drift"),
    ("wrap, clip", "a current u that left 24 bits and came back on the other side; a voltage v held at its limit"),
    ("twin", "the same net trained without attention"),
    (
        "event-driven share",
        "1 minus the SOPs of the same run when no message enters the chip, over the SOPs of the run: what is missing is "
        "fired by biases, not by input",
    ),
    ("spike-driven", "no dense work on the chip, and nothing that needs steps to come"),
)
