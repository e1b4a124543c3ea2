"""SpikingJelly's MA-SNN, ``activation_based.model.masnn.masnn_dvs128_gesture`` (T, B, 2, 32, 32): theirs to ours.

A bare state dict. Neuron N1: LIFNode(tau 10/7, decay_input False, v_threshold .3, v_reset 0), v = .3 v + x, >= .3, to 0,
unlike the authors', which resets to the threshold (see ``ma``). ``MultiDimensionalAttention`` is MA's TCSA with its ReLU;
the fully connected layers' ``TemporalWiseAttention`` is TA, and the net puts the ReLU behind it. T = 60.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikewright.models.released.ma import POOLS, attention_rows
from spikewright.models.released.table import TIME_MLP, Released, Row


def _rows(_arguments: Mapping[str, Any]) -> tuple[Row, ...]:
    rows: list[Row] = []
    place = 0
    for i, pool in enumerate(POOLS["gesture"]):
        theirs = f"conv_blocks.{i}"
        rows += [Row(f"layers.{place}", (f"{theirs}.conv",)), Row(f"layers.{place + 1}", (f"{theirs}.bn",))]
        neuron = place + 2 + (pool > 1)
        rows += attention_rows(f"layers.{neuron}", f"{theirs}.attn", "TCS")
        place = neuron + 1
    place += 1  # Flatten
    for i in range(2):
        theirs = f"fc_blocks.{i}"
        rows += [Row(f"layers.{place}", (f"{theirs}.linear",)), Row(f"layers.{place + 1}", (f"{theirs}.bn",))]
        rows.append(Row(f"layers.{place + 2}", (f"{theirs}.attn",), TIME_MLP))
        place += 3
    return tuple(rows)


NETS = (
    Released(
        "masnn",
        "ma",
        "code",
        "MA-SNN, Yao et al., TPAMI 45(8):9393, 2023, as in SpikingJelly 2.0: model.masnn masnn_dvs128_gesture",
        "ma_event",
        {"plan": "gesture", "neuron": "N1"},
        60,
        "dvs128gesture",
        "time",
        rows=_rows,
        clock=("conv_blocks.0.attn.ta.sharedMLP.0.weight",),
        assumed=(
            "SpikingJelly's default neuron (tau 10/7, v_threshold .3, v_reset 0), which a file does not hold",
            "frames of 25 ms, as MA-SNN's released code takes them",
        ),
        side=32,
        window_us=25_000.0,
    ),
)
