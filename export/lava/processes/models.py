"""Process models of our own processes, exact in int64.

Neurons run the ``step`` of the machine's somas: where that is wrong, Lava with our processes is wrong with it. The independent
oracle is stock Lava, whose neurons and synapses are taken wherever they mean the same (``export.lava.stock``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from scipy.sparse import csr_matrix

from spikewright.export.lava.processes.process import (
    Anchor,
    Delay,
    Feed,
    Net,
    Neuron,
    Recorder,
    WideSynapses,
)
from spikewright.hw_sim import fixed_point as fp
from spikewright.hw_sim.somas import Soma, State


@implements(proc=Net, protocol=LoihiProtocol)
@tag("fixed_pt")
class NetModel(AbstractSubProcessModel):
    """The net is its processes, connected."""

    def __init__(self, proc: Any) -> None:
        from spikewright.export.lava.build import assemble

        for index, child in enumerate(assemble(proc.proc_params["plan"])):
            setattr(self, f"process_{index:04d}", child)


class Windowed(PyLoihiProcessModel):
    """A process that knows its local step and writes what it did into array files (samples, T, n)."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.clock: dict[str, int] = proc_params["clock"]
        self.files: dict[str, str] = proc_params.get("files", {})
        self.size: int = proc_params["size"]
        self.arrays: dict[str, Any] = {}

    def local(self) -> tuple[int, int] | None:
        """Return (sample, local step), or None outside the windows."""
        since = self.time_step - 1 - self.clock["start"]
        sample, t = divmod(since, self.clock["period"])
        inside = since >= 0 and t < self.clock["timesteps"] and sample < self.clock["samples"]
        return (sample, t) if inside else None

    def record(self, at: tuple[int, int], name: str, values: Any) -> None:
        """Write one row of the file of ``name``, if it is asked for."""
        if name not in self.files:
            return
        if name not in self.arrays:
            self.arrays[name] = np.load(Path(self.files[name]), mmap_mode="r+")
        self.arrays[name][at] = values


@implements(proc=Feed, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FeedModel(Windowed):
    """Reads the payloads from their file."""

    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    tick: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=1)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.x: Any = None

    def run_spk(self) -> None:
        """Send the payloads of this step."""
        if self.x is None:
            self.x = np.load(self.proc_params["path"], mmap_mode="r")
        at = self.local()
        self.s_out.send(np.zeros(self.size, np.int32) if at is None else np.asarray(self.x[at]))
        self.tick.send(np.ones(1, np.int32))


@implements(proc=Anchor, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class AnchorModel(PyLoihiProcessModel):
    """Takes the ticks of all feeds."""

    together: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def run_spk(self) -> None:
        """Receive."""
        self.together.recv()


@implements(proc=Neuron, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class NeuronModel(Windowed):
    """Run the soma's own ``step``."""

    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    g0: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    g1: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    g2: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    g3: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.soma: Soma = proc_params["soma"]
        self.state: State = {}

    def run_spk(self) -> None:
        """Advance one step."""
        index = self.proc_params["gate_index"]
        a = self.a_in.recv()
        ports = (self.g0, self.g1, self.g2, self.g3)[: len(index)]
        levels = [port.recv()[i] for port, i in zip(ports, index, strict=True)]
        at = self.local()
        if at is None:
            self.s_out.send(np.full(self.size, self.soma.idle, np.int32))
            return
        if at[1] == 0:
            self.state = self.soma.start((self.size,))
        sent = self.soma.step(self.state, a, levels, at[1])
        self.record(at, "out", sent)
        for name in ("v", "u"):
            if name in self.state:
                self.record(at, name, self.state[name])
        self.s_out.send(sent.astype(np.int32))


@implements(proc=Delay, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class DelayModel(PyLoihiProcessModel):
    """A ring of messages."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    line: Any = LavaPyType(np.ndarray, np.int32, precision=24)

    def run_spk(self) -> None:
        """Send the oldest message, then take the new one."""
        row = (self.time_step - 1) % len(self.line)
        self.s_out.send(self.line[row])
        self.line[row] = self.s_in.recv()


@implements(proc=WideSynapses, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class WideSynapsesModel(PyLoihiProcessModel):
    """A sparse matrix product in int64, for all delays at once; row k of ``a_buff`` is sent in k steps."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    a_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int64)
    a_buff: Any = LavaPyType(np.ndarray, np.int64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        p = proc_params
        (outputs, inputs), late = p["shape"], np.asarray(p["late"], np.int64)
        weight, rows = np.asarray(p["weight"], np.int64), late * outputs + p["rows"]
        self.matrix = csr_matrix((weight, (rows, p["columns"])), shape=((1 + late.max(initial=0)) * outputs, inputs))

    def run_spk(self) -> None:
        """Send what is due, then add the new sums to what is to come."""
        self.a_out.send(self.a_buff[0])
        come = fp.shift(self.matrix @ self.s_in.recv(), self.proc_params["exponent"]).reshape(self.a_buff.shape)
        come[:-1] += self.a_buff[1:]
        self.a_buff = come


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class RecorderModel(Windowed):
    """Receives messages, then reads the states when the neuron has finished its step."""

    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    v: Any = LavaPyType(PyRefPort.VEC_DENSE, np.int32)
    u: Any = LavaPyType(PyRefPort.VEC_DENSE, np.int32)

    def run_spk(self) -> None:
        """Write the messages of this step."""
        out, at = self.a_in.recv(), self.local()
        if at is not None:
            self.record(at, "out", out)

    def post_guard(self) -> bool:
        """Ask for the management phase where a state is wanted."""
        return self.local() is not None and bool({"u", "v"} & self.files.keys())

    def run_post_mgmt(self) -> None:
        """Write the states after the step."""
        at = self.local()
        if at is None:
            return
        for name, port in (("v", self.v), ("u", self.u)):
            if name in self.files:
                self.record(at, name, port.read())
