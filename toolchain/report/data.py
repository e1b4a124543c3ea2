"""The report as JSON and CSV: the same figures as on the page, deterministic (sorted keys, no clock, no path)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from spikewright.toolchain.analysis import Activity, Analysis, Layer, Quantity
from spikewright.toolchain.analysis.energy import HOST_MAC, HOST_SOURCES, Item, Line
from spikewright.toolchain.analysis.ledger import COUNTS
from spikewright.toolchain.analysis.review import (
    RATE_BOUND,
    RATE_SOURCE,
    RATE_STEPS,
    STATEMENT,
    SYNAPSE_BOUNDS,
    SYNAPSE_SOURCE,
    Beside,
    Review,
)
from spikewright.toolchain.diagnostics import plain
from spikewright.toolchain.escaping import csv_table
from spikewright.toolchain.report.model import Report
from spikewright.toolchain.report.texts import GLOSSARY, MODELLED, NOT_MODELLED
from spikewright.toolchain.report.twins import unlike

SCHEMA = 1
"""Version of the JSON layout."""


def to_json(report: Report) -> str:
    """Return the report as JSON text."""
    return json.dumps(to_data(report), indent=1, sort_keys=True, allow_nan=False) + "\n"


def to_data(report: Report) -> dict[str, Any]:
    """Return the report as plain dicts and lists."""
    found = report.analysis
    return {
        "schema": SCHEMA,
        "name": report.name,
        "chip": {"name": report.chip.name, "description": report.chip.description},
        "card": report.card,
        "provenance": report.provenance,
        "options": report.options,
        "strategies": report.strategies,
        "dataset": report.dataset,
        "simulated_events": report.simulated_events,
        "input": report.input_kind,
        "parameters": report.parameters,
        "accuracy": asdict(report.accuracy),
        "spike_driven": report.spike_driven,
        "blocks": list(report.verdict),
        "audit": report.audit,
        "captured_net": report.captured,
        "event_driven_share": report.event_driven,
        **({} if found is None else _analysis(found)),
        "utilization": [{"core": u.core, "resource": u.resource, "used": u.used, "max": u.limit} for u in report.uses],
        "cores_decided_by": report.decided.to_dict(),
        "drift": None if report.drift is None else asdict(report.drift),
        "passes": [asdict(p) for p in report.passes],
        "diagnostics": plain(report.diagnostics),
        "runs": report.runs,
        "comparison": report.comparison,
        "twin": None if report.twin is None else to_data(report.twin),
        "twin_unlike": [] if report.twin is None else list(unlike(report, report.twin)),
        "power_at_rate": None if report.duty is None else asdict(report.duty),
        "prices": prices(report),
        "sources": report.chip.sources | HOST_SOURCES,
        "modelled": list(MODELLED),
        "not_modelled": list(NOT_MODELLED),
        "glossary": dict(GLOSSARY),
        "versions": report.versions,
        "sha256": report.fingerprints,
    }


def prices(report: Report) -> list[dict[str, Any]]:
    """Return the price table: one row an event and quantity."""
    rows = []
    for event, cost in report.chip.costs.items():
        rows += [{"event": event, "quantity": kind, **asdict(getattr(cost, kind))} for kind in ("energy", "latency")]
    rows.append({"event": "static_power", "quantity": "power", **asdict(report.chip.static_power)})
    rows.append({"event": "host_mac", "quantity": "energy", **asdict(HOST_MAC)})
    return rows


def _analysis(found: Analysis) -> dict[str, Any]:
    counts, price = found.activity, found.energy
    return {
        "samples": counts.samples,
        "timesteps": counts.steps,
        "chip_steps": counts.chip_steps,
        "sops": asdict(counts.sops) | {"total": counts.sops.total, "basis": "simulated", "per": "run"},
        "spike_rate": {"value": counts.spike_rate, "basis": "simulated"},
        "host_messages": counts.host_messages,
        "host_macs_per_sample": found.host_macs,
        "layers": [
            asdict(layer) | {"spike_rate": layer.spike_rate, "attention_sops": layer.attention_sops}
            for layer in counts.layers
        ],
        "cores": [asdict(core) for core in counts.cores],
        "latency": asdict(found.latency) | {"bottleneck_text": str(found.latency.bottleneck)},
        "energy_per_sample": {
            **{line.name: _line(line) for line in price.lines},
            "total": _figure(price.total),
            "assumed_prices": list(price.assumed),
        },
        "literature": asdict(found.literature),
        "review": review(found.review),
    }


def review(found: Review) -> dict[str, Any]:
    """Return the review as plain data; ``counts`` are what ``spikewright price`` prices again."""
    low, high = SYNAPSE_BOUNDS
    return {
        "statement": STATEMENT,
        "spikes_per_synapse_and_inference": {
            "value": found.spikes_per_synapse, "bounds": [low, high], "stands": found.per_synapse_stands,
            "basis": "simulated", "source": SYNAPSE_SOURCE,
        },
        "spike_rate": {
            "value": found.spike_rate, "bound": RATE_BOUND, "bound_at_timesteps": RATE_STEPS, "timesteps": found.timesteps,
            "stands": found.rate_stands, "basis": "simulated", "source": RATE_SOURCE,
        },
        "counts": {name: {"value": v, "per": "sample", "what": COUNTS[name]} for name, v in found.ledger.counts.items()},
        "assumed_counts": list(found.ledger.assumed),
        "twin": {"bits": found.twin_bits, "counts": dict(found.twin.counts)},
        "prices": [beside(one) for one in found.lists],
        "attention_sops_per_sample": found.attention,
        "bits": found.widths,
        "batch": found.batch,
        "samples": found.samples,
        "seed": found.seed,
    }  # fmt: skip


def beside(one: Beside) -> dict[str, Any]:
    """Return the net and its twin under one list, J a sample."""
    return {
        "list": one.net.name,
        "net": _figure(one.net.total),
        "twin": _figure(one.twin.total),
        "break_even_spike_rate": one.break_even,
        "items": {name: _figure(item) for name, item in one.net.items.items()},
        "left_out": list(one.net.left_out),
    }


def _line(line: Line) -> dict[str, Any]:
    return _figure(line.energy) | {"items": [_item(item) for item in line.items]}


def _item(item: Item) -> dict[str, Any]:
    return {"event": item.event, "count": item.count, "price": asdict(item.price), "energy": _figure(item.energy)}


def _figure(figure: Quantity) -> dict[str, Any]:
    return asdict(figure)


def to_csv(report: Report) -> str:
    """Return one row a layer; counts are run totals."""
    return csv_table(layer_rows(report))


def layer_rows(report: Report) -> list[dict[str, Any]]:
    """Return one row a layer; counts are run totals."""
    if report.analysis is None:
        return []
    return [_layer_row(layer, report.analysis.activity) for layer in report.analysis.activity.layers]


def _layer_row(layer: Layer, counts: Activity) -> dict[str, Any]:
    s = layer.sops
    sops = {"binary": s.binary, "graded": s.graded, "total": s.total, "dense": s.dense, "gate": s.gate}
    return {
        "layer": layer.name,
        "samples": counts.samples,
        "timesteps": counts.steps,
        "neurons": layer.neurons,
        "cores": len(layer.cores),
        **{f"sops_{kind}": value for kind, value in sops.items()},
        "sops_attention": layer.attention_sops,
        "gate_multiplies": layer.gate_multiplies,
        "neuron_updates": layer.neuron_updates,
        "spikes": layer.spikes,
        "gate_messages": layer.gate_messages,
        "spike_rate": "" if layer.spike_rate is None else f"{layer.spike_rate:.6f}",
        "wraps": layer.wraps,
        "clips": layer.clips,
        "basis": "simulated",
    }
