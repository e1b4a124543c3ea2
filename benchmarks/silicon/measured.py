"""What was measured on silicon: PilotNet LIF on one Loihi 2 chip (board oheogulch), 10,000 steps.

Source: lava-dl 0.6.0 (BSD-3), tutorials/lava/lib/dl/netx/pilotnet_snn/benchmark.ipynb: its printed power and times, and its
plots of counters and step times, read off the picture (counters to about 2e6, 0.2 % of the busiest cores, more at the last
core of a layer, where the curve is steep).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FLOAT = NDArray[np.float64]

STEPS = 10_000
CORES = 74
"""Cores Intel's compiler used."""
TOTAL_W, STATIC_W = 0.679234, 0.232078
"""Power of the run, and of the idle chip."""
STEP_S = 1 / (408.91 * 16)
"""Mean time of a step: 408.91 samples of 16 steps a second, 152.85 us."""
DYNAMIC_J = (TOTAL_W - STATIC_W) * STEP_S
"""Mean dynamic energy of a step, 68.35 uJ; it holds the chip's embedded processors and IO too."""
PHASES_US = (201.3, 106.9, 180.8, 125.2)
"""Mean time of a step, which repeats with period 4, from its longest on."""
CONV2 = range(23, 36)
CONV2_FULL = range(23, 34)
"""Cores of the second convolution that hold four columns and can be read (the twelfth is in ``EDGES``, the last holds one)."""
EDGES = (16, 19, 34, 35)
"""Cores at the end of a layer, where the curve falls so steeply that its reading is none: equal cores read unequal."""
CONV3 = range(20, 23)


def counters(folder: Path) -> FLOAT:
    """Return the synaptic operations of each core in 10,000 steps; NaN where the curve cannot be read (about zero)."""
    rows = np.loadtxt(folder / "silicon" / "pilotnet_lif_loihi2_silicon.csv", delimiter=",")
    return np.asarray(rows[:, 1], np.float64)
