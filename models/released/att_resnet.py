"""Att-MS-ResNet's checkpoints (Att-Res-SNN), theirs to ours: a bare state dict with keys ``module.*``, saved under DDP.

| name           | released class, Att_Res_SNN/models/resnet_2.py | blocks a stage | T               |
|----------------|------------------------------------------------|----------------|-----------------|
| att-resnet18   | resnet18()  (B, 3, 224, 224)                   | 2, 2, 2, 2     | 1, or 4         |
| att-resnet34   | resnet34()                                     | 3, 4, 6, 3     | (``time_window``|
| att-resnet104  | resnet104()                                    | 3, 8, 32, 8    | in the code)    |

Neuron N3: mem_update, .25 (1 - s) m + x, > .5, to 0. ``batch_norm_2d.bn`` is a BatchNorm3d over (C, T): our BatchNorm2d.
No weight has T in its shape. Yao et al., TPAMI 45(8), 2023; github.com/BICLab/Attention-SNN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikewright.models.released.table import CHANNEL_MLP, SPACE_KERNEL, Released, Row, table

STAGES: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 104: (3, 8, 32, 8)}
"""Blocks of the four stages, by depth; the first of each halves the sides."""
IMAGES = "images of 224 x 224 pixels, scaled to [0, 1], less (.485, .456, .406), divided by (.229, .224, .225)"


def _block(ours: str, theirs: str, first: bool) -> tuple[Row, ...]:
    function = f"{theirs}.residual_function"
    lines = f"""
        {function}.1            {ours}.conv1
        {function}.2.bn         {ours}.bn1
        {function}.4            {ours}.conv2
        {function}.5.bn         {ours}.bn2
    """
    if first:
        lines += f"""
        {theirs}.shortcut.1     {ours}.shortcut.1
        {theirs}.shortcut.2.bn  {ours}.shortcut.2
        """
    return table(
        lines,
        Row(f"{ours}.attention", (f"{function}.6.attention.ca",), CHANNEL_MLP),
        Row(f"{ours}.attention", (f"{function}.6.attention.sa",), SPACE_KERNEL),
    )


def _rows(arguments: Mapping[str, Any]) -> tuple[Row, ...]:
    rows = [*table("conv1.0 stem.0\nconv1.1.bn stem.1\nfc fc")]
    number = 0
    for stage, count in enumerate(STAGES[arguments["depth"]], start=2):
        for i in range(count):
            rows += _block(f"blocks.{number}", f"conv{stage}_x.{i}", i == 0)
            number += 1
    return tuple(rows)


NETS = tuple(
    Released(
        f"att-resnet{depth}",
        "ma",
        "code",
        f"Att-Res-SNN, Yao et al., TPAMI 45(8):9393, 2023, released code: Att_Res_SNN resnet_2.py resnet{depth}()",
        "ms_resnet_imagenet",
        {"depth": depth, "attention": "csa"},
        1,
        "imagenet",
        "direct",
        rows=_rows,
        assumed=(f"T = 1, if --timesteps is not given (the code's time_window; no weight says it); {IMAGES}",),
    )
    for depth in STAGES
)
