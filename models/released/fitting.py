"""Fit a file's tensors into one of our nets by its table; whatever does not fit is named, key by key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spikewright.models.errors import CheckpointError
from spikewright.models.released.names import RELEASED
from spikewright.models.released.reading import StateDict, shown
from spikewright.models.released.table import Released, Row, Shapes

if TYPE_CHECKING:
    from torch import Tensor

COUNTER = "num_batches_tracked"
EXTRA_STATE = "_extra_state"
NO_WEIGHTS = (EXTRA_STATE, "total_ops", "total_params")
"""What modules keep that is no weight: their own state, and the counts that thop leaves in a net it has measured."""
VTH = "Vth"
"""Buffer of GAC's ``tdBatchNorm``: its y is Vth w (x - mean) / sqrt(var + eps) + b."""
SHOWN = 40
"""Keys of a kind that an error lists."""


@dataclass
class _Misfits:
    """What does not fit, a line each."""

    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield a line for each misfit, kind by kind, those beyond ``SHOWN`` as a count."""
        for kind, found in vars(self).items():
            yield from (f"  {kind} {line}" for line in found[:SHOWN])
            if len(found) > SHOWN:
                yield f"  {kind} {len(found) - SHOWN} more"

    def count(self) -> str:
        """Return how many there are of each kind."""
        return ", ".join(f"{len(found)} {kind}" for kind, found in vars(self).items() if found)


def fit(net: Released, rows: Sequence[Row], expected: Shapes, state: StateDict, where: str) -> dict[str, Tensor]:
    """Return our net's tensors by their names, float32 and of the expected shapes.

    Raises:
        CheckpointError: Keys are missing, left over or misshapen, copies of a tensor differ, or values are not usable.
    """
    misfits, taken, fitted = _Misfits(), set[str](), dict[str, "Tensor"]()
    for row in rows:
        for leaf, name in row.leaves.items():
            ours = f"{row.ours}.{name}"
            if ours not in expected:
                continue
            keys = [key for path in row.theirs if (key := f"{path}.{leaf}") in state.tensors]
            taken.update(keys)
            if not keys:
                if name != COUNTER:
                    misfits.missing.append(f"{shown(f'{row.theirs[0]}.{leaf}')}: our {ours} {expected[ours]}")
                continue
            value = _fitted(keys, ours, expected[ours], state.tensors, misfits)
            if value is not None:
                fitted[ours] = value
        _scale_by_vth(row, state.tensors, taken, fitted, misfits)
    _find_surplus(state, taken, misfits)
    if misfits.count():
        raise CheckpointError(
            "\n".join([f"the file does not fit {net.name}: {misfits.count()}", *misfits.lines()]),
            where=where,
            help=_advice(net, state, misfits),
        )
    return _with_counters(fitted, expected)


def _fitted(
    keys: Sequence[str], ours: str, expected: tuple[int, ...], tensors: Mapping[str, Tensor], misfits: _Misfits
) -> Tensor | None:
    """Return the tensor of one or more equal copies, in our shape; None, and noted, where it does not fit."""
    import torch

    for key in keys:
        shape = tuple(tensors[key].shape)
        trailing = shape[len(expected) :]
        if shape[: len(expected)] != expected or any(side != 1 for side in trailing):
            misfits.misshapen.append(f"{shown(key)} {shape}: our {ours} {expected}")
            return None
        if (reason := _unusable(tensors[key], ours)) is not None:
            misfits.unfit.append(f"{shown(key)}: {reason}")
            return None
    first = tensors[keys[0]]
    if different := [key for key in keys[1:] if not torch.equal(tensors[key], first)]:
        misfits.unequal.append(f"{shown(keys[0])}, of which {', '.join(map(shown, different))} must be a copy")
        return None
    dtype = torch.int64 if ours.endswith(COUNTER) else torch.float32
    value = first.detach().to(dtype).reshape(expected).contiguous()
    low, high = map(float, torch.aminmax(value)) if value.numel() else (0.0, 0.0)  # not finite where one value is not
    if not math.isfinite(low) or not math.isfinite(high):
        misfits.unfit.append(f"{shown(keys[0])}: {int((~torch.isfinite(value)).sum())} values are not finite")
        return None
    if low < 0.0 and ours.endswith("running_var"):
        misfits.unfit.append(f"{shown(keys[0])}: {int((value < 0).sum())} variances are below 0")
        return None
    return value


def _unusable(tensor: Tensor, ours: str) -> str | None:
    """Return why a tensor cannot be a weight of ours, or None."""
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return f"a {tensor.layout} tensor, quantized or without values; expected a dense one"
    counts = ours.endswith(COUNTER)
    if counts == (not tensor.is_floating_point()) and not tensor.is_complex():
        return None
    return f"values of {tensor.dtype}; expected {'whole' if counts else 'floating point'} numbers"


def _scale_by_vth(
    row: Row, tensors: Mapping[str, Tensor], taken: set[str], fitted: dict[str, Tensor], misfits: _Misfits
) -> None:
    """Multiply a norm's weight by its ``Vth``, where the file has one."""
    import torch

    keys = [key for path in row.theirs if (key := f"{path}.{VTH}") in tensors]
    weight = f"{row.ours}.weight"
    if not keys or f"{row.ours}.running_var" not in fitted or weight not in fitted:
        return
    taken.update(keys)
    vth = tensors[keys[0]]
    if vth.numel() != 1 or not vth.is_floating_point() or not torch.isfinite(vth).all():
        misfits.unfit.append(f"{shown(keys[0])} {tuple(vth.shape)}: expected one number")
    elif different := [key for key in keys[1:] if not torch.equal(tensors[key], vth)]:
        misfits.unequal.append(f"{shown(keys[0])}, of which {', '.join(map(shown, different))} must be a copy")
    else:
        fitted[weight] = fitted[weight] * vth.reshape(()).to(torch.float32)


