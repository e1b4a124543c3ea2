"""TCJA-SNN's checkpoints, theirs to ours: ``{'net': ...}`` of ``torch.save``, the TET net a bare state dict.

| name                | released class (input)                         | T  | neuron                                        |
|---------------------|------------------------------------------------|----|-----------------------------------------------|
| tcja-dvs128         | src/dvs128.py CextNet (B, T, 2, 128, 128)      | 20 | N5: tau 2, input decayed, >= 1, to 0          |
| tcja-cifar10dvs     | src/cifar10dvs.py VGGNet (B, T, 2, 128, 128)   | 10 | N5                                            |
| tcja-ncaltech101    | src/caltech101.py CextNet (B, T, 2, 180, 240)  | 14 | N5                                            |
| tcja-cifar10dvs-tet | src/tet VGGSNN_TCJA (B, T, 2, 48, 48)          | 10 | N4: LIFSpike, m = m / 2 + x, > 1, to 0        |

The released folder's SpikingJelly keeps a container's layers as ``conv.0.0``, an older one as ``conv.0.module.0``.
A net whose first convolution has another number of channels is taken with all of them in that proportion.
``conv.weight`` (T, T, k) slides over channels and is our ``cla``; ``conv_c.weight`` (C, C, k) slides over time: ``tla``.
Zhu et al., IEEE TNNLS, 2024; github.com/ridgerchu/TCJA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spikewright.models.released.table import Released, Row, Shapes, table

_ATTENTION: Mapping[str, str] = {"conv.weight": "cla", "conv_c.weight": "tla"}
_ATTENTION_TET: Mapping[str, str] = {"conv.0.weight": "cla", "conv_c.weight": "tla"}

_CEXT = table(
    """
    conv.0.0|conv.0.module.0        layers.0
    conv.0.1|conv.0.module.1        layers.1
    conv.3.0|conv.3.module.0        layers.4
    conv.3.1|conv.3.module.1        layers.5
    conv.6.0|conv.6.module.0        layers.8
    conv.6.1|conv.6.module.1        layers.9
    conv.9.0|conv.9.module.0        layers.12
    conv.9.1|conv.9.module.1        layers.13
    conv.13.0|conv.13.module.0      layers.17
    conv.13.1|conv.13.module.1      layers.18
    fc.2.0|fc.2.module              layers.24
    fc.5.0|fc.5.module              layers.27
""",
    Row("layers.15", ("conv.11",), _ATTENTION),
    Row("layers.20", ("conv.15",), _ATTENTION),
)

_CIFAR10_DVS = table(
    """
    conv.1.0|conv.1.module.0        layers.1
    conv.1.1|conv.1.module.1        layers.2
    conv.3.0|conv.3.module.0        layers.4
    conv.3.1|conv.3.module.1        layers.5
    conv.6.0|conv.6.module.0        layers.8
    conv.6.1|conv.6.module.1        layers.9
    conv.8.0|conv.8.module.0        layers.11
    conv.8.1|conv.8.module.1        layers.12
    conv.11.0|conv.11.module.0      layers.15
    conv.11.1|conv.11.module.1      layers.16
    conv.13.0|conv.13.module.0      layers.18
    conv.13.1|conv.13.module.1      layers.19
    conv.17.0|conv.17.module.0      layers.23
    conv.17.1|conv.17.module.1      layers.24
    conv.19.0|conv.19.module.0      layers.26
    conv.19.1|conv.19.module.1      layers.27
    fc.1.0|fc.1.module              layers.32
""",
    Row("layers.21", ("conv.15",), _ATTENTION),
    Row("layers.29", ("conv.21",), _ATTENTION),
)

_CIFAR10_DVS_TET = table(
    """
    features.0.fwd.module.0     layers.0
    features.0.fwd.module.1     layers.1
    features.1.fwd.module.0     layers.3
    features.1.fwd.module.1     layers.4
    features.4.fwd.module.0     layers.8
    features.4.fwd.module.1     layers.9
    features.5.fwd.module.0     layers.11
    features.5.fwd.module.1     layers.12
    features.7.fwd.module.0     layers.15
    features.7.fwd.module.1     layers.16
    features.8.fwd.module.0     layers.18
    features.8.fwd.module.1     layers.19
    features.10.fwd.module.0    layers.22
    features.10.fwd.module.1    layers.23
    features.11.fwd.module.0    layers.25
    features.11.fwd.module.1    layers.26
    classifier.module           layers.30
""",
    Row("layers.6", ("features.2",), _ATTENTION_TET),
)


def _width(row: Row, channels: int) -> Callable[[Shapes], Mapping[str, Any]]:
    """Return what the first convolution says of a net that was made wider or narrower than the released one."""

    def decides(shapes: Shapes) -> Mapping[str, Any]:
        found = next((shapes[key] for path in row.theirs if (key := f"{path}.weight") in shapes), ())
        return {"width": found[0] / channels} if found and 0 < found[0] != channels else {}

    return decides


def _net(
    name: str,
    rows: tuple[Row, ...],
    where: str,
    plan: str,
    timesteps: int,
    dataset: str,
    clock: str,
    channels: int = 64,
    **card: Any,
) -> Released:
    return Released(
        name,
        "tcja",
        "published",
        f"TCJA, Zhu et al., IEEE TNNLS, 2024, released code: {where}",
        "tcja",
        {"plan": plan},
        timesteps,
        dataset,
        "count",
        rows=lambda _arguments: rows,
        decides=_width(rows[0], channels),
        clock=(clock,),
        **card,
    )


NETS = (
    _net("tcja-dvs128", _CEXT, "dvs128.py CextNet", "dvs128", 20, "dvs128gesture", "conv.11.conv.weight", 128),
    _net("tcja-cifar10dvs", _CIFAR10_DVS, "cifar10dvs.py VGGNet", "cifar10-dvs", 10, "cifar10-dvs", "conv.15.conv.weight"),
    _net(
        "tcja-cifar10dvs-tet", _CIFAR10_DVS_TET, "tet VGGSNN_TCJA", "cifar10-dvs-tet", 10, "cifar10-dvs",
        "features.2.conv.0.weight", side=48,
        assumed=(
            "frames of 48 x 48: the released code shrinks pictures of 128 x 128 by interpolation, our loader counts "
            "the events of larger pixels",
        ),
    ),
    _net("tcja-ncaltech101", _CEXT, "caltech101.py CextNet", "n-caltech101", 14, "n-caltech101", "conv.11.conv.weight"),
)  # fmt: skip
