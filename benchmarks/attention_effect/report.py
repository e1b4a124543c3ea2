"""The whole report: tables and answers a set, as Markdown and as data, with the basis of every figure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.attention_effect.claims import claims
from benchmarks.attention_effect.plan import BATCH, RATE, SETS, T
from benchmarks.attention_effect.results import (
    Figure,
    Results,
    chip_uj,
    formula_uj,
    item,
    percent_change,
    ratio,
    twin,
)
from benchmarks.attention_effect.run import ACCOUNTINGS
from benchmarks.attention_effect.tables import tables
from spikewright.toolchain.analysis.paper_energy import BASIS

NOTES = f"""\
All nets of a set are one small net of ours, T = {T}, trained alike; MA's fair twins are its vanilla net with the released
code's ReLU, with one learnable gain a layer started at 1/2^3, or with both. ± is the standard deviation over seeds; in [ ] is
the 95 % interval of the mean (Student's t), and "n cannot tell" where it holds no difference. Differences go seed by seed.

Counts: measured on the test images, per sample. A spike is a neuron's, before any gate behind it; only GAC has attention at the
first neurons, the stem. SOPs: (spike, synapse) pairs, the first convolution and the gates apart. Energies by the formula:
{BASIS}. "Published": one MLP path, no refinement
multiplies, no pooling, no GAC gate unit, graded spikes as accumulates; "complete": all of these, the stem once an image; "stem
T times": as the authors' code runs. r_EE: twin / net. Chip: our simulated Loihi 2 on up to 200 test images, an estimate that
rests on assumed prices. STAA's nets are reconstructions, with its adaptive neuron. Norms start at 1, torch's default; those of
ma-threshold, a vanilla net too, at the neuron's threshold.
"""
FIGURES: dict[str, Figure] = {
    **{name: item(name) for name in (
        "accuracy", "spikes", "spikes_behind_stem", "nasar", "sops_binary", "sops_graded", "attention_macs",
        "attention_multiplies", "train_s",
    )},
    **{f"formula_{name}_uj": formula_uj(name) for name in ACCOUNTINGS},
    **{f"chip_{line}_uj": chip_uj(line) for line in ("total", "dynamic", "static", "host")},
}  # fmt: skip


def text(results: Results) -> str:
    """Return the report as Markdown."""
    parts = ["# What attention does\n", NOTES]
    for name in results.sets:
        parts += [f"## {name}\n", _settings(results, name), tables(results, name), *(_listed(claims(results, name)))]
    if results.missing:
        parts.append(f"{len(results.missing)} results are missing, the first: {results.missing[0].title}.\n")
    return "\n".join(parts)


def _listed(sentences: list[str]) -> list[str]:
    return ["\n".join(f"- {sentence}" for sentence in sentences) + "\n"] if sentences else []


def _settings(results: Results, name: str) -> str:
    chosen = SETS[name]
    some = next(result for key, result in results.found.items() if key[0] == name)
    net = ", ".join(f"{key} {value}" for key, value in chosen.net) or "default widths"
    return (
        f"{chosen.dataset}: {some['train_images']:,} training images, {some['test_images']:,} test images, side {chosen.side}, "
        f"{net}, {some['neurons']:,} neurons, batch {BATCH}, AdamW at {RATE:g}, {some['epochs']} epochs, {some['precision']}.\n"
    )


def record(results: Results) -> dict[str, Any]:
    """Return the report as data: spreads by set, net and figure, changes against the twin, and the sentences."""
    return {
        "basis": {"counts": "measured", "formula": BASIS, "chip": "simulated counts, assumed prices"},
        "sets": {name: _set(results, name) for name in results.sets},
        "missing": [job.title for job in results.missing],
    }


def _set(results: Results, name: str) -> dict[str, Any]:
    nets = {}
    for net in results.nets(name):
        figures = {key: results.spread(name, net, figure) for key, figure in FIGURES.items()}
        change = results.against(name, net, twin(net), item("spikes"), percent_change)
        r_ee = {key: results.against(name, net, twin(net), formula_uj(key), ratio) for key in ACCOUNTINGS}
        nets[net] = {
            "seeds": results.seeds(name, net),
            "figures": {key: None if value is None else asdict(value) for key, value in figures.items()},
            "spikes_change_percent": None if change is None else asdict(change),
            "r_ee": {key: None if value is None else asdict(value) for key, value in r_ee.items()},
        }
    return {"nets": nets, "answers": claims(results, name)}
