"""torch.nn: what its own layers are here; they need no row to be found, the table says what is taken.

Layers take frames: time and batch in front, in any order, merged or not. A subclass is looked into, not taken by its name.
"""

from __future__ import annotations

from spikewright.export.foreign.registry import Row, Table

_TAKEN = {
    "Conv2d": ("y = W * x + b, zero padded, any stride, dilation, groups", "nir.Conv2d"),
    "Conv1d": ("y = W * x + b over (C, L), zero padded, any stride, dilation, groups", "nir.Conv1d"),
    "Linear": ("y = W x + b", "nir.Affine, nir.Linear"),
    "BatchNorm1d": ("y = w (x - mean) / sqrt(var + eps) + b, running statistics", "nirx.BatchNorm"),
    "BatchNorm2d": ("y = w (x - mean) / sqrt(var + eps) + b, running statistics", "nirx.BatchNorm"),
    "BatchNorm3d": ("the same over (B, C, T, H, W)", "nirx.BatchNorm"),
    "AvgPool2d": ("mean of windows", "nir.AvgPool2d"),
    "AvgPool1d": ("votes: mean of neighbouring outputs, kernel = stride", "nir.Linear"),
    "AdaptiveAvgPool2d": ("mean of windows, where the size divides the input's", "nir.AvgPool2d"),
    "MaxPool2d": ("maximum of windows", "nirx.MaxPool2d"),
    "ReLU": ("max(x, 0)", "nirx.Relu"),
    "Flatten": ("features in one axis", "nir.Flatten"),
    "Dropout": ("nothing, in evaluation mode", "-"),
    "Identity": ("nothing", "-"),
}
_REFUSED = {
    "RNN": "a recurrence of real values",
    "LSTM": "a recurrence of real values",
    "GRU": "a recurrence of real values",
    "MultiheadAttention": "a product of two signals",
}

TABLE = Table(
    "torch.nn",
    (*(Row(f"torch.nn.modules.*.{n}", None, why, kind="layer") for n, why in _REFUSED.items()),),
    "taken without a row: " + ", ".join(_TAKEN),
)
TAKEN = _TAKEN
"""Layer -> (equation, NIR node)."""
