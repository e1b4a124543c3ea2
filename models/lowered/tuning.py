"""How a deployment is fine-tuned: its options, each once, as a field; without torch, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spikewright.toolchain.options import option

TunedLoss = Literal["cross-entropy", "mse-rate"]


@dataclass(frozen=True)
class Tuning:
    """How a deployment is fine-tuned."""

    epochs: int = option(3, "passes over the training samples", kind=int, metavar="N")
    batch: int = option(64, "samples a step", kind=int, metavar="N")
    rate: float = option(1e-3, "peak of the learning rate (Adam, one epoch of warm-up, cosine)", kind=float, above=0)
    silence: float = option(0.0, "weight of the term that keeps neurons from firing without input", kind=float)
    numbers: Literal["int", "float"] = option(
        "int", "train with the chip's integers, or with the real numbers behind them", choices=("int", "float")
    )
    loss: TunedLoss | None = option(
        None,
        "of the answers (default: mse-rate for spikes that are counted, else cross-entropy)",
        choices=("cross-entropy", "mse-rate"),
    )
    draw: int = option(0, "seed of the order of the samples", kind=int, metavar="N")
