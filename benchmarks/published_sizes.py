"""Networks of published size on the chip: deploy, map and run one sample, each in a process of its own, with a watchdog.

Weights are drawn, batch norms settled on the sample (sizes need no checkpoint), events are Bernoulli spikes, images N(0, 1):
seconds, memory, cores and the verdict are of the geometry; spikes, and so SOPs, are those of an untrained net.
``limit`` says which limit of a core decided the split. A row is written as soon as its net is done, with ``--rows FILE`` to
a file too, whose nets are not measured again. ``published_sizes.jsonl`` beside this file holds what was measured so far: on
2 shared CPU cores, so that its CPU seconds say more than its seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spikewright import toolchain
from spikewright.models.nets.ma_event import MAEventNet
from spikewright.models.nets.ms_resnet import gac_ms_resnet_cifar, ms_resnet_imagenet
from spikewright.models.nets.staa_resnet import STAAResNet
from spikewright.models.nets.tcja_nets import TCJANet
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.mapping.decided import decided
from spikewright.toolchain.mapping.partition import cores_used
from spikewright.toolchain.spike_driven.deployed import verdict_of
from spikewright.toolchain.spike_driven.verdict import Verdict

SEED, RATE = 7, 0.02
CHIP = "hala-point"
LOUDER = 4.0
"""Factor on drawn weights of fully connected layers: those without a batch norm would stay silent."""
AGAIN = 1 << 23
"""Neurons up to which a net is mapped at half and twice of the limit that decided, beside the seconds that count."""
DELAY = 4
"""Steps that causal gates come late, where counters of two levels are on their way; nets are trained with it."""
Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Net:
    """A published net by its width, the shape of its input (T, C, H, W), and how its gates and sums are lowered."""

    build: Callable[[float], nn.Module]
    shape: Shape
    gates: str
    streams: str = "auto"

    @property
    def gate_delay(self) -> int | None:
        """Steps that causal gates come late; None: it has none."""
        return DELAY if self.gates == "causal" else None

    @property
    def images(self) -> bool:
        """Whether it sees images, the same in every step."""
        return self.shape[1] == 3

    def sample(self) -> NDArray[np.float32]:
        """Draw an input (T, 1, C, H, W)."""
        rng, (steps, *frame) = np.random.default_rng(SEED), self.shape
        if self.images:
            return np.broadcast_to(rng.normal(size=(1, *frame)).astype(np.float32), (steps, 1, *frame))
        return (rng.random((steps, 1, *frame)) < RATE).astype(np.float32)


def later(net: nn.Module) -> nn.Module:
    """Let causal gates act a step later than they need to, where counters of two levels fit (``fan-in``)."""
    for part in net.modules():
        if hasattr(part, "gate_delay"):
            part.gate_delay = DELAY
    return net


GESTURE, GAIT = (60, 2, 32, 32), (8, 2, 128, 128)
NETS = {
    "ma-gesture-tcsa": Net(lambda w: MAEventNet("gesture", width=w), GESTURE, "static"),
    "ma-gesture-tcsa-paper": Net(lambda w: MAEventNet("gesture", variant="paper", width=w), GESTURE, "static"),
    "ma-gesture-tcsa-causal": Net(lambda w: later(MAEventNet("gesture", variant="causal", width=w)), GESTURE, "causal"),
    "ma-gait-tcsa": Net(lambda w: MAEventNet("gait", width=w), GAIT, "static"),
    "ma-gait-tcsa-causal": Net(lambda w: later(MAEventNet("gait", variant="causal", width=w)), GAIT, "causal"),
    "gac-cifar10-t4": Net(lambda w: gac_ms_resnet_cifar(4, width=w), (4, 3, 32, 32), "host", "relay"),
    "gac-cifar10-t6": Net(lambda w: gac_ms_resnet_cifar(6, width=w), (6, 3, 32, 32), "host", "relay"),
    "tcja-dvs128": Net(lambda w: TCJANet("dvs128", width=w), (20, 2, 128, 128), "static"),
    "tcja-cifar10-dvs-tet": Net(lambda w: TCJANet("cifar10-dvs-tet", width=w), (10, 2, 48, 48), "static"),
    "tcja-cifar10-dvs": Net(lambda w: TCJANet("cifar10-dvs", width=w), (10, 2, 128, 128), "static"),
    "tcja-n-caltech101": Net(lambda w: TCJANet("n-caltech101", width=w), (14, 2, 180, 240), "static"),
    "staa-resnet-19": Net(lambda w: later(STAAResNet(19, 4, variant="causal", width=w)), (4, 3, 32, 32), "causal"),
    "staa-resnet-20": Net(lambda w: later(STAAResNet(20, 4, variant="causal", width=w)), (4, 3, 32, 32), "causal"),
    "att-ms-resnet-18": Net(lambda w: ms_resnet_imagenet(18, 1, width=w), (1, 3, 224, 224), "static", "relay"),
}
"""The published form where constant or host gates lower it, else the causal one, which has an exact lowering."""


@dataclass(frozen=True)
class Row:
    """One net: sizes, seconds (and of all CPUs), peak MiB, SOPs of one sample, the verdict, what decided the split.

    ``gate_delay``: steps that causal gates come late.
    """

    net: str
    width: float = 1.0
    gates: str = ""
    gate_delay: int | None = None
    neurons: int | None = None
    chips: int | None = None
    cores: int | None = None
    deploy_s: float | None = None
    deploy_cpu_s: float | None = None
    sample_s: float | None = None
    sample_cpu_s: float | None = None
    peak_mib: float | None = None
    sops: float | None = None
    verdict: str = ""
    limit: str = ""


def settled(net: nn.Module, x: NDArray[np.float32]) -> nn.Module:
    """Return the net with batch norms that hold what the sample shows: without, a deep net that was never trained is silent."""
    norms = [part for part in net.eval().modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    for part in net.modules():
        if isinstance(part, nn.Linear):
            part.weight.data *= LOUDER
    for norm in norms:
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        net(torch.from_numpy(np.ascontiguousarray(x)))
    return net.eval()


def measure(name: str, width: float) -> Iterator[Row]:
    """Deploy one net and run one sample, here; yield its row, and again with the cores at other values of an assumed limit."""
    torch.manual_seed(SEED)
    net = NETS[name]
    x = net.sample()
    module = settled(net.build(width), x)
    begin, cpu = time.perf_counter(), time.process_time()
    row = Row(name, width, net.gates, net.gate_delay)
    try:
        made = toolchain.deploy(
            module, torch.from_numpy(np.array(x)), chip=CHIP, mapping="greedy", gates=net.gates, streams=net.streams, name=name,
            progress=lambda stage: _said(f"  {time.perf_counter() - begin:6.1f} s {peak():6.0f} MiB  {stage}\n"),
        )  # fmt: skip
    except ToolchainError as error:
        took, used = time.perf_counter() - begin, time.process_time() - cpu
        yield replace(row, deploy_s=took, deploy_cpu_s=used, peak_mib=peak(), verdict=f"refused: {error}")
        return
    deployed, used = time.perf_counter(), time.process_time() - cpu
    _said(f"  {deployed - begin:6.1f} s {peak():6.0f} MiB  sample\n")
    run = made.run(x)
    done, ran = time.perf_counter(), time.process_time() - cpu - used
    row = replace(
        row,
        neurons=sum(p.size for p in made.program.populations if (p.core >= 0).any()),
        chips=-(-cores_used(made.program) // made.chip.mesh.usable_cores_per_chip),
        cores=cores_used(made.program),
        deploy_s=deployed - begin,
        deploy_cpu_s=used,
        sample_s=done - deployed,
        sample_cpu_s=ran,
        peak_mib=peak(),
        sops=run.summary["sops"]["total"],
        verdict=judged(verdict_of(made, run.trace)),
        limit=str(decided(made.program, made.chip, made.integer, largest=0)),
    )
    yield row
    split = decided(made.program, made.chip, made.integer, largest=AGAIN)
    if split.others:
        yield replace(row, limit=str(split))


def judged(verdict: Verdict) -> str:
    """Return a verdict with the densities of the run: spike-driven, or how many blocks are not and what the first one does."""
    if verdict.spike_driven:
        return "spike-driven"
    wrong = verdict.violations
    return (
        f"NOT spike-driven: {len(wrong)} of {len(verdict.blocks)} blocks, first {wrong[0].name}: {wrong[0].violation}"
    )


def peak() -> float:
    """Return the most memory this process held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def watched(name: str, width: float, seconds: float, mib: int) -> Row:
    """Measure one net in a process of its own; one that takes too long or too much is ended, and says so."""
    limit, row = mib << 20, Row(name, width, NETS[name].gates, NETS[name].gate_delay)
    words = [sys.executable, "-m", "benchmarks.published_sizes", "--child", "--width", str(width), "--nets", name]
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        )  # fmt: skip
    except subprocess.TimeoutExpired as ended:
        if ended.stdout:  # all but the cores at other values
            return Row(**json.loads(ended.stdout.decode().splitlines()[-1]))
        took, at = time.perf_counter() - begin, _stage((ended.stderr or b"").decode())
        return replace(row, deploy_s=took, verdict=f"ended after {seconds:.0f} s, in {at}")
    took = time.perf_counter() - begin
    if done.returncode and not done.stdout:
        verdict = f"died within {mib} MiB, in {_stage(done.stderr)}: {_last(done.stderr)}"
        return replace(row, deploy_s=took, verdict=verdict)
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no word"])[-1].strip()


