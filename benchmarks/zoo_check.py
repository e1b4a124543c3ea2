"""The zoo's accuracies, reproduced: the card's word, torch on the whole test split, the interpreter and the chip on N images.

Usage: ``python -m benchmarks.zoo_check [NAME ...] [--data DIR] [--images 1000] [--json]``; a NAME is one of
``spikewright zoo`` or a ``.safetensors`` file.
Torch (float32) reads the whole test split. The float interpreter reads the first N images (0: all
of them) beside the same module in float64, neuron by neuron, and the simulated chip computes the same images in integers.
Exit code 1 if torch misses its card, or the interpreter misses torch, by more than 0.3 points; a net that no spike-driven
lowering takes is a row with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikewright import toolchain
from spikewright.models import datasets, zoo
from spikewright.models.attention.gac import GAC
from spikewright.models.attention.ma import MALIF
from spikewright.models.attention.staa import STAALIF
from spikewright.models.attention.tcja import TCJA
from spikewright.models.neurons import Neuron
from spikewright.models.train.measure import measure
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.interpret import answer, run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.spike_driven.deployed import verdict_of

ALLOWED = 0.003
"""Largest difference between two accuracies that counts as reproduced."""
TOGETHER = 32
"""Samples interpreted at once."""
SPIKING = (Neuron, MALIF, STAALIF, GAC, TCJA)


@dataclass(frozen=True)
class Row:
    """One net: accuracies as fractions; ``images`` is what interpreter and chip read.

    ``predictions_differ``, ``spikes_differ``: interpreter against torch in float64, of ``images`` and of ``spikes_compared``.
    """

    name: str
    card: float | None
    torch: float | None = None
    torch_images: int = 0
    images: int = 0
    float64: float | None = None
    interpreter: float | None = None
    predictions_differ: int | None = None
    spikes_differ: int | None = None
    spikes_compared: int = 0
    chip: float | None = None
    verdict: str = ""
    note: str = ""

    @property
    def reproduced(self) -> bool:
        """Whether every accuracy is what it is compared with, within 0.3 points; a net without its data is not."""
        if self.card is not None and self.torch is None:
            return False
        pairs = ((self.card, self.torch), (self.float64, self.interpreter))
        return all(abs(a - b) <= ALLOWED for a, b in pairs if a is not None and b is not None)


def check(name: str, data: Path | None, images: int) -> Row:
    """Check one net."""
    module, card = zoo.build(name)
    if card.accuracy is None:
        return Row(card.name, None, note="does not classify")
    try:
        test = datasets.load(
            card.dataset, coding=cast(datasets.Coding, card.coding), timesteps=card.timesteps, root=data, side=card.side,
            window_us=card.window_us, stills_once=True,
        )  # fmt: skip
    except ToolchainError as error:
        return Row(card.name, card.accuracy, verdict="not checked", note=str(error))
    whole = torch.from_numpy(test.x).expand(card.timesteps, *test.x.shape[1:])
    seen = measure(module, whole, torch.from_numpy(test.y)).accuracy
    few, y = whole[:, : images or None], test.y[: images or None]
    graph = load_model(name, data=data).float_graph()
    expected, found, differ, compared = beside(module.double(), graph, few)
    chip, verdict, note = on_chip(name, data, Samples(few.numpy(), y, test.name, test.simulated))
    return Row(
        name=card.name,
        card=card.accuracy,
        torch=seen,
        torch_images=len(test.y),
        images=len(y),
        float64=float((expected == y).mean()),
        interpreter=float((found == y).mean()),
        predictions_differ=int((expected != found).sum()),
        spikes_differ=differ,
        spikes_compared=compared,
        chip=chip,
        verdict=verdict,
        note=note,
    )


def beside(module: nn.Module, graph: Graph, x: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64], int, int]:
    """Run a module in float64 and its graph; return both predictions, and how many of how many messages differ."""
    sent: dict[str, Tensor] = {}
    names = [name for name, part in module.named_modules() if isinstance(part, SPIKING) and name in graph.by_name]
    for name in names:
        module.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: sent.update({name: out}))
    expected, found, differ, compared = [], [], 0, 0
    for start in range(0, x.shape[1], TOGETHER):
        part = x[:, start : start + TOGETHER]
        with torch.no_grad():
            expected.append(module(part.double()).argmax(1).numpy())
        signals = run_float(graph, part.numpy())
        found.append(answer(graph, signals).argmax(1))
        for name in names:
            wrong = (sent[name].numpy() != 0) != (signals[name] != 0)
            differ, compared = differ + int(wrong.sum()), compared + wrong.size
    return np.concatenate(expected), np.concatenate(found), differ, compared


def on_chip(name: str, data: Path | None, samples: Samples) -> tuple[float | None, str, str]:
    """Deploy and run on the simulated chip: its accuracy, the verdict, and the reason where it is refused."""
    try:
        made = toolchain.deploy(name, samples=samples, data=data)
    except ToolchainError as error:
        return None, "refused", str(error)
    accuracy = made.run(samples).accuracy
    gates = ", ".join(sorted(set(made.strategies.values()))) or "none"
    driven = "spike-driven" if verdict_of(made).spike_driven else "NOT spike-driven"
    return accuracy, f"{driven}, gates: {gates}", ""


def table(rows: list[Row]) -> str:
    """Return the rows for people."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'net':{width}} {'card':>7} {'torch':>7} {'images':>7} {'float':>7} {'differ: answers':>16} "
             f"{'spikes':>7} {'chip':>7}  verdict"]  # fmt: skip
    for row in rows:
        answers = "-" if row.predictions_differ is None else str(row.predictions_differ)
        spikes = "-" if row.spikes_differ is None else str(row.spikes_differ)
        verdict = row.verdict + ("" if row.reproduced else "; NOT reproduced")
        lines.append(
            f"{row.name:{width}} {_percent(row.card)} {_percent(row.torch)} {row.images:7,d} {_percent(row.interpreter)} "
            f"{answers:>16} {spikes:>7} {_percent(row.chip)}  {verdict}"
        )
        lines += [f"{'':{width}} {line}" for line in row.note.splitlines()]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return f"{'-':>7}" if value is None else f"{100 * value:7.2f}"


def main(arguments: list[str] | None = None) -> int:
    """Check the nets and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every net of the zoo")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder above the data sets")
    parser.add_argument(
        "--images", type=int, default=1000, help="for interpreter and chip; 0: all (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.images < 0:
        parser.error(f"--images {options.images}; 0 or more is allowed")

    rows = []
    for name in options.names or zoo.names():
        sys.stderr.write(f"{name}\n")
        rows.append(check(name, options.data, options.images))
    shown = [{**asdict(row), "reproduced": row.reproduced} for row in rows]
    sys.stdout.write((json.dumps(shown, indent=2) if options.json else table(rows)) + "\n")
    return int(not all(row.reproduced for row in rows))


if __name__ == "__main__":
    sys.exit(main())