def _find_surplus(state: StateDict, taken: set[str], misfits: _Misfits) -> None:
    for key, value in state.tensors.items():
        if key not in taken and key.rpartition(".")[2] not in NO_WEIGHTS:
            misfits.surplus.append(f"{shown(key)} {tuple(value.shape)}")
    misfits.surplus += [f"{shown(key)}, no tensor" for key in state.others if key.rpartition(".")[2] not in NO_WEIGHTS]


def _with_counters(fitted: dict[str, Tensor], expected: Shapes) -> dict[str, Tensor]:
    """Add the batch counters that old files lack; they do not act when a net is run."""
    import torch

    lacking = [name for name in expected if name not in fitted]
    if any(not name.endswith(COUNTER) for name in lacking):
        raise AssertionError(f"the table does not name {lacking}")
    return fitted | {name: torch.zeros((), dtype=torch.int64) for name in lacking}


def _advice(net: Released, state: StateDict, misfits: _Misfits) -> str:
    """Return the name whose table knows most of the file's keys, if it is another; else what to look at."""
    best = max(RELEASED.values(), key=lambda other: (known_keys(other, state), other is net))
    if best is not net:
        return f"most of its keys are those of --as {best.name}"
    if any("running_" in line for line in misfits.missing):
        return "batch norm without running statistics (track_running_stats=False) normalises by the batch, and cannot be taken"
    if misfits.misshapen and not (misfits.missing or misfits.surplus):
        return f"the net was made with other sizes than {net.name} has in the released code"
    return "give a state dict of the class as released: " + net.provenance.rpartition(": ")[2]


def known_keys(net: Released, state: StateDict) -> int:
    """Return how many of a file's tensors a table has a place for."""
    shapes = {key: tuple(value.shape) for key, value in state.tensors.items()}
    rows = net.rows({**net.arguments, **net.decides(shapes)})
    return sum(f"{path}.{leaf}" in shapes for row in rows for path in row.theirs for leaf in row.leaves)
