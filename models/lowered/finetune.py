r"""Fine-tune a deployment: train the lowered graph as the chip computes it, and deploy it again by the ordinary pipeline.

    loss(answers of the integers, labels) + silence * sum over layers of what biases drive above the margin

Every step is quantized anew by the pass that deploys, so that the net learns with the very integers it will have; gradients go
straight through to the float arrays. The outcome is a deployment like any other: its captured net is the host's part and the
trained graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikewright.models.errors import RecipeError
from spikewright.models.lowered.chip_net import ChipNet, untrained
from spikewright.models.lowered.float_net import FloatNet, Seen
from spikewright.models.lowered.tuning import TunedLoss, Tuning
from spikewright.models.train.losses import loss_of
from spikewright.models.train.optimizers import Plateau, rate_factor
from spikewright.models.train.silence import excess
from spikewright.toolchain.api import CALIBRATION_SAMPLES
from spikewright.toolchain.calibration import observe
from spikewright.toolchain.data_sets import load_split
from spikewright.toolchain.deployment import Data, Deployment, given
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.integer import IntNeuron, answer_of, source_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import OUTLIER_LIMIT
from spikewright.toolchain.losses import second_projections
from spikewright.toolchain.ops import Input, Op, Output
from spikewright.toolchain.options import with_options
from spikewright.toolchain.pipeline import deploy_graph, quantizer
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.shapes import shapes


@dataclass(frozen=True)
class TunedEpoch:
    """What an epoch reports: its number from 1, of how many, mean loss, share of training samples that were right."""

    number: int
    of: int
    loss: float
    accuracy: float


def finetune(
    made: Deployment,
    data: Data | None = None,
    y: Any = None,
    *,
    folder: str | Path | None = None,
    tuning: Tuning | None = None,
    on_epoch: Callable[[TunedEpoch], None] = lambda _: None,
    command: str = "",
    **changes: Any,
) -> Deployment:
    """Train what runs on the chip, and deploy it again.

    Args:
        made: A deployment, of a torch module, a NIR graph, any file: no module is needed.
        data: Training samples in the net's own coding, with labels: ``Samples``, an array (T, B, *shape), a ``FILE.npz``, or
            the name of a data set, whose train split is taken; None: the model card's data set.
        y: Class numbers (B,), where ``data`` is an array.
        folder: Folder of the data set.
        tuning: Epochs, rate, silence; or as keywords: ``finetune(made, x, y, epochs=5)``.
        on_epoch: Told after every epoch.
        command: The command that makes the same, to be recorded.
        changes: Fields of ``Tuning``.

    Raises:
        ToolchainError: The net cannot be trained, or the data does not fit it.
    """
    how = with_options(Tuning, {**vars(tuning or Tuning()), **changes}, "a fine-tuning")
    _check(made, how)
    samples = _training(made, data, y, folder)
    tuner = _Tuner(made, samples, how)
    for number in range(1, how.epochs + 1):
        on_epoch(tuner.epoch(number))
    lowered = tuner.net.updated()
    notes = (*_kept_notes(made), _note(samples, how))
    card = {k: v for k, v in made.card.items() if k not in ("accuracy", "accuracy_per_seed", "spike_rate")}
    again = deploy_graph(
        joined(made, lowered),
        replace(made.options, gates="auto", streams="auto", timesteps=None),
        tuner.calibration,
        name=made.name,
        card=card,
        samples=made.samples,
        diagnostics=notes,
    )
    return replace(again, command=command)


def _check(made: Deployment, how: Tuning) -> None:
    if made.drift is None:
        raise InputError(
            "its model came as integers: there are no real numbers behind them to train",
            where=made.name,
            help="fine-tune the float net that it was made from",
        )
    for op in made.integer:
        if isinstance(op, IntNeuron) and (why := untrained(op)):
            raise InputError(
                f"{type(op.soma).__name__} {op.name!r} cannot be trained: {why}",
                where=made.name,
                help="deploy it with gates that can be trained (--gates static, or causal), or train the model itself",
            )
    for name, least in (("epochs", 1), ("batch", 1), ("silence", 0), ("draw", 0)):
        if getattr(how, name) < least:
            raise InputError(f"{getattr(how, name)}; at least {least}", where=f"--{name}", help=f"give {least} or more")


def _training(made: Deployment, data: Data | None, y: Any, folder: str | Path | None) -> Samples:
    """Return the training samples.

    Raises:
        InputError: There are none, they have no labels, or do not fit the net.
    """
    if data is None:
        data = made.card.get("dataset")
        if not data:
            raise InputError(
                "the model names no data set to train on", where=made.name, help="give training data: x, y or FILE.npz"
            )
    if isinstance(data, str) and not data.endswith(".npz"):
        root = None if folder is None else Path(folder)
        found = load_split(data, made.card, timesteps=made.captured.timesteps, split="train", data=root)
    else:
        found = given(data, y)
    made.check_input(found.x)
    if found.y is None:
        raise InputError("there are no labels", where="training data", help="give y, the class numbers (B,)")
    classes = int(np.prod(_answer_shape(made)))
    if found.y.min() < 0 or found.y.max() >= classes:
        raise InputError(
            f"class numbers run from {found.y.min()} to {found.y.max()}; the net answers {classes}",
            where="training data",
            help=f"give class numbers 0 .. {classes - 1}",
        )
    return found


def _answer_shape(made: Deployment) -> tuple[int, ...]:
    return shapes(made.lowered)[made.lowered.output.name]


def _kept_notes(made: Deployment) -> tuple[Diagnostic, ...]:
    """Return what was assumed of the model: what its quantizing lost is found anew."""
    return tuple(one for one in made.diagnostics if one.severity == "assumption" or one.code == "fine-tuned")


def _note(samples: Samples, how: Tuning) -> Diagnostic:
    numbers = "the chip's integers" if how.numbers == "int" else "real numbers"
    silence = f", silence {how.silence:g}" if how.silence else ""
    what = f"its arrays were trained further with {numbers}: {how.epochs} epochs on {samples.source}, "
    what += f"rate {how.rate:g}{silence}"
    return Diagnostic("fine-tuned", "net", what, "", "note")


def refined(integer: Graph) -> dict[str, float]:
    """Return which layers have second projections, of all rows or of those with outliers: see ``Quantize.refine``."""
    return {one.layer: OUTLIER_LIMIT if one.rows < one.all_rows else 0.0 for one in second_projections(integer)}


def joined(made: Deployment, lowered: Graph) -> Graph:
    """Return the host's part and a lowered graph as one net."""
    if made.host is None:
        return lowered
    front: list[Op] = [op for op in made.host.graph if not isinstance(op, Output)]
    return lowered.with_ops([*front, *(op for op in lowered if not isinstance(op, Input))])


