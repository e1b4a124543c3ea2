"""A convolution's shared kernel: one event adds one run of weights per row of targets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.compiled import synapse_kernels, vectors
from spikewright.hw_sim.compiled.tables import padded
from spikewright.hw_sim.jit import Threads
from spikewright.hw_sim.linear import planar
from spikewright.hw_sim.program import Population
from spikewright.hw_sim.synapses import ConvSynapses

AnyInt = NDArray[Any]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ConvKernel:
    """A shared kernel, ``weight`` (Ci, kh, kw, Co // groups); ``payload`` is the largest message it is given."""

    weight: AnyInt
    source_hw: tuple[int, int]
    target_hw: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    channels: tuple[int, int, int]
    payload: int = 1 << 62

    def add(self, x: AnyInt, drive: AnyInt, threads: Threads) -> None:
        """Add the input of events ``x`` (R, n_source) to ``drive`` (R, n_target)."""
        table, geometry, ci = self.table, self.geometry, self.channels[0]

        def piece(a: int, b: int) -> None:
            if table.size:
                synapse_kernels.conv(x, x.itemsize == 1, table, geometry, ci, drive, a, b)
            else:
                synapse_kernels.conv_grouped(
                    x, self.weight, drive, self.source_hw, self.target_hw, self.stride, self.padding, self.dilation,
                    self.channels, a, b,
                )  # fmt: skip

        threads.split(piece, x.shape[0], x.size + drive.size)

    @cached_property
    def table(self) -> AnyInt:
        """The kernel (phases * Ci, rows * columns * Co padded) by phase ``(y + padding) mod stride`` of the source pixel.

        Rows and columns are reversed, so that what one event adds is one run. Empty for groups or dilation.
        """
        ci, kh, kw, co = self.weight.shape
        if self.channels[2] != 1 or self.dilation != (1, 1):
            return self.weight[:0, 0, 0]
        down, right = self.stride
        runs = np.zeros((down, right, ci, -(-kh // down) * -(-kw // right) * co), self.weight.dtype)
        for y in range(min(down, kh)):
            for x in range(min(right, kw)):
                part = self.weight[:, y::down, x::right][:, ::-1, ::-1].reshape(ci, -1)
                runs[y, x, :, : part.shape[1]] = part
        peak = int(np.abs(runs.astype(np.int64)).sum(axis=2).max(initial=0)) * self.payload
        return padded(runs.reshape(-1, runs.shape[3]), peak)

    @cached_property
    def geometry(self) -> Index:
        """Where the run of a source pixel goes (pixels, 8).

        Columns: table row of its phase less that of its first channel; padded length; first target, step between target
        rows; first entry of the run, step between its rows; number of rows; length of each.
        """
        ci, co, _ = self.channels
        _, kh, kw, _ = self.weight.shape
        lane = vectors.lanes(self.table.itemsize)
        y, x = (axis.ravel() for axis in np.indices(self.source_hw))
        (bottom, phase_y), (last, phase_x) = (
            np.divmod(at + pad, step) for at, pad, step in zip((y, x), self.padding, self.stride, strict=True)
        )
        rows, columns = (
            np.maximum((size - 1 - phase) // step + 1, 0)
            for size, phase, step in zip((kh, kw), (phase_y, phase_x), self.stride, strict=True)
        )
        (top, down), (left, right) = (
            (np.maximum(end - count + 1, 0), np.minimum(end, size - 1) + 1)
            for end, count, size in zip((bottom, last), (rows, columns), self.target_hw, strict=True)
        )
        length, runs = np.maximum(right - left, 0) * co, np.maximum(down - top, 0)
        skipped = (top - (bottom - rows + 1)) * columns + left - (last - columns + 1)
        pixel = np.arange(y.size)
        return np.stack(
            (
                (phase_y * self.stride[1] + phase_x) * ci - pixel * ci,
                -(-(rows * columns * co) // lane) * lane,
                (top * self.target_hw[1] + left) * co,
                np.full_like(pixel, self.target_hw[1] * co),
                skipped * co,
                columns * co,
                np.where(length > 0, runs, 0),
                length,
            ),
            axis=1,
        ).astype(np.int64)


def prepare_conv(conv: ConvSynapses, source: Population, target: Population) -> ConvKernel:
    """Bring a convolution into internal order (weights still int64)."""
    co, per_group, kh, kw = conv.weight.shape
    grouped = conv.weight.reshape(conv.groups, co // conv.groups, per_group, kh, kw).transpose(0, 2, 3, 4, 1)
    weight = np.ascontiguousarray(grouped.reshape(source.shape[0], kh, kw, co // conv.groups), np.int64)
    return ConvKernel(
        weight,
        source_hw=planar(source.shape)[1:],
        target_hw=planar(target.shape)[1:],
        stride=_pair(conv.stride),
        padding=_pair(conv.padding),
        dilation=_pair(conv.dilation),
        channels=(source.shape[0], co, conv.groups),
    )


def _pair(value: tuple[int, int]) -> tuple[int, int]:
    return int(value[0]), int(value[1])
