"""Networks of published size on the chip: deploy, map and run one sample, each in a process of its own, with a watchdog.

Weights are drawn (sizes need no checkpoint), events are Bernoulli spikes: seconds, memory, cores and the verdict are of the
geometry; spikes, and so SOPs, are those of an untrained net. ``limit`` says which limit of a core decided the split.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import nn

from spikewright import toolchain
from spikewright.hw_sim import Chip
from spikewright.hw_sim.drc import Use, utilization
from spikewright.models.nets.ma_event import MAEventNet
from spikewright.models.nets.tcja_nets import TCJANet
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.integer import neurons_of
from spikewright.toolchain.mapping.partition import coarsest, cores_used, fit
from spikewright.toolchain.spike_driven.deployed import verdict_of

SEED, RATE = 7, 0.02
CHIP = "hala-point"


@dataclass(frozen=True)
class Net:
    """A published net and the shape of its input (T, C, H, W)."""

    build: Callable[[], nn.Module]
    shape: tuple[int, int, int, int]


NETS = {
    "tcja-dvs128": Net(lambda: TCJANet("dvs128", variant="causal"), (20, 2, 128, 128)),
    "tcja-cifar10-dvs": Net(lambda: TCJANet("cifar10-dvs", variant="causal"), (10, 2, 128, 128)),
    "tcja-n-caltech101": Net(lambda: TCJANet("n-caltech101", variant="causal"), (14, 2, 180, 240)),
    "ma-gesture-tcsa": Net(lambda: MAEventNet("gesture", variant="causal"), (60, 2, 32, 32)),
    "ma-gait-tcsa": Net(lambda: MAEventNet("gait", variant="causal"), (8, 2, 128, 128)),
}
"""The causal variants: what can be lowered without constants drawn from data."""


@dataclass(frozen=True)
class Row:
    """One net: sizes, seconds, peak memory in MiB, SOPs of one sample, the verdict, and what limit decided the split."""

    net: str
    neurons: int | None = None
    chips: int | None = None
    cores: int | None = None
    deploy_s: float | None = None
    sample_s: float | None = None
    peak_mib: float | None = None
    sops: float | None = None
    verdict: str = ""
    limit: str = ""


def measure(name: str) -> Row:
    """Deploy one net and run one sample, here."""
    torch.manual_seed(SEED)
    net = NETS[name]
    steps, *frame = net.shape
    x = (np.random.default_rng(SEED).random((steps, 1, *frame)) < RATE).astype(np.float32)
    begin = time.perf_counter()
    try:
        made = toolchain.deploy(net.build().eval(), torch.from_numpy(x), chip=CHIP, mapping="greedy", name=name)
    except ToolchainError as error:
        return Row(name, deploy_s=time.perf_counter() - begin, peak_mib=peak(), verdict=f"refused: {error}")
    deployed = time.perf_counter()
    run = made.run(x)
    done = time.perf_counter()
    sizes = made.to_dict()
    per_chip = made.chip.mesh.usable_cores_per_chip
    return Row(
        name,
        sizes["neurons"],
        -(-cores_used(made.program) // per_chip),
        sizes["cores"],
        deployed - begin,
        done - deployed,
        peak(),
        run.summary["sops"]["total"],
        "spike-driven" if verdict_of(made).spike_driven else "NOT spike-driven",
        decided(made),
    )


def peak() -> float:
    """Return the most memory this process held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def decided(made: toolchain.Deployment) -> str:
    """Say which limit is the fullest on most cores, and how many cores half and twice of it would take."""
    uses = utilization(made.program, made.chip)
    worst: dict[int, Use] = {}
    for use in uses:
        if use.core not in worst or use.share > worst[use.core].share:
            worst[use.core] = use
    resource_, count = Counter(use.resource for use in worst.values()).most_common(1)[0]
    limit = int(getattr(made.chip.core, resource_))
    low, high = (_cores_with(made, resource_, value) for value in (limit // 2, limit * 2))
    neurons = sum(op.size for op in neurons_of(made.integer))
    least = -(-neurons // made.chip.core.max_neurons)
    return (
        f"{resource_} = {limit:,} is the fullest on {count} of {len(worst)} cores; "
        f"{low} cores at {limit // 2:,}, {high} at {limit * 2:,} (neurons alone: {least})"
    )


def _cores_with(made: toolchain.Deployment, name: str, value: int) -> str:
    chip: Chip = replace(made.chip, core=replace(made.chip.core, **{name: value}))
    try:
        return f"{cores_used(fit(made.integer, chip, coarsest(made.integer, chip))[0]):,}"
    except ToolchainError as error:
        return f"none ({str(error).splitlines()[0]})"


def watched(name: str, seconds: float, mib: int) -> Row:
    """Measure one net in a process of its own; one that takes too long or too much is ended, and says so."""
    limit = mib << 20
    words = [sys.executable, "-m", "benchmarks.published_sizes", "--child", name]
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Row(name, deploy_s=time.perf_counter() - begin, verdict=f"ended after {seconds:.0f} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return Row(name, deploy_s=time.perf_counter() - begin, verdict=f"died within {mib} MiB: {last}")
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def table(rows: list[Row]) -> str:
    """Return the rows for people."""
    widths = (10, 6, 6, 8, 8, 10, 14)
    heads = ("neurons", "chips", "cores", "deploy", "sample", "peak", "SOPs")
    head = " ".join(f"{name:>{width}}" for name, width in zip(heads, widths, strict=True))
    lines = [f"{'net':20} {head}  verdict"]
    for row in rows:
        cells = (
            "-" if row.neurons is None else f"{row.neurons:,}",
            "-" if row.chips is None else str(row.chips),
            "-" if row.cores is None else str(row.cores),
            "-" if row.deploy_s is None else f"{row.deploy_s:.0f} s",
            "-" if row.sample_s is None else f"{row.sample_s:.0f} s",
            "-" if row.peak_mib is None else f"{row.peak_mib:,.0f} MiB",
            "-" if row.sops is None else f"{row.sops:,.0f}",
        )
        shown = " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines += [f"{row.net:20} {shown}  {row.verdict}", *([f"{'':20} {row.limit}"] if row.limit else [])]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure the nets and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NETS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=300, help="of one net, then it is ended (default %(default)s)")
    parser.add_argument(
        "--mib", type=int, default=6144, help="memory of one net, then it is ended (default %(default)s)"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in NETS]:
        parser.error(f"{', '.join(unknown)}; choose from {', '.join(NETS)}")
    if options.child:
        sys.stdout.write(json.dumps(asdict(measure(options.names[0]))) + "\n")
        return 0
    rows = []
    for name in options.names or NETS:
        sys.stderr.write(f"{name}\n")
        rows.append(watched(name, options.seconds, options.mib))
    sys.stdout.write((json.dumps([asdict(row) for row in rows], indent=2) if options.json else table(rows)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