class _Tuner:
    """A fine-tuning under way."""

    def __init__(self, made: Deployment, samples: Samples, how: Tuning) -> None:
        self.made, self.samples, self.how = made, samples, how
        assert samples.y is not None
        self.y = torch.as_tensor(samples.y)
        self.net = FloatNet(made.lowered)
        if not list(self.net.parameters()):
            raise RecipeError("has no array to train", where=made.name, help="its maps only route and count")
        self.refine = refined(made.integer)
        drawn = np.random.default_rng(made.options.seed).permutation(len(samples))[:CALIBRATION_SAMPLES]
        self.calibration = replace(samples, x=self._part(np.sort(drawn)), y=samples.y[np.sort(drawn)])
        self.sent = made.encode(self.calibration.x) * source_of(made.integer).scale
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=how.rate)
        self.order = torch.Generator().manual_seed(how.draw)
        counted = answer_of(made.integer).readout == "spikes"
        self.loss: TunedLoss = how.loss or ("mse-rate" if counted else "cross-entropy")
        self.steps = -(-len(samples) // how.batch)

    def _part(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return some of the samples; a frame that is repeated as a view stays one."""
        x = self.samples.x
        if x.shape[0] > 1 and x.strides[0] == 0:
            return np.broadcast_to(x[0][index], (x.shape[0], len(index), *x.shape[2:]))
        return x[:, index]

    def epoch(self, number: int) -> TunedEpoch:
        """Train once over the samples."""
        seen = observe(self.net.updated(), self.sent)
        self.step = quantizer(self.made.options, self.made.chip, self.made.input, seen, self.refine)
        order = torch.randperm(len(self.samples), generator=self.order)
        loss, right = 0.0, 0
        for at, index in enumerate(order.split(self.how.batch)):
            factor = rate_factor("warm-cosine", (number - 1) * self.steps + at, self.steps, self.how.epochs, Plateau())
            for group in self.optimizer.param_groups:
                group["lr"] = self.how.rate * factor
            one, answers = self._batch(index.numpy())
            loss += one * len(index)
            right += int((answers.argmax(1) == self.y[index]).sum())
        return TunedEpoch(number, self.how.epochs, loss / len(self.samples), right / len(self.samples))

    def _batch(self, index: NDArray[np.int64]) -> tuple[float, Tensor]:
        payloads = torch.as_tensor(self.made.encode(self._part(index)))
        run = self._runner()
        answers = run(payloads, silent=False).answers
        loss = loss_of(self.loss, answers, self.y[index])
        if self.how.silence > 0:
            quiet = run(torch.zeros_like(payloads[:, :1]), silent=True)
            loss = loss + self.how.silence * sum((excess(peak) for peak in quiet.peaks.values()), torch.zeros(()))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach()), answers.detach()

    def _runner(self) -> Callable[..., Seen]:
        """Return what runs payloads with the arrays as they are now."""
        if self.how.numbers == "int":
            return ChipNet(self.net, self.step(self.net.updated())).run
        scale = source_of(self.made.integer).scale
        return lambda payloads, silent: self.net.run(payloads * scale, silent=silent)
