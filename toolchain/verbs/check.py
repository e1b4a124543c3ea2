"""``spikeforge check``: is a bundle, or a model as trained, spike-driven? A verdict per block; exit 1 on a violation."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any, Literal, get_args

from toolchain import bundle
from toolchain.commands import Outcome
from toolchain.deployment import Deployment
from toolchain.from_nir import from_nir
from toolchain.importing import load_model
from toolchain.ir import Graph
from toolchain.ops import AttentiveLif, GatedCoding, Input, Lif, Output
from toolchain.spike_driven import Verdict, check_graph

InputKind = Literal["binary", "graded", "dense"]


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("check", help="verdict per block: spike-driven or not, and why; exit 1 on a violation")
    parser.add_argument("target", metavar="DIR|MODEL", help="a bundle, or a model as deploy takes it")
    parser.add_argument(
        "--input-kind",
        choices=get_args(InputKind),
        help="what a model without a model card is fed with (default binary)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Check."""
    folder = Path(arguments.target)
    if folder.is_dir():
        made = bundle.load(folder)
        name, verdict = made.name, check_deployment(made)
    else:
        name, verdict = _check_model(arguments.target, arguments.input_kind)
    head = f"{name}: {'spike-driven' if verdict.spike_driven else 'NOT spike-driven'}"
    data = {"name": name, "spike_driven": verdict.spike_driven, "blocks": verdict.rows()}
    return Outcome(text=f"{head}\n{verdict.text()}", data=data, code=int(not verdict.spike_driven))


def check_deployment(made: Deployment) -> Verdict:
    """Return the verdict on a deployment: its captured graph, with the lowerings that were chosen.

    A deployment was mapped and passed the chip's design rules, so its blocks fit.
    """
    if made.host is None:
        kind: InputKind = "binary" if made.input.kind == "binary" else "graded"
        host: frozenset[str] = frozenset()
    else:
        kind, host = "dense", before_first_spike(made.captured)
    return check_graph(
        made.captured,
        input_kind=kind,
        host=host,
        strategies=made.strategies,
        payload_bits=made.options.payload_bits,
        fits=True,
    )


def _check_model(spec: str, given: InputKind | None) -> tuple[str, Verdict]:
    """Judge a model as trained: nothing on the host but what stands in front of the first spike, gates as published."""
    imported = load_model(spec)
    coding = imported.card.get("coding")
    kind: InputKind = given or ("dense" if coding == "direct" else "binary")
    graph = from_nir(imported.nir_graph)
    host = before_first_spike(graph) if kind == "dense" else frozenset()
    return imported.name, check_graph(graph, input_kind=kind, host=host)


def before_first_spike(graph: Graph) -> frozenset[str]:
    """Return the ops in front of the first spikes and the neurons that send them: what a host can compute once per sample.

    The same cut as pass ``split-host`` makes, but for any net, also one that cannot be deployed.
    """
    silent: set[str] = set()
    first: set[str] = set()
    for op in graph:
        if isinstance(op, Input) or (op.inputs and all(name in silent for name in op.inputs)):
            if isinstance(op, Lif | GatedCoding):
                first.add(op.name)
            elif not isinstance(op, AttentiveLif | Output):
                silent.add(op.name)
    return frozenset(silent | first)
