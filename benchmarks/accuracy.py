"""What the chip costs in accuracy: the float published variant of each family beside what runs on the chip, whole test splits.

Usage: ``python -m benchmarks.accuracy [FAMILY/DATASET ...] [--data DIR] [--images 0] [--out FILE.json] [--json]``.
Torch (float32) reads the test split with the published variant; that net and its causal variant, trained as it is deployed,
are deployed as they are by default (calibrated on the train split) and read the same images in integers. Interpreter,
simulated chip and Lava are compared on the first samples, spikes and membranes. drop = float published - chip, in points.
With ``--out`` each row is kept as soon as it is there, and a run that finds it goes on behind it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch

import spikewright as sw
from spikewright.models import datasets, zoo
from spikewright.models.train.measure import measure
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.spike_driven.deployed import verdict_of

PAIRS = {
    "ma/fashion-mnist": ("ma-fashion-published", "ma-fashion"),
    "gac/fashion-mnist": ("gac-fashion-published", "gac-fashion"),
    "tcja/fashion-mnist": ("tcja-fashion-published", "tcja-fashion"),
    "staa/fashion-mnist": ("staa-fashion-published", "staa-fashion"),
    "ma/nmnist": ("ma-nmnist-published", "ma-nmnist"),
    "tcja/nmnist": ("tcja-nmnist-published", "tcja-nmnist"),
    "ma/digits": ("ma-digits-published", "ma-digits"),
    "tcja/digits": ("tcja-digits-published", "tcja-digits"),
    "staa/digits": ("staa-digits-published", "staa-digits"),
    "gac/digits": ("gac-digits", "gac-digits-causal"),
}
"""Of each family and data set: the published variant, and the causal one that is trained as it is deployed."""
BACKENDS = ("interpreter", "hw_sim", "lava")
COMPARED = 2
"""Samples that the three backends are compared on."""


@dataclass(frozen=True)
class Row:
    """One net on the chip.

    Args:
        pair: Family and data set.
        net: Name in the zoo.
        variant: Of its attention.
        gates: How they were lowered.
        images: Test images that were read.
        published: Accuracy of the published variant in float32, a fraction.
        chip: Accuracy of this net in the chip's integers; None: it was refused.
        spike_driven: The verdict.
        event_driven: Share of the SOPs that input caused.
        compared: Values (spikes and membranes) that the backends were compared on.
        differ: Of those, on how many they differ.
        refused: Why no lowering takes it within ``deploy``'s tolerance; the rest is empty then.
    """

    pair: str
    net: str
    variant: str
    gates: str
    images: int
    published: float
    chip: float | None
    spike_driven: bool
    event_driven: float | None
    compared: int
    differ: int
    refused: str = ""

    @property
    def drop(self) -> float | None:
        """Points lost against the published variant in float."""
        return None if self.chip is None else 100 * (self.published - self.chip)


@cache
def published(name: str, data: Path | None, images: int) -> float:
    """Return the accuracy of a net of the zoo in float32 on the first test images; 0: on all."""
    module, card = zoo.build(name)
    test = datasets.load(
        card.dataset, coding=cast(datasets.Coding, card.coding), timesteps=card.timesteps, root=data, side=card.side,
        window_us=card.window_us, stills_once=True,
    )  # fmt: skip
    few, y = torch.from_numpy(test.x)[:, : images or None], torch.from_numpy(test.y)[: images or None]
    return measure(module, few.expand(card.timesteps, *few.shape[1:]), y).accuracy


def on_chip(pair: str, name: str, data: Path | None, images: int) -> Row:
    """Deploy one net as by default, check it, run the test split, and compare the backends."""
    card = zoo.card(name)
    whole = published(PAIRS[pair][0], data, images)
    try:
        made = sw.deploy(name, data=data)
    except GateLoweringError as error:
        return Row(pair, name, card.variant, "auto", 0, whole, None, False, None, 0, 0, str(error))
    share = made.check().to_dict()["event_driven_share"]
    ran = made.run(card.dataset, data=data, limit=images or None)
    beside = made.compare(limit=COMPARED, backends=BACKENDS)
    if ran.accuracy is None:
        raise sw.ToolchainError("the test split has no labels", where=name, help="take a data set with labels")
    return Row(
        pair=pair,
        net=name,
        variant=card.variant,
        gates=", ".join(sorted(set(made.strategies.values()))) or "none",
        images=len(ran.answer),
        published=whole,
        chip=ran.accuracy,
        spike_driven=verdict_of(made).spike_driven,
        event_driven=None if share is None else share["total"],
        compared=sum(layer.spikes_compared + layer.membranes_compared for layer in beside.layers),
        differ=beside.spike_mismatches + beside.membrane_mismatches + beside.answer_mismatches,
    )


def table(rows: list[Row]) -> str:
    """Return the rows for people."""
    head = f"{'net':24} {'gates':8} {'images':>7} {'published':>9} {'chip':>7} {'drop':>6} {'events':>7}  verdict"
    lines = [head]
    for row in rows:
        if row.chip is None:
            lines.append(f"{row.net:24} {row.gates:8} {'':7} {100 * row.published:7.2f} % refused: {row.refused}")
            continue
        verdict = "spike-driven" if row.spike_driven else "NOT spike-driven"
        events = "-" if row.event_driven is None else f"{100 * row.event_driven:.1f} %"
        lines.append(
            f"{row.net:24} {row.gates:8} {row.images:7,d} {100 * row.published:7.2f} % {100 * row.chip:5.2f} % "
            f"{row.drop:6.2f} {events:>7}  {verdict}, {row.differ} of {row.compared:,} values differ"
        )
    return "\n".join(lines)


def shown(rows: list[Row]) -> str:
    """Return the rows as JSON, a drop beside each."""
    return (
        json.dumps(
            [{**asdict(row), "drop": None if row.drop is None else round(row.drop, 4)} for row in rows], indent=1
        )
        + "\n"
    )


def kept(file: Path | None) -> list[Row]:
    """Return the rows of an earlier run."""
    if file is None or not file.exists():
        return []
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return [Row(**{key: value for key, value in row.items() if key != "drop"}) for row in found]


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a table or JSON; exit code 1 where a backend differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", metavar="FAMILY/DATASET", help=f"default: all of {', '.join(PAIRS)}")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder above the data sets")
    parser.add_argument("--images", type=int, default=0, help="only the first N test images; 0: all (default)")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.images < 0:
        parser.error(f"--images {options.images}; 0 or more is allowed")
    for pair in options.pairs:
        if pair not in PAIRS:
            parser.error(f"{pair}: found; one of {', '.join(PAIRS)} is allowed")

    rows = kept(options.out)
    done = {row.net for row in rows}
    for pair in options.pairs or PAIRS:
        for name in PAIRS[pair]:
            if name in done:
                continue
            sys.stderr.write(f"{name}\n")
            rows.append(on_chip(pair, name, options.data, options.images))
            if options.out is not None:
                options.out.write_text(shown(rows), encoding="utf-8")
    sys.stdout.write(shown(rows) if options.json else table(rows) + "\n")
    return int(any(row.differ for row in rows))


if __name__ == "__main__":
    sys.exit(main())
