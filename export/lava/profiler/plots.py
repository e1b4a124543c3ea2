"""The profiler's drawings, with matplotlib, which is imported when the first one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.profiler.run import ProfilerError

Values = Mapping[str, NDArray[Any]]


def lines(values: Values, labels: tuple[str, str], file: str | Path | None) -> Any:
    """Draw values over their index; return the figure, saved if a file is given."""
    figure, axes = _axes(labels)
    for name, y in values.items():
        axes.plot(np.arange(1, y.size + 1), y, label=name)
    return _done(figure, axes, file)


def bars(cores: NDArray[Any], values: Values, labels: tuple[str, str], file: str | Path | None) -> Any:
    """Draw values over cores, one row of axes for each; return the figure, saved if a file is given."""
    figure, axes = _axes(labels, len(values))
    for ax, (name, y) in zip(np.atleast_1d(axes), values.items(), strict=True):
        ax.bar(cores, y, label=name)
    return _done(figure, axes, file)


def _axes(labels: tuple[str, str], rows: int = 1) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ProfilerError(
            "matplotlib is not installed",
            where="plot",
            help="install it (`pip install matplotlib`), or read the attributes",
        ) from error
    figure = Figure(figsize=(10, 1.5 + 2.5 * rows), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True)
    for ax in np.atleast_1d(axes):
        ax.set_ylabel(labels[1])
    np.atleast_1d(axes)[-1].set_xlabel(labels[0])
    return figure, axes


def _done(figure: Any, axes: Any, file: str | Path | None) -> Any:
    for ax in np.atleast_1d(axes):
        ax.legend()
    if file is not None:
        figure.savefig(file)
    return figure