def _stage(text: str) -> str:
    """Return the last stage that a child told of."""
    stages = [line.split("MiB")[1].strip() for line in text.splitlines() if " MiB  " in line]
    return stages[-1] if stages else "the beginning"


def _said(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def measured(names: list[str], widths: list[float], seconds: float, mib: int, kept: Path | None) -> Iterator[Row]:
    """Yield the row of every net and width, as soon as it is done; those that a file has already are read from it."""
    lines = kept.read_text().splitlines() if kept is not None and kept.exists() else []
    known = {(row.net, row.width): row for row in (Row(**json.loads(line)) for line in lines)}
    for name in names:
        for width in widths:
            if (name, width) in known:
                yield known[name, width]
                continue
            _said(f"{name} at width {width:g}\n")
            row = watched(name, width, seconds, mib)
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
            yield row


HEADS = ("width", "neurons", "chips", "cores", "deploy", "(CPU)", "sample", "(CPU)", "peak", "SOPs")
WIDTHS = (5, 10, 6, 6, 8, 8, 8, 8, 10, 14)


def shown(row: Row) -> str:
    """Return a row for people."""
    times = (row.deploy_s, row.deploy_cpu_s, row.sample_s, row.sample_cpu_s)
    cells = (
        f"{row.width:g}",
        *("-" if count is None else f"{count:,}" for count in (row.neurons, row.chips, row.cores)),
        *("-" if took is None else f"{took:.0f} s" for took in times),
        "-" if row.peak_mib is None else f"{row.peak_mib:,.0f} MiB",
        "-" if row.sops is None else f"{row.sops:,.0f}",
    )
    line = f"{row.net:22} {' '.join(f'{cell:>{width}}' for cell, width in zip(cells, WIDTHS, strict=True))}"
    late = "" if row.gate_delay is None else f", {row.gate_delay} steps late"
    return f"{line}  {row.gates}{late}: {row.verdict}" + (f"\n{'':22} {row.limit}" if row.limit else "")


def _words(text: str) -> list[str]:
    return text.split(",")


def _factors(text: str) -> list[float]:
    return [float(word) for word in text.split(",")]


def main(arguments: list[str] | None = None) -> int:
    """Measure the nets and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--nets", type=_words, default=list(NETS), metavar="A,B", help=f"of {', '.join(NETS)} (default: all)"
    )
    parser.add_argument(
        "--width", type=_factors, default=[1.0], metavar="A,B", help="factors on all channel numbers (default: 1)"
    )
    parser.add_argument("--seconds", type=float, default=300, help="of one net, then it is ended (default %(default)s)")
    parser.add_argument(
        "--mib", type=int, default=6144, help="memory of one net, then it is ended (default %(default)s)"
    )
    parser.add_argument(
        "--rows", type=Path, metavar="FILE", help="keep a line a net there; what it has is not measured again"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.nets if name not in NETS]:
        parser.error(f"{', '.join(unknown)}; choose from {', '.join(NETS)}")
    if options.child:
        for row in measure(options.nets[0], options.width[0]):
            sys.stdout.write(json.dumps(asdict(row)) + "\n")
            sys.stdout.flush()
        return 0
    if not options.json:
        sys.stdout.write(
            f"{'net':22} {' '.join(f'{head:>{width}}' for head, width in zip(HEADS, WIDTHS, strict=True))}\n"
        )
    rows = []
    for row in measured(options.nets, options.width, options.seconds, options.mib, options.rows):
        rows.append(asdict(row))
        if not options.json:
            sys.stdout.write(shown(row) + "\n")
            sys.stdout.flush()
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
