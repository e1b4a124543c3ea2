"""hw_sim against Lava on a deployed net, samples per second in one run; start-up is left out on both sides and printed apart.

Usage: ``python -m benchmarks.lava_speed [gac-digits] [--samples 20] [--repeats 3] [--json]``. Medians over the repeats.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass

import numpy as np

from spikewright import toolchain
from spikewright.toolchain.backends import IntArray
from spikewright.toolchain.deployment import Deployment


@dataclass(frozen=True)
class Speed:
    """Samples per second (median) and start-up in seconds (median) of one backend on ``samples`` samples a run."""

    backend: str
    samples: int
    samples_per_s: float
    startup_s: float


def measure(deployment: Deployment, backend: str, payload: IntArray, repeats: int) -> Speed:
    """Time a backend; the first run of a repeated one is warm-up (compiled kernels) and not counted."""
    rates, starts = [], []
    for turn in range(repeats + 1):
        result = deployment.backend(backend).run(deployment, payload)
        if turn or repeats == 0:
            rates.append(payload.shape[1] / result.run_s)
            starts.append(result.startup_s)
    return Speed(backend, payload.shape[1], statistics.median(rates), statistics.median(starts))


def main(arguments: list[str] | None = None) -> int:
    """Print both speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", nargs="?", default="gac-digits")
    parser.add_argument("--samples", type=int, default=20, help="samples a Lava run (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)

    deployment = toolchain.deploy(options.net)
    if deployment.samples is None:
        sys.exit(f"{options.net}: has no samples")
    payload = deployment.encode(np.asarray(deployment.samples.x, np.float64))
    ours = measure(deployment, "hw_sim", payload, options.repeats)
    lava = measure(deployment, "lava", payload[:, : options.samples], options.repeats)
    ratio = ours.samples_per_s / lava.samples_per_s
    if options.json:
        sys.stdout.write(
            json.dumps({"net": options.net, "hw_sim": asdict(ours), "lava": asdict(lava), "ratio": ratio}) + "\n"
        )
        return 0
    for speed in (ours, lava):
        sys.stdout.write(
            f"{speed.backend:8} {speed.samples_per_s:10.1f} samples/s  ({speed.samples} samples a run; start-up "
            f"{speed.startup_s:.2f} s apart)\n"
        )
    sys.stdout.write(f"hw_sim / lava = {ratio:.0f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
