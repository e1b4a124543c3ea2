"""Process models of our own processes, fixed point; arithmetic from ``hw_sim.fixed_point``, exact in int64."""

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
    DeltaRelu,
    Feed,
    Gate,
    GateTable,
    Net,
    Recorder,
    WideSynapses,
    WindowedLif,
)
from spikewright.hw_sim import fixed_point as fp


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


@implements(proc=WindowedLif, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class WindowedLifModel(Windowed):
    """Integrate, gate, fire; see ``hw_sim.program.Lif``."""

    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    g0: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    g1: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    g2: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    g3: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    u: Any = LavaPyType(np.ndarray, np.int64, precision=24)
    v: Any = LavaPyType(np.ndarray, np.int64, precision=24)

    def run_spk(self) -> None:
        """Advance one step."""
        index = self.proc_params["gate_index"]
        a = self.a_in.recv()
        ports = (self.g0, self.g1, self.g2, self.g3)[: len(index)]
        levels = [port.recv()[i] for port, i in zip(ports, index, strict=True)]
        at = self.local()
        if at is None:
            self.s_out.send(np.zeros(self.size, np.int32))
            return
        if at[1] == 0:
            self.u[:] = 0
            self.v[:] = 0
        spikes = self.advance(a, levels)  # payloads, with an output gate
        self.record(at, "out", spikes)
        self.record(at, "v", self.v)
        self.record(at, "u", self.u)
        self.s_out.send(spikes.astype(np.int32))

    def advance(self, a: Any, levels: list[Any]) -> Any:
        """Change u and v by one step and return what is sent."""
        p = self.proc_params["parameters"]
        self.u[:] = fp.wrap_current(fp.decay(self.u, p["decay_u"]) + (a << fp.CURRENT_SHIFT))
        drive = self.u + p["bias"]
        for level in levels[:-1] if p["output_gate"] else levels:
            drive = fp.gain(drive, level, p["gate_bits"])
        if p["rectify"]:
            drive = np.maximum(drive, 0)
        v = fp.clip_voltage(fp.decay(self.v, p["decay_v"]) + drive)
        spikes = v > p["threshold"]
        self.v[:] = np.where(spikes, v - p["v_reset"] if p["subtract"] else p["v_reset"], v)
        return spikes * levels[-1] if p["output_gate"] else spikes


@implements(proc=DeltaRelu, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class DeltaReluModel(Windowed):
    """Accumulate, rectify, send the change."""

    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    v: Any = LavaPyType(np.ndarray, np.int64, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.sent = np.zeros(self.size, np.int64)

    def run_spk(self) -> None:
        """Advance one step."""
        a = self.a_in.recv()
        at = self.local()
        if at is None:
            self.s_out.send(np.zeros(self.size, np.int32))
            return
        if at[1] == 0:
            self.v[:] = 0
            self.sent[:] = 0
        self.v[:] = fp.clip_voltage(fp.decay(self.v, self.proc_params["decay"]) + a)
        y = np.maximum(self.v, 0) >> self.proc_params["shift"]
        change = y - self.sent
        self.sent = y
        self.record(at, "out", change)
        self.record(at, "v", self.v)
        self.s_out.send(change.astype(np.int32))


@implements(proc=Gate, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class GateModel(Windowed):
    """Accumulate, look the level up."""

    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    v: Any = LavaPyType(np.ndarray, np.int64, precision=24)

    def run_spk(self) -> None:
        """Advance one step."""
        p = self.proc_params
        a = self.a_in.recv()
        at = self.local()
        if at is None:
            self.s_out.send(np.full(self.size, 1 << p["gate_bits"], np.int32))
            return
        if at[1] == 0:
            self.v[:] = 0
        self.v[:] = fp.clip_voltage(fp.decay(self.v, p["decay"]) + a)
        level = p["levels"][np.searchsorted(p["thresholds"], self.v + p["bias"], side="right")]
        self.record(at, "out", level)
        self.record(at, "v", self.v)
        self.s_out.send(level.astype(np.int32))


@implements(proc=GateTable, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class GateTableModel(Windowed):
    """Read the row of this step."""

    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def run_spk(self) -> None:
        """Send the levels of this step."""
        table, at = self.proc_params["table"], self.local()
        if at is None:
            self.s_out.send(np.full(self.size, 1 << self.proc_params["gate_bits"], np.int32))
            return
        self.s_out.send(table[min(at[1], len(table) - 1)].astype(np.int32))


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
    """A sparse matrix product in int64."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    a_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int64)
    a_buff: Any = LavaPyType(np.ndarray, np.int64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        p = proc_params
        weight = np.asarray(p["weight"], np.int64)
        self.matrix = csr_matrix((weight, (p["rows"], p["columns"])), shape=tuple(p["shape"]))

    def run_spk(self) -> None:
        """Send last step's sum, then compute the new one."""
        self.a_out.send(self.a_buff)
        self.a_buff = fp.shift(self.matrix @ self.s_in.recv(), self.proc_params["exponent"])


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
