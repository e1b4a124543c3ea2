"""The report as an overlay of Google's Model Explorer (custom node data): SOPs, energy and verdict of every node of a net.

Open the bundle's ``net.onnx`` there and load the file beside it: nodes are found by the names of their results, which are
those of the net's ops. The energy of a node is that of its SOPs, updates, gains and spikes at the chip's nominal prices; memory
reads, messages and the network on chip belong to no single node.
"""

from __future__ import annotations

import json
from typing import Any

from spikewright.hw_sim import Chip
from spikewright.toolchain.analysis import Layer
from spikewright.toolchain.analysis.numbers import count, si
from spikewright.toolchain.report.model import Report

LIGHT, DARK, VIOLATION = (232, 243, 250), (0, 114, 178), "#ffb4ab"
"""Background of the node with the fewest and with the most SOPs, and of one that breaks the rules."""
PICO = 1e-12


def to_overlay(report: Report) -> str:
    """Return the overlay as JSON; of a report without counters, the verdict alone."""
    verdict = {str(row["name"]): row for row in report.verdict}
    results = {name: _node(_words(row), "") for name, row in verdict.items()}
    if report.analysis is not None:
        counts = report.analysis.activity
        most = max((layer.sops.total for layer in counts.layers), default=0) or 1
        for layer in counts.layers:
            sops = f"{count(layer.sops.total / counts.samples)} SOPs"
            energy = si(energy_of(layer, report.chip) / counts.samples, "J")
            row = verdict.get(layer.name)
            words = " · ".join([sops, energy, *([_words(row)] if row else [])])
            color = VIOLATION if row and row.get("violation") else _shade(layer.sops.total / most)
            results |= dict.fromkeys((layer.name, *layer.populations), _node(words, color))
    return json.dumps({"results": results}, indent=1, sort_keys=True) + "\n"


def energy_of(layer: Layer, chip: Chip) -> float:
    """Return the energy in J, of all samples, of what happens in a layer alone."""
    counts = {
        "synaptic_op": layer.sops.binary,
        "graded_synaptic_op": layer.sops.graded,
        "gate_synaptic_op": layer.sops.gate,
        "neuron_update": layer.neuron_updates,
        "gate_multiply": layer.gate_multiplies,
        "spike": layer.spikes if layer.neurons else 0,
    }
    return sum(number * chip.costs[event].energy.nominal for event, number in counts.items()) * PICO


def _words(row: dict[str, Any]) -> str:
    return f"class {row.get('cost_class', '')}: {row.get('violation') or 'ok'}"


def _node(value: str, color: str) -> dict[str, str]:
    return {"value": value} | ({"bgColor": color} if color else {})


def _shade(share: float) -> str:
    mixed = (round(low + (high - low) * share) for low, high in zip(LIGHT, DARK, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)
