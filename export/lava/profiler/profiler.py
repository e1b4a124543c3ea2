"""In place of ``lava.utils.profiler``: one profiler with four probes, in the units of Lava's (s, W, J)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.profiler import plots
from spikewright.export.lava.profiler.board import Loihi2HwCfg, RunSteps, attach
from spikewright.export.lava.profiler.loihi2_profiler import (
    Loihi2Activity,
    Loihi2ExecutionTime,
    Loihi2Memory,
    Loihi2Power,
)
from spikewright.export.lava.profiler.network import DeployedNetwork
from spikewright.export.lava.profiler.power import rail_share
from spikewright.export.lava.profiler.probe import Probe
from spikewright.export.lava.profiler.run import Power, ProfilerError, SimulatedRun
from spikewright.hw_sim.costs import Basis
from spikewright.toolchain.deployment import Deployment

Floats = NDArray[np.float64]
MICRO = 1e-6
AnyProbe = TypeVar("AnyProbe", bound=Probe)
Breakdown = tuple[float, float, float, float, float, float]


class SimulatedProfiler(Probe):
    """Reads time, power, activity and memory of a run, under the names of ``Loihi2HWProfiler``.

    Set probes before the run, read attributes after it; ``basis`` says how each figure is known.

    Args:
        source: The run configuration a net will get (Lava's or ``Loihi2HwCfg`` of this package); or a bundle's folder or a
            ``Deployment``, which ``run`` then runs; or a ``SimulatedRun``, which is over already.

    Raises:
        ProfilerError: It is none of these.
    """

    def __init__(self, source: Any) -> None:
        super().__init__()
        self._deployed: DeployedNetwork | None = None
        self._time: Loihi2ExecutionTime | None = None
        self._power: Loihi2Power | None = None
        self._activity: Loihi2Activity | None = None
        self._memory: Loihi2Memory | None = None
        if isinstance(source, SimulatedRun):
            self._found = source
        elif isinstance(source, str | Path | Deployment):
            self._deployed = DeployedNetwork(source)
        else:
            attach(source, self)

    # -------------------------------------------------------------------------------------------- probes
    def execution_time_probe(
        self,
        num_steps: int | None = None,
        t_start: int = 1,
        t_end: int | None = None,
        dt: int = 1,
        buffer_size: int = 1024,
    ) -> None:
        """Ask for times; see ``Loihi2ExecutionTime`` for the arguments."""
        self._time = Loihi2ExecutionTime(num_steps, t_start, t_end, dt, buffer_size)

    def energy_probe(self, num_steps: int | None = None) -> None:
        """Ask for power and energy of the first ``num_steps`` steps; None: of all."""
        self._power = Loihi2Power(num_steps)

    def activity_probe(self) -> None:
        """Ask for counts per core."""
        self._activity = Loihi2Activity()

    def memory_probe(self) -> None:
        """Ask for the use of memory."""
        self._memory = Loihi2Memory()

    def run(self, limit: int | None = None) -> None:
        """Run the deployment this profiler was made of.

        Args:
            limit: Samples at most.

        Raises:
            ProfilerError: It was made of something else.
        """
        net = self._deployed
        if net is None:
            raise ProfilerError(
                "was not made of a bundle or a deployment", where=type(self).__name__, help="call run(...) of the net"
            )
        samples = net.x.shape[1] if limit is None else min(limit, net.x.shape[1])
        net.run(RunSteps(samples * net.sample_steps), Loihi2HwCfg(callback_fxs=[self]))

    # ---------------------------------------------------------------------------------------------- time
    @property
    def execution_time(self) -> Floats:
        """Time of each step, s."""
        return self._timed().execution_time_per_step * MICRO

    @property
    def spiking_time(self) -> Floats:
        """Time of each step that cores, links or the barrier bound, s."""
        return self._timed().spiking_time_per_step * MICRO

    @property
    def host_time(self) -> Floats:
        """Time of each step that messages of the host bound, s."""
        return self._timed().host_time_per_step * MICRO

    @property
    def management_time(self) -> Floats:
        """0, s: the embedded processors are not simulated."""
        return self._timed().management_time_per_step * MICRO

    @property
    def learning_time(self) -> Floats:
        """0, s: nothing learns."""
        return self._timed().learning_time_per_step * MICRO

    @property
    def pre_lrn_mgtm_time(self) -> Floats:
        """0, s: nothing learns."""
        return self._timed().pre_lrn_time_per_step * MICRO

    # ------------------------------------------------------------------------------------ power and energy
    @property
    def power(self) -> float:
        """Mean power of the chips in use, W."""
        return self._spent().total_w

    @property
    def static_power(self) -> float:
        """Power of the chips in use while idle, W."""
        return self._spent().static_w

    @property
    def dynamic_power(self) -> float:
        """Mean power of events, W."""
        return self._spent().dynamic_w

    @property
    def vdd_power(self) -> float:
        """Mean power of the logic, W; an assumed share (``power.RAILS_W``)."""
        return self.power * rail_share("vdd")

    @property
    def vddm_power(self) -> float:
        """Mean power of the memory, W; an assumed share."""
        return self.power * rail_share("vddm")

    @property
    def vddio_power(self) -> float:
        """Mean power of the interfaces, W; an assumed share."""
        return self.power * rail_share("vddio")

    @property
    def energy(self) -> float:
        """Energy of the steps looked at, J."""
        return self.power * self._spent().seconds

    @property
    def static_energy(self) -> float:
        """Its static part, J."""
        return self.static_power * self._spent().seconds

    @property
    def dynamic_energy(self) -> float:
        """Its dynamic part, J."""
        return self.dynamic_power * self._spent().seconds

    def power_breakdown(self) -> Breakdown:
        """Return (total, dynamic, static, vdd, vddm, vddio), W."""
        return self.power, self.dynamic_power, self.static_power, self.vdd_power, self.vddm_power, self.vddio_power

    def energy_breakdown(self) -> Breakdown:
        """Return (total, dynamic, static, vdd, vddm, vddio), uJ."""
        total, dynamic, static, vdd, vddm, vddio = (w * self._spent().seconds / MICRO for w in self.power_breakdown())
        return total, dynamic, static, vdd, vddm, vddio

    # ------------------------------------------------------------------------------------------- per core
    @property
    def activity(self) -> Loihi2Activity:
        """Counts per core."""
        return self._read(self._activity, "activity_probe()")

    @property
    def memory(self) -> Loihi2Memory:
        """Use of memory per core."""
        return self._read(self._memory, "memory_probe()")

    @property
    def num_alloc_chips(self) -> int:
        """Chips in use."""
        return self.simulated.num_chips

    @property
    def num_available_chips(self) -> int:
        """Chips on the board."""
        return self.simulated.chip.mesh.chips

    # ------------------------------------------------------------------------------------------ what it says
    @property
    def basis(self) -> dict[str, Basis]:
        """How each figure is known."""
        run = self.simulated
        times: dict[str, Basis] = dict.fromkeys(("execution_time", "spiking_time", "host_time"), run.time_basis)
        zeros: dict[str, Basis] = {
            "management_time": "assumed",
            "learning_time": "simulated",
            "pre_lrn_mgtm_time": "simulated",
        }
        rails: dict[str, Basis] = dict.fromkeys(("vdd_power", "vddm_power", "vddio_power"), "assumed")
        return {**times, **zeros, **run.power_basis, **rails}

    @property
    def statement(self) -> str:
        """The figures that were asked for, in lines, each with its basis."""
        run, known = self.simulated, self.basis
        lines = [f"simulated on {run.chip.name}: {run.num_steps} steps, {run.cores.size} cores, {run.num_chips} chips"]
        if self._time is not None:
            mean = float(self.execution_time.mean()) / MICRO
            lines.append(f"time per step    {mean:.3f} us ({known['execution_time']})")
        if self._power is not None:
            for name in ("power", "dynamic_power", "static_power"):
                lines.append(f"{name.replace('_', ' '):16} {getattr(self, name):.6f} W ({known[name]})")
            lines.append(f"energy           {self.energy:.6g} J ({known['energy']})")
        if self._activity is not None:
            ops = self.activity.syn_ops
            lines.append(
                f"syn ops per step {ops.sum() / run.num_steps:,.0f}, busiest core {ops.max() / run.num_steps:,.0f} (simulated)"
            )
        if self._memory is not None:
            basis = self.memory.basis["total_mpds"]
            lines.append(
                f"memory           {100 * self.memory.total_mpds.mean():.1f} % of a core's synaptic memory ({basis})"
            )
        return "\n".join(lines)

    def plot_execution_time(self, file: str | Path | None = None) -> Any:
        """Draw time over steps; into a file, or return the figure."""
        return plots.lines({"execution time": self.execution_time / MICRO}, ("step", "us"), file)

    def plot_power(self, file: str | Path | None = None) -> Any:
        """Draw power over time; into a file, or return the figure."""
        self._spent()
        power = self._read(self._power, "energy_probe()")
        shown = {"total": power.total_power, "static": np.full(power.total_power.size, power.static_total_power)}
        return plots.lines(shown, ("slice of the time", "W"), file)

    def plot_activity(self, file: str | Path | None = None) -> Any:
        """Draw counts over cores; into a file, or return the figure."""
        seen = self.activity
        shown = {
            "synaptic ops": seen.syn_ops,
            "neuron updates": seen.dendrite_updates,
            "messages out": seen.axon_out,
            "messages in": seen.spikes_in,
        }
        return plots.bars(seen.simulated.cores, shown, ("core", "count"), file)

    def plot_memory_util(self, file: str | Path | None = None) -> Any:
        """Draw use of memory over cores; into a file, or return the figure."""
        shown = {"synaptic memory": 100 * self.memory.total_mpds}
        return plots.bars(self.simulated.cores, shown, ("core", "%"), file)

    # ---------------------------------------------------------------------------------------------- inside
    def _timed(self) -> Loihi2ExecutionTime:
        return self._read(self._time, "execution_time_probe(num_steps)")

    def _spent(self) -> Power:
        return self._read(self._power, "energy_probe(num_steps)").measured

    def _read(self, probe: AnyProbe | None, call: str) -> AnyProbe:
        if probe is None:
            raise ProfilerError("was not asked for this", where=type(self).__name__, help=f"call {call} first")
        probe.read(self.simulated)
        return probe


class Profiler:
    """As in ``lava.utils.profiler``."""

    @staticmethod
    def init(run_cfg: Any) -> SimulatedProfiler:
        """Return a profiler for a run configuration, a bundle, a deployment or a finished run; see ``SimulatedProfiler``."""
        return SimulatedProfiler(run_cfg)


Loihi2HWProfiler = SimulatedProfiler
"""As in ``lava.utils.loihi2_profiler_api``."""
