"""PilotNet LIF and a pair of neurons, simulated, beside the same nets on Loihi 2 silicon; then every public run in one table.

Usage: ``python -m benchmarks.silicon [--data DIR] [--steps 10000] [--repeats 3] [--json]``. DIR holds ``silicon/`` with the net
and the counters. Seconds are medians of the repeats; start-up (import, compile, kernels) is not in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.silicon import compiler, measured, pair, suite
from benchmarks.silicon.compare import Comparison, compare
from benchmarks.silicon.net import as_on_silicon, fed_with_spikes, graph, intel_partition
from benchmarks.silicon.text import table
from spikewright.hw_sim import Program, Trace, compile, load_chip, simulate
from spikewright.toolchain.mapping import Greedy

RATE = 26 / 256
"""Spikes per pixel and step of the random input, drawn anew for every step (the trained net's input fires at up to that)."""


def main(arguments: list[str] | None = None) -> int:
    """Run the net twice, with and without input, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--chip", default="loihi2", help="name or path of the chip file (default %(default)s)")
    parser.add_argument("--steps", type=int, default=measured.STEPS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    path = options.data / "silicon" / "pilotnet_snn.net"
    if not path.is_file():
        sys.exit(f"{path}: no such file; give the folder that holds silicon/pilotnet_snn.net with --data")

    chip, net = load_chip(options.chip), graph(path)
    program = as_on_silicon(net, chip, intel_partition(net))
    ours = as_on_silicon(net, chip, Greedy())
    trace, seconds = timed(program, options.steps, options.repeats)
    _, random_seconds = timed(fed_with_spikes(program), options.steps, options.repeats, random_spikes)
    result = compare(trace, chip, measured.counters(options.data))
    scale = measured.STEPS / options.steps
    cores = compile(ours, chip).cores
    pairs = pair.pairs(options.data, chip)
    rows = suite.rows(options.data, chip, result, pairs)
    if options.json:
        found = record(result, cores, seconds * scale, random_seconds * scale) | compiler.summary(options.data)
        found |= suite.summary(pairs, rows, chip)
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(table(result, cores, seconds * scale, random_seconds * scale, chip))
        sys.stdout.write(compiler.text(options.data) + "\n")
        sys.stdout.write(suite.text(pairs, rows) + "\n")
    return 0


def timed(
    program: Program, steps: int, repeats: int, inputs: Callable[[Program, int], dict[str, np.ndarray]] | None = None
) -> tuple[Trace, float]:
    """Return the last trace and the median seconds of a run."""
    compiled = compile(program)
    given = inputs(program, steps) if inputs is not None else {}
    simulate(compiled, {name: x[:2] for name, x in given.items()}, steps=2)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        trace = simulate(compiled, given, steps=steps)
        seconds.append(time.perf_counter() - start)
    return trace, statistics.median(seconds)


def random_spikes(program: Program, steps: int) -> dict[str, np.ndarray]:
    """Return spikes that do not repeat, one byte each."""
    first = program.populations[0]
    rng = np.random.default_rng(0)
    spikes = np.empty((steps, 1, *first.shape), np.int8)
    for t in range(steps):
        spikes[t, 0] = rng.integers(0, 256, first.shape, np.uint8) < RATE * 256
    return {first.name: spikes}


def record(result: Comparison, cores: int, seconds: float, random_seconds: float) -> dict[str, object]:
    """Return the object that ``--json`` prints; errors are signed fractions of silicon."""
    low, nominal, high = result.energy_errors
    return {
        "sops_total_error": result.sops_total_error,
        "sops_core_error_max": result.sops_core_error_max,
        "sops_conv3_errors": result.sops_errors(measured.CONV3).tolist(),
        "phase_ratio_error_max": result.phase_ratio_error_max,
        "dynamic_energy_error": nominal,
        "energy_band": [low, high],
        "cores": cores,
        "compiler_cores": measured.CORES,
        "seconds_for_10000_steps": seconds,
        "seconds_for_10000_random_steps": random_seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
