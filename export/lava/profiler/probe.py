"""What all probes share: attaching in either of Lava's ways, the run once it is over, and the numbering of cores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.profiler.board import Board
from spikewright.export.lava.profiler.run import ProfilerError, SimulatedRun

Int = NDArray[np.int64]


class Probe:
    """Attaches to a board before a run and reads it after."""

    def __init__(self) -> None:
        self._board: Board | None = None
        self._found: SimulatedRun | None = None

    def attach(self, board: Board) -> None:
        """Watch a board (``pre_run_fxs``)."""
        self._board = board

    def get_results(self) -> None:
        """Read the board's run (``post_run_fxs``).

        Raises:
            ProfilerError: Nothing has run on it.
        """
        if self._board is None or self._board.run is None:
            raise self._unread()
        self.read(self._board.run)

    def pre_run_callback(self, board: Board, var_id_to_var_model_map: dict[Any, Any] | None = None) -> None:
        """Watch a board (``callback_fxs``)."""
        self.attach(board)

    def post_run_callback(self, board: Board, var_id_to_var_model_map: dict[Any, Any] | None = None) -> None:
        """Read the board's run (``callback_fxs``)."""
        self.attach(board)
        self.get_results()

    def read(self, run: SimulatedRun) -> None:
        """Take over a finished run."""
        self._found = run

    @property
    def simulated(self) -> SimulatedRun:
        """The run."""
        if self._found is None:
            raise self._unread()
        return self._found

    def _unread(self) -> ProfilerError:
        return ProfilerError(
            "has no run to read; nets of Lava processes built by hand are not simulated",
            where=type(self).__name__,
            help="attach it to the run_cfg of a netx.hdf5.Network of spikewright.export.lava.profiler and run that, "
            "or profile a bundle",
        )


class PerCore(Probe):
    """A probe with one value per core in use, in ascending order of chip and core."""

    @property
    def core_idx(self) -> Int:
        """Core on its chip. (cores,) in use."""
        return self.simulated.cores % self.simulated.chip.mesh.usable_cores_per_chip

    @property
    def chip_idx(self) -> Int:
        """Chip. (cores,) in use."""
        return self.simulated.cores // self.simulated.chip.mesh.usable_cores_per_chip

    def per_core(self, counter: Int) -> Int:
        """Return the sum of a counter (S, cores) over the steps, for the cores in use."""
        return np.asarray(counter.sum(axis=0)[self.simulated.cores], np.int64)
