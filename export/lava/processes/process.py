"""Processes that stock Lava lacks; each neuron lives in windows of T steps, one a sample.

Local step t of sample b is chip step ``b * period + start + t``. Outside its windows a neuron takes input but neither
changes nor sends anything (gates hold 1.0). All grids are flat, in C order. Equations: ``hw_sim.somas``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort, RefPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from spikewright.export.lava.nodes import MAX_GATES
from spikewright.hw_sim.somas import Soma


class Net(AbstractProcess):
    """The whole net, one hierarchical process; ``plan`` says what is inside (``export.lava.plan``)."""

    def __init__(self, *, plan: Any) -> None:
        super().__init__(plan=plan)
        self.steps = Var(shape=(1,), init=0)


class Feed(AbstractProcess):
    """Send the payloads of an array file (samples, T, n), one step a step; zeros outside the windows."""

    def __init__(self, *, size: int, path: str, clock: dict[str, int]) -> None:
        super().__init__(size=size, path=path, clock=clock)
        self.s_out = OutPort(shape=(size,))
        self.tick = OutPort(shape=(1,))


class Anchor(AbstractProcess):
    """Hold several nets together: Lava runs one connected graph only, and drops or hangs the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.together = InPort(shape=(1,))


class Neuron(AbstractProcess):
    """Neurons of any soma model of the machine; its state starts at 0 in each window, and outside it sends what is idle.

    ``soma``: the model; ``gate_index``: for each gate port the flat gate element each neuron reads.
    """

    def __init__(
        self,
        *,
        size: int,
        clock: dict[str, int],
        soma: Soma,
        gate_sizes: tuple[int, ...],
        gate_index: tuple[Any, ...],
        files: dict[str, str],
    ) -> None:
        super().__init__(size=size, clock=clock, soma=soma, gate_sizes=gate_sizes, gate_index=gate_index, files=files)
        widths = (*gate_sizes, *(1,) * (MAX_GATES - len(gate_sizes)))
        self.a_in = InPort(shape=(size,))
        self.g0 = InPort(shape=(widths[0],))
        self.g1 = InPort(shape=(widths[1],))
        self.g2 = InPort(shape=(widths[2],))
        self.g3 = InPort(shape=(widths[3],))
        self.s_out = OutPort(shape=(size,))


class Delay(AbstractProcess):
    """Hand messages on ``steps`` steps later; sends before it receives, so a cycle through it never deadlocks."""

    def __init__(self, *, size: int, steps: int, initial: int) -> None:
        super().__init__(size=size, steps=steps, initial=initial)
        self.s_in = InPort(shape=(size,))
        self.s_out = OutPort(shape=(size,))
        self.line = Var(shape=(steps, size), init=np.full((steps, size), initial, np.int64))


class WideSynapses(AbstractProcess):
    """a = sum over k of (W_k x[t - k]) << exponent in 64-bit integers, one step later.

    For sums that stock Dense and Conv would truncate, and for synapses of different delays: W_k are those ``late`` by k steps,
    all in one process (stock DelayDense makes its matrix of all delays anew in every step).
    """

    def __init__(
        self, *, shape: tuple[int, int], rows: Any, columns: Any, weight: Any, late: Any, exponent: int
    ) -> None:
        super().__init__(shape=shape, rows=rows, columns=columns, weight=weight, late=late, exponent=exponent)
        self.s_in = InPort(shape=(shape[1],))
        self.a_out = OutPort(shape=(shape[0],))
        self.a_buff = Var(shape=(1 + int(np.max(late, initial=0)), shape[0]), init=0)


class Recorder(AbstractProcess):
    """Write down what a stock neuron sends, and its v and u after the step, in its windows."""

    def __init__(self, *, size: int, clock: dict[str, int], files: dict[str, str]) -> None:
        super().__init__(size=size, clock=clock, files=files)
        self.a_in = InPort(shape=(size,))
        self.v = RefPort(shape=(size,))
        self.u = RefPort(shape=(size,))
