"""``spikewright run``: run a bundle on a backend and say what came out and what it cost."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikewright.toolchain import bundle
from spikewright.toolchain.analysis import run_summary
from spikewright.toolchain.backends import load_backend
from spikewright.toolchain.commands import Outcome
from spikewright.toolchain.deployment import CHUNK, Deployment, Samples
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.local_backends import HwSimBackend
from spikewright.toolchain.verbs.data import add_data_options, chosen_samples
from spikewright.toolchain.verbs.output import check_file
from spikewright.toolchain.verbs.progress import bars


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("run", help="run a bundle on a backend: accuracy, SOPs, latency, energy")
    parser.add_argument("bundle", type=Path, metavar="DIR", help="a folder that deploy wrote")
    parser.add_argument(
        "--backend", default="hw_sim", metavar="NAME", help="interpreter, hw_sim or lava (default %(default)s)"
    )
    parser.add_argument("--numbers", choices=("int", "float"), default="int", help="float: the net before quantizing")
    add_data_options(parser)
    parser.add_argument(
        "--timing",
        choices=("analytic", "cycle"),
        default="analytic",
        help="time of a chip step: its busiest part, or cores and mesh simulated (hw_sim only; default %(default)s)",
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="cuda: the same integers on a GPU (hw_sim only)"
    )
    parser.add_argument("--trace", type=Path, metavar="FILE.npz", help="write the machine's counters")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Run."""
    _check(arguments)
    made = bundle.load(arguments.bundle)
    samples = chosen_samples(made, arguments)
    data = _float(made, samples) if arguments.numbers == "float" else _int(made, samples, arguments)
    data["dataset"], data["simulated_events"] = samples.dataset, samples.simulated
    return Outcome(text=_text(made, data), data=data)


def _check(arguments: Namespace) -> None:
    """Refuse combinations that do not exist, before any work is done."""
    if arguments.timing != "analytic" and arguments.backend != HwSimBackend.name:
        raise InputError(
            f"backend {arguments.backend!r} has no clock",
            where="--timing",
            help="use --backend hw_sim, or leave it out",
        )
    if arguments.device != "cpu" and arguments.backend != HwSimBackend.name:
        raise InputError(
            f"backend {arguments.backend!r} runs on the cpu only",
            where="--device",
            help="use --backend hw_sim, or leave it out",
        )
    if arguments.numbers == "float" and arguments.backend != "interpreter":
        raise InputError(
            f"backend {arguments.backend!r} computes integers",
            where="--numbers float",
            help="add --backend interpreter",
        )
    if arguments.trace is not None:
        if arguments.backend != "hw_sim":
            raise InputError(
                f"backend {arguments.backend!r} counts nothing", where="--trace", help="use --backend hw_sim"
            )
        check_file(arguments.trace)


def _int(made: Deployment, samples: Samples, arguments: Namespace) -> dict[str, Any]:
    machine = HwSimBackend(timing=arguments.timing, device=arguments.device)
    chosen = machine != HwSimBackend()  # checked above: the backend is the machine
    backend = machine if chosen else load_backend(arguments.backend)
    x = made.encode(samples.x, compact=True)
    with bars() as bar:
        result = backend.run(made.integer, made.program, x, progress=bar(backend.name))
    if arguments.trace is not None and result.trace is not None:
        result.trace.save(arguments.trace)
    data = run_summary(replace(made, samples=samples), result, samples.y, backend=backend.name)
    if result.trace is not None:
        data["timing"] = result.trace.timing
    return {**data, "startup_s": result.startup_s, "run_s": result.run_s}


def _float(made: Deployment, samples: Samples) -> dict[str, Any]:
    count = samples.x.shape[1]
    with bars() as bar:
        step, answers = bar("interpreter, float"), []
        for start in range(0, count, CHUNK):
            answers.append(made.run_float(samples.x[:, start : start + CHUNK]))
            step(min(start + CHUNK, count), count)
    answer = np.concatenate(answers)
    accuracy = None if samples.y is None else float((answer.argmax(axis=1) == samples.y).mean())
    return {"backend": "interpreter", "numbers": "float", "samples": count, "accuracy": accuracy}


def _text(made: Deployment, data: dict[str, Any]) -> str:
    source = f"{data['samples']} samples of {data['dataset']}" + (
        " (simulated events)" if data["simulated_events"] else ""
    )
    lines = [f"{made.name} on {data['backend']}: {source}"]
    if data["accuracy"] is not None:
        lines.append(f"  accuracy    {100 * data['accuracy']:.2f} %")
    sops, energy = data.get("sops"), data.get("energy_j")
    if sops and sops.get("total") is not None:
        lines.append(
            f"  SOPs        {sops['total']:,.0f} a sample ({sops['binary']:,.0f} binary, {sops['graded']:,.0f} graded); "
            f"{sops['dense']:,.0f} if every input fired"
        )
    if data.get("latency_s") is not None:
        us, bound = 1e6 * data["latency_s"], data["bottleneck"]
        lines.append(f"  latency     {us:.1f} us a sample ({data['timing']} timing); bottleneck: {bound}")
    if energy and energy.get("total") is not None:
        lines.append(
            f"  energy      {1e6 * energy['total']:.3f} uJ a sample: {1e6 * energy['dynamic']:.3f} dynamic, "
            f"{1e6 * energy['static']:.3f} static, {1e6 * energy['host']:.3f} host (estimate; basis: {energy['basis']})"
        )
    if "run_s" in data:
        lines.append(f"  wall time   {data['startup_s']:.2f} s start, {data['run_s']:.2f} s run")
    return "\n".join(lines)
