"""GAC's checkpoints, theirs to ours: bare state dicts; on CIFAR every convolution stands there twice, every norm four times.

| name           | released class                                 | T        | neuron                                     |
|----------------|------------------------------------------------|----------|--------------------------------------------|
| gac-cifar10    | CIFAR msresnet18(num_classes=10) (B, 3, 32, 32)| 6 (4, 2) | N4: LIFSpike, m = m / 2 + x, > 1, to 0     |
| gac-cifar100   | CIFAR msresnet18(num_classes=100)              | 6 (4, 2) | N4                                         |
| gac-imagenet18 | ImageNet resnet18() (B, 3, 224, 224)           | 4 (6)    | N3: mem_update, .25 (1 - s) m + x, > .5    |
| gac-imagenet34 | ImageNet resnet34()                            | 4 (6)    | N3                                         |

Their ``tdLayer(conv, bn)`` and ``tdBatchNorm`` (``bn`` beside ``seqbn``) register a module again: ``conv1.weight`` is
``conv1_s.layer.module.weight``. The ImageNet folder's ``tdBatchNorm``, a BatchNorm2d with a buffer ``Vth``, scales by it:
y = Vth w (x - mean) / sqrt(var + eps) + b; where the buffer stands in a file, w is Vth times theirs.
``using_GAC=False`` is read off the keys: no ``encoding``. Qiu et al., AAAI 38(1), 2024; github.com/bollossom/GAC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikewright.models.released.att_resnet import IMAGES, STAGES
from spikewright.models.released.table import TIME_MLP, Released, Row, Shapes

_PAPER = "GAC, Qiu et al., AAAI 38(1):601, 2024, released code"
_SPACE_CHANNEL: Mapping[str, str] = {"sharedMLP.0.weight": "conv0", "sharedMLP.2.weight": "conv1"}
_ENCODER = (
    Row("encoder", ("encoding.TA",), TIME_MLP),
    Row("encoder", ("encoding.SCA",), _SPACE_CHANNEL),
)
_LOGITS = Row("fc", ("fc1", "fc1_s.layer.module"))


def _norm(ours: str, *theirs: str) -> Row:
    """A ``tdBatchNorm``: of the CIFAR folder (``bn``, ``seqbn``), or of the ImageNet folder (the norm itself)."""
    return Row(ours, tuple(f"{path}{form}" for path in theirs for form in (".bn", ".seqbn.module", "")))


def _uses_gac(shapes: Shapes) -> Mapping[str, Any]:
    return {} if any(key.startswith("encoding.") for key in shapes) else {"attention": False}


def _cifar(arguments: Mapping[str, Any]) -> tuple[Row, ...]:
    rows = [Row("stem.0", ("conv1", "conv1_s.layer.module")), _norm("stem.1", "bn1", "conv1_s.bn"), _LOGITS]
    rows += _ENCODER if arguments.get("attention", True) else ()
    number = 0
    for stage, count in enumerate((3, 3, 2), start=1):
        for i in range(count):
            ours, theirs = f"blocks.{number}", f"layer{stage}.{i}"
            for n in (1, 2):
                rows.append(Row(f"{ours}.conv{n}", (f"{theirs}.conv{n}", f"{theirs}.conv{n}_s.layer.module")))
                rows.append(_norm(f"{ours}.bn{n}", f"{theirs}.bn{n}", f"{theirs}.conv{n}_s.bn"))
            if i == 0:
                rows.append(Row(f"{ours}.shortcut.0", (f"{theirs}.downsample.layer.module",)))
                rows.append(_norm(f"{ours}.shortcut.1", f"{theirs}.downsample.bn"))
            number += 1
    return tuple(rows)


def _imagenet(arguments: Mapping[str, Any]) -> tuple[Row, ...]:
    rows = [Row("stem.0", ("conv1.0",)), _norm("stem.1", "conv1.1"), *_ENCODER, _LOGITS]
    number = 0
    for stage, count in enumerate(STAGES[arguments["depth"]], start=2):
        for i in range(count):
            ours, theirs = f"blocks.{number}", f"conv{stage}_x.{i}"
            for n in (1, 2):
                rows += [Row(f"{ours}.conv{n}", (f"{theirs}.conv{n}",)), _norm(f"{ours}.bn{n}", f"{theirs}.bn{n}")]
            if i == 0:
                rows.append(Row(f"{ours}.shortcut.0", (f"{theirs}.shortcut.0",)))
                rows.append(_norm(f"{ours}.shortcut.1", f"{theirs}.shortcut.1"))
            number += 1
    return tuple(rows)


_CLOCK = ("encoding.TA.sharedMLP.0.weight",)

NETS = (
    *(
        Released(
            f"gac-cifar{classes}", "gac", "code", f"{_PAPER}: CODE/CIFAR msresnet18(num_classes={classes})",
            "gac_ms_resnet_cifar", {"classes": classes}, 6, f"cifar{classes}-normalized", "direct",
            rows=_cifar, decides=_uses_gac, clock=_CLOCK,
        )
        for classes in (10, 100)
    ),
    *(
        Released(
            f"gac-imagenet{depth}", "gac", "code", f"{_PAPER}: CODE/ImageNet resnet{depth}()",
            "ms_resnet_imagenet", {"depth": depth, "attention": "gac"}, 4, "imagenet", "direct",
            rows=_imagenet, clock=_CLOCK, assumed=(IMAGES,),
        )
        for depth in (18, 34)
    ),
)  # fmt: skip
