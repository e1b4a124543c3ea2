"""``--mapping search`` beside ``vendor`` and ``balanced``: time of a step and energy times delay of one sample, in our model.

Usage: ``python -m benchmarks.mapping_search [NET ...] [--data DIR] [--seconds 240] [--chip NAME] [--json]``. NET:
``pilotnet``, a name of the zoo, or one of ``benchmarks.published_sizes``, ``@WIDTH`` of its channels (weights drawn; one sample
of noise or random spikes).
A strategy that a net does not fit under is printed with its reason.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import spikewright as sw
from benchmarks.published_sizes import NETS, SEED, settled
from spikewright.export.netx import import_net
from spikewright.hw_sim import Chip, Program, SpikewrightError, compile, load_chip, simulate
from spikewright.toolchain.analysis import energy, latency
from spikewright.toolchain.integer import source_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import Balanced, Search, Strategy, Vendor
from spikewright.toolchain.passes.align import Align

DEFAULT = ("pilotnet", "gac-fashion", "ma-fashion", "ma-gesture-tcsa", "gac-cifar10-t4@0.25")
STEPS, RATE = 16, 0.1
"""Steps and spike rate of PilotNet's random input."""


@dataclass(frozen=True)
class Row:
    """One net under one strategy; ``why``: it does not fit."""

    net: str
    mapping: str
    cores: int = 0
    step_us: float = 0.0
    energy_uj: float = 0.0
    edp_js: float = 0.0
    hops: int = 0
    seconds: float = 0.0
    why: str = ""
    cut: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Map every net three ways and print them beside each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=list(DEFAULT))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--chip", default="loihi2", help="name or path of the chip file (default %(default)s)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    chip, rows = load_chip(options.chip), []
    for net in options.nets:
        graph, x = _net(net, options.data, options.chip)
        strategies: dict[str, Strategy] = {
            "vendor": Vendor(), "balanced": Balanced(x), "search": Search(x, seconds=options.seconds),
        }  # fmt: skip
        rows += [_row(net, name, graph, x, chip, strategy) for name, strategy in strategies.items()]
    sys.stdout.write(json.dumps([vars(row) for row in rows]) + "\n" if options.json else _text(rows))
    return 0


def _net(name: str, data: Path, chip: str) -> tuple[Graph, NDArray[Any]]:
    """Return an aligned integer graph and payloads (T, B, *shape) for it."""
    published, _, width = name.partition("@")
    if published in NETS:
        return _published(published, float(width or 1), chip)
    if name != "pilotnet":
        made = sw.deploy(name, data=data)
        return made.integer, made.encode(made.choose(limit=4).x, compact=True)
    graph = Align()(import_net(data / "silicon" / "pilotnet_snn.net"))
    shape = source_of(graph).shape
    return graph, (np.random.default_rng(0).random((STEPS, 1, *shape)) < RATE).astype(np.int8)


def _published(name: str, width: float, chip: str) -> tuple[Graph, NDArray[Any]]:
    """Return a net of published size, or a part of its channels, with drawn weights, and one sample."""
    torch.manual_seed(SEED)
    net = NETS[name]
    x = net.sample()
    module = settled(net.build(width), x)
    example = torch.from_numpy(np.array(x))
    made = sw.deploy(module, example, chip=chip, mapping="greedy", gates=net.gates, streams=net.streams, name=name)
    return made.integer, made.encode(x, compact=True)


def _row(net: str, name: str, graph: Graph, x: NDArray[Any], chip: Chip, strategy: Strategy) -> Row:
    start = time.perf_counter()
    try:
        program = strategy(graph, chip)
    except SpikewrightError as error:
        return Row(net, name, why=str(error).splitlines()[0])
    seconds = time.perf_counter() - start
    trace = simulate(compile(program, chip), dict.fromkeys(program.sources, x), steps=len(x))
    took = latency(trace, chip)
    joules = energy(trace, chip, took).total.value
    cores = 1 + max(int(p.core.max(initial=-1)) for p in program.populations)
    hops = int(trace.hops_east_west.sum() + trace.hops_north_south.sum())
    edp = joules * took.per_sample.value
    return Row(net, name, cores, took.per_step_s * 1e6, joules * 1e6, edp, hops, seconds, cut=_cut(program))


def _cut(program: Program) -> str:
    """Return on how many cores each layer lies, and the first of them."""
    parts = []
    for p in program.populations:
        if int(p.core.max(initial=-1)) >= 0:
            held = np.unique(p.core)
            parts.append(f"{p.name} {held.size}@{held[0]}")
    return ", ".join(parts)


def _text(rows: list[Row]) -> str:
    lines = [
        f"{'net':18}{'mapping':10}{'cores':>6}{'us/step':>9}{'uJ':>9}{'E x delay':>12}{'hops':>10}{'found in':>10}"
    ]
    base: dict[str, Row] = {}
    for row in rows:
        if row.why:
            lines.append(f"{row.net:18}{row.mapping:10} does not fit: {row.why}")
            continue
        first = base.setdefault(row.net, row)
        less = f"  step {row.step_us / first.step_us - 1:+.0%}, E x delay {row.edp_js / first.edp_js - 1:+.0%}"
        lines.append(
            f"{row.net:18}{row.mapping:10}{row.cores:>6}{row.step_us:>9.2f}{row.energy_uj:>9.2g}{row.edp_js:>12.2e}{row.hops:>10,}"
            f"{row.seconds:>9.0f}s{'' if row is first else less}"
        )
        lines.append(f"{'':28}cut: {row.cut}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
