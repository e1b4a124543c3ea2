"""``spikewright check``: is a bundle, or a model as trained, spike-driven? A verdict per block; exit 1 on a violation.

A bundle is also audited: a recorded run's counters must equal what its events cause, walked one by one.
"""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any, get_args

from spikewright.toolchain import bundle
from spikewright.toolchain.backends import load_backend
from spikewright.toolchain.blocks.base import AttentionBlock
from spikewright.toolchain.commands import Outcome
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.importing import Imported, load_model
from spikewright.toolchain.integer_road import input_code
from spikewright.toolchain.passes.lower_gates import Strategy, strategies_for
from spikewright.toolchain.passes.split_host import before_first_spike
from spikewright.toolchain.spike_driven import Audit, Verdict, audit, check_graph
from spikewright.toolchain.spike_driven.signals import InputKind
from spikewright.toolchain.verbs.data import add_folder_option, first

AUDITED = 2
"""Samples whose events are walked one by one."""


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("check", help="verdict per block: spike-driven or not, and why; exit 1 on a violation")
    parser.add_argument("target", metavar="DIR|MODEL", help="a bundle, or a model as deploy takes it")
    model = parser.add_argument_group("for a MODEL")
    model.add_argument(
        "--input-kind", choices=get_args(InputKind), help="what it is fed with (default: as its card says, or binary)"
    )
    model.add_argument(
        "--gates",
        choices=[s for s in get_args(Strategy) if s != "auto"],
        help="judge it as lowered so (default: as trained)",
    )
    model.add_argument(
        "--payload-bits", type=int, metavar="N", help="judge its gates as integers of N bits (default: as real)"
    )
    model.add_argument("--timesteps", type=int, metavar="T", help="steps per sample, where the file does not say")
    model.add_argument("--dt", type=float, metavar="S", help="length of a timestep in s, where the file does not say")
    add_folder_option(model)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Check."""
    folder, found = Path(arguments.target), None
    if folder.is_dir():
        made = bundle.load(folder)
        name, verdict, found = made.name, check_deployment(made), audit_deployment(made)
    else:
        name, verdict = _check_model(arguments)
    text = f"{name}: {verdict.text()}"
    data: dict[str, Any] = {"name": name, "spike_driven": verdict.spike_driven, "blocks": verdict.rows(), "audit": None}
    if found is not None:
        text, data["audit"] = f"{text}\n\n{found.text()}", found.row()
    good = verdict.spike_driven and (found is None or found.ok)
    return Outcome(text=text, data=data, code=int(not good))


def check_deployment(made: Deployment) -> Verdict:
    """Return the verdict on a deployment: its captured graph, with the lowerings that were chosen.

    A deployment was mapped and passed the chip's design rules, so its blocks fit.
    """
    kind: InputKind = "dense" if made.host is not None else "binary" if made.input.kind == "binary" else "graded"
    return check_graph(
        made.captured,
        input_kind=kind,
        still=made.host is None or made.host.still,
        host=frozenset() if made.host is None else before_first_spike(made.captured),
        strategies=made.strategies,
        payload_bits=made.options.payload_bits,
        fits=True,
    )


def audit_deployment(made: Deployment) -> Audit | None:
    """Run the first samples of a bundle on the machine and audit its counters; None where it travels without samples."""
    if made.samples is None:
        return None
    x = made.encode(first(made.samples, AUDITED).x)
    trace = load_backend("hw_sim").run(made.integer, made.program, x, record=True).trace
    return None if trace is None else audit(made.program, trace.spikes, trace)


def _check_model(arguments: Namespace) -> tuple[str, Verdict]:
    """Judge a model as trained: nothing on the host but what stands in front of the first spike, gates as published."""
    if arguments.payload_bits is not None and not 1 <= arguments.payload_bits <= 16:
        raise InputError(
            f"{arguments.payload_bits}; 1 .. 16 is allowed", where="--payload-bits", help="leave it out for real gates"
        )
    imported = load_model(arguments.target, data=arguments.data)
    kind: InputKind = arguments.input_kind or _input_kind(imported)
    graph = imported.float_graph(dt_s=arguments.dt, timesteps=arguments.timesteps)
    strategies = {}
    if arguments.gates is not None:
        attention = [op for op in graph if isinstance(op, AttentionBlock)]
        strategies = strategies_for(attention, arguments.gates)
    return imported.name, check_graph(
        graph,
        input_kind=kind,
        host=before_first_spike(graph) if kind == "dense" else frozenset(),
        strategies=dict(strategies),
        payload_bits=arguments.payload_bits,
    )


def _input_kind(imported: Imported) -> InputKind:
    if imported.integer is not None:
        return "binary" if input_code(imported.integer).kind == "binary" else "graded"
    return "dense" if imported.card.get("coding") == "direct" else "binary"
