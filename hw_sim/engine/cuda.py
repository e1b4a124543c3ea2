"""The engine's CUDA path: drives and LIF scans of feed-forward populations, the same integers as on the processor.

Messages go to the device and come back once a population and block of timesteps; drives stay there. What steps through time
in short blocks (recurrent groups), ``DeltaRelu``, ``Gate``, counters and times stay on the processor.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numba.core.errors import NumbaPerformanceWarning
from numpy.typing import NDArray

from spikewright.hw_sim.compiled.conv import ConvKernel
from spikewright.hw_sim.compiled.stages import Compiled, Stage
from spikewright.hw_sim.compiled.synapses import Compiled as Synapses
from spikewright.hw_sim.compiled.synapses import DenseRows, Diagonal, SparseLists
from spikewright.hw_sim.engine import cuda_kernels
from spikewright.hw_sim.engine.cuda_kernels import cuda
from spikewright.hw_sim.errors import ProgramError
from spikewright.hw_sim.somas import Lif

AnyInt = NDArray[Any]
THREADS = 128
"""Threads of a block: four warps; the kernels share nothing, so any multiple of 32 gives the same integers."""


class Cuda:
    """One run's use of the current CUDA device; weights and parameters go there once.

    Raises:
        ProgramError: There is no CUDA device.
    """

    def __init__(self, compiled: Compiled) -> None:
        require()
        alone = {group.names[0] for group in compiled.groups if group.block == 0}
        self.names = {n for n in alone if type(compiled.stages[n].population.soma) is Lif}
        self.kept: dict[str, tuple[Any, ...]] = {}

    def drive(self, stage: Stage, values: list[AnyInt], shape: tuple[int, int, int]) -> Any:
        """Return the drive (T, B, n) on the device; ``values[k]`` (T, B, n_source) is what input k of the stage carries."""
        rows = shape[0] * shape[1]
        drive = _to_device(np.zeros((rows, shape[2]), stage.word))
        for item, x in zip(stage.inputs, values, strict=True):
            name = f"projection {item.projection.name}"
            if name not in self.kept:
                self.kept[name] = _arguments(item.synapses)
            kernel, *fixed = self.kept[name]
            _launch(kernel, rows * shape[2], _to_device(x.reshape(rows, x.shape[2])), *fixed, -item.shift, drive)
        return drive.reshape(*shape)

    def lif(
        self, stage: Stage, drive: Any, u: AnyInt, v: AnyInt, subtract: bool, floor: int, zeroing: tuple[int, int],
        levels: AnyInt, gate_index: AnyInt, gate_bits: int, refractory: int, hold: AnyInt, most: int, floored: bool,
        out: AnyInt, rec_u: AnyInt, rec_v: AnyInt, corner: tuple[int, int], saturated: AnyInt,
    ) -> None:  # fmt: skip
        """Do as ``soma_kernels.lif`` for all tasks; ``drive`` is on the device, all else in the host's memory."""
        steps, batch, n = drive.shape
        name = f"population {stage.population.name}"
        if name not in self.kept:
            self.kept[name] = (_to_device(stage.params),)
        recording = rec_u.shape[0] > 0
        room = (steps, batch, n) if recording else (1, 1, 1)
        states = [_to_device(a) for a in (u, v, hold)]
        sent = cuda.device_array(out.shape, out.dtype)
        records = [_to_device(np.zeros(room, rec.dtype)) for rec in (rec_u, rec_v)]
        counts = _to_device(np.zeros(2, np.int64))
        _launch(
            cuda_kernels.lif, batch * n, drive, states[0], states[1], *self.kept[name], subtract, floor, zeroing,
            gate_index.shape[0], _to_device(levels), _to_device(gate_index), gate_bits, refractory, states[2], most,
            floored, sent, recording, *records, counts,
        )  # fmt: skip
        for array, found in zip((u, v, hold, out), (*states, sent), strict=True):
            if array.size:
                array[...] = found.copy_to_host()
        saturated[0] += counts.copy_to_host()
        if recording:
            block = slice(corner[0], corner[0] + steps), slice(corner[1], corner[1] + batch)
            rec_u[block], rec_v[block] = (record.copy_to_host() for record in records)


def require() -> None:
    """Raise ``ProgramError`` unless numba finds a CUDA device.

    Raises:
        ProgramError: numba finds no CUDA device.
    """
    if not cuda.is_available():
        raise ProgramError(
            "device 'cuda': numba finds no CUDA device",
            where="simulate",
            help="install a CUDA driver and the extra spikewright[cuda], or use device='cpu'",
        )


def _arguments(synapses: Synapses) -> tuple[Any, ...]:
    """Return the kernel that gathers through synapses, and its arguments between the messages and the drive."""
    match synapses:
        case ConvKernel():
            sizes = (synapses.source_hw, synapses.target_hw, synapses.stride, synapses.padding, synapses.dilation)
            return cuda_kernels.conv, _to_device(synapses.weight), *sizes, synapses.channels
        case DenseRows():
            return cuda_kernels.dense, _to_device(synapses.weight)
        case SparseLists():
            return cuda_kernels.sparse, *(_to_device(a) for a in _by_target(synapses))
        case Diagonal():
            return cuda_kernels.diagonal, _to_device(synapses.weight)


def _by_target(lists: SparseLists) -> tuple[AnyInt, AnyInt, AnyInt]:
    """Return row pointers, sources and weights of the synapse lists of the targets."""
    sources = np.repeat(np.arange(lists.indptr.size - 1, dtype=np.int32), np.diff(lists.indptr))
    sort = np.argsort(lists.targets, kind="stable")
    indptr = np.zeros(lists.n_target + 1, np.int64)
    np.cumsum(np.bincount(lists.targets, minlength=lists.n_target), out=indptr[1:])
    return indptr, sources[sort], lists.weight[sort]


def _to_device(array: AnyInt) -> Any:
    """Copy to the device; an array without entries becomes one entry that no kernel reads."""
    solid = array if array.size else np.zeros((1,) * array.ndim, array.dtype)
    return cuda.to_device(np.ascontiguousarray(solid))


def _launch(kernel: Any, threads: int, *arguments: Any) -> None:
    """Run a kernel over at least ``threads`` threads; a small net leaves a large device idle, which is no fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        kernel[-(-threads // THREADS), THREADS](*arguments)
