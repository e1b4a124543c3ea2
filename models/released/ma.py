"""MA-SNN's checkpoints, theirs to ours: a ``.t7`` file, ``{'net': ...}`` with keys ``module.*`` of DataParallel.

| name          | released class, MA_SNN/...                            | T (step)    | TA's, CA's reduction |
|---------------|-------------------------------------------------------|-------------|----------------------|
| ma-gesture    | DVSGestures/CNN/Networks Net (B, T, 2, 32, 32), 11    | 60 (25 ms)  | 5, 8                 |
| ma-gait       | DVSGait/CNN/Networks Net (B, T, 2, 128, 128), 21      | 8 (500 ms)  | 2, 8                 |
| ma-cifar10dvs | CIFAR10DVS/CNN/Networks Net (B, T, 2, 128, 128), 10   | 20 (10 ms)  | 2, 8                 |

Neuron N2: u = h + x, >= .3, h = .3 (.3 s + (1 - s) u). The config's ``attention`` (TCSA, TCA, TSA, CSA, TA, CA, SA, no) is
read off the keys: ``convAttLIF0.attention.ta``, ``.ca``, ``.sa``; fully connected layers have TA where T is among them.
Yao et al., TPAMI 45(8), 2023; github.com/BICLab/Attention-SNN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikewright.models.released.table import CHANNEL_MLP, SPACE_KERNEL, TIME_MLP, Released, Row, Shapes

POOLS = {"gesture": (1, 2, 2), "gait": (2, 2, 2, 2, 4), "cifar10-dvs": (2, 2, 2, 2, 4)}
"""Average pooling of every convolution: a layer of ours where it is above 1."""
_ASSUMED = (
    "spiking cells: the released code's LIAF nets (mode_select='mem') have the same keys, and are not what this net runs",
    "alpha .3, beta 0, Vthres .3: the released configs' constants, which a file does not hold",
)


def attention_dims(shapes: Shapes) -> Mapping[str, Any]:
    """Return which of T, C and S the first convolution attends to, or that it does not attend."""
    dims = "".join(
        dim
        for dim, module in (("T", "ta"), ("C", "ca"), ("S", "sa"))
        if any(key.startswith(f"convAttLIF0.attention.{module}.") for key in shapes)
    )
    return {"dims": dims} if dims else {"attention": False}


def attention_rows(ours: str, theirs: str, dims: str) -> tuple[Row, ...]:
    """Return the rows of one attention module of the released code."""
    modules = {"T": ("ta", TIME_MLP), "C": ("ca", CHANNEL_MLP), "S": ("sa", SPACE_KERNEL)}
    return tuple(Row(ours, (f"{theirs}.{modules[dim][0]}",), modules[dim][1]) for dim in dims)


def _rows(arguments: Mapping[str, Any]) -> tuple[Row, ...]:
    dims = arguments["dims"] if arguments.get("attention", True) else ""
    rows: list[Row] = []
    place = 0
    for i, pool in enumerate(POOLS[arguments["plan"]]):
        theirs = f"convAttLIF{i}"
        rows += [Row(f"layers.{place}", (f"{theirs}.conv2d",)), Row(f"layers.{place + 1}", (f"{theirs}.BNLayer",))]
        neuron = place + 2 + (pool > 1)
        rows += attention_rows(f"layers.{neuron}", f"{theirs}.attention", dims)
        place = neuron + 1
    place += 1  # Flatten
    for theirs in ("FC0", "FC1"):
        rows += [Row(f"layers.{place}", (f"{theirs}.linear",)), Row(f"layers.{place + 1}", (f"{theirs}.BNLayer",))]
        rows += attention_rows(f"layers.{place + 2}", f"{theirs}.attention", "T" if "T" in dims else "")
        place += 3
    return tuple(rows)


def _net(
    name: str, plan: str, timesteps: int, dataset: str, window_us: float, folder: str, side: int | None
) -> Released:
    return Released(
        name,
        "ma",
        "code",
        f"MA-SNN, Yao et al., TPAMI 45(8):9393, 2023, released code: MA_SNN/{folder} Net",
        "ma_event",
        {"plan": plan},
        timesteps,
        dataset,
        "time",
        rows=_rows,
        decides=attention_dims,
        clock=("convAttLIF0.attention.ta.sharedMLP.0.weight",),
        assumed=_ASSUMED,
        other="LIAF",
        side=side,
        window_us=window_us,
    )


NETS = (
    _net("ma-gesture", "gesture", 60, "dvs128gesture", 25_000.0, "DVSGestures", 32),
    _net("ma-gait", "gait", 8, "dvs128gait", 500_000.0, "DVSGait", None),
    _net("ma-cifar10dvs", "cifar10-dvs", 20, "cifar10-dvs", 10_000.0, "CIFAR10DVS", None),
)
