"""Nets a script can run: a ``.net`` file stepped as Lava steps it, or a deployment with its samples one after another.

Lava starts every neuron at step 1 and sends each message one step on, so here every neuron starts at chip step 0 and every
connection has the delay of its own lag plus one (a recurrence, which waits a step by itself, its lag).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.profiler.board import execute
from spikewright.export.lava.profiler.run import ProfilerError, SimulatedRun
from spikewright.export.netx import import_net
from spikewright.hw_sim import Lif, Program, SigmaDelta, Trace, compile, load_chip, simulate
from spikewright.toolchain import bundle
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.integer import IntConnection, IntNeuron, source_of
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import Fixed, map_graph
from spikewright.toolchain.ops import Op

Int = NDArray[np.int64]
Timing = Literal["analytic", "cycle"]


class Neuron:
    """The input layer's neurons, as far as scripts touch them."""

    @property
    def bias(self) -> None:
        """Nothing: see the setter."""

    @bias.setter
    def bias(self, value: Any) -> None:
        """Warn: on the chip this sets a Python attribute, and no variable of it (``bias_mant`` is one)."""
        warnings.warn(
            "setting in_layer.neuron.bias has no effect, as on the chip (its variable is bias_mant): the input neurons get "
            "no input; give it with net.drive(x)",
            stacklevel=2,
        )


class InLayer:
    """The input layer."""

    def __init__(self) -> None:
        self.neuron = Neuron()


class Network:
    """A net that ``netx.hdf5.Network`` would build of the same file, on the simulated chip.

    Args:
        net_config: The ``.net`` file.
        reset_interval: Steps between two resets of every neuron; None: none.
        reset_offset: Step of the first layer's reset; each later layer resets one step later.
        chip: Name or file of the target.
        cores: Logical core of every neuron, by layer (``toolchain.mapping.assemble``); None: our own mapper.
        timing: How the time of a step is found; see ``hw_sim.simulate``.

    Raises:
        SpikewrightError: The file cannot be read, or its net does not fit the chip.
    """

    def __init__(
        self,
        net_config: str | Path,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        *,
        chip: str = "loihi2",
        cores: dict[str, NDArray[np.int32]] | None = None,
        timing: Timing = "analytic",
    ) -> None:
        self.reset_interval, self.reset_offset, self.timing = reset_interval, reset_offset, timing
        self.in_layer = InLayer()
        self._log_config = SimpleNamespace(level=0)  # scripts set its level; nothing here logs
        self.chip = load_chip(chip)
        graph = as_lava_steps(import_net(Path(net_config)))
        mapped = map_graph(graph, self.chip, None if cores is None else Fixed(cores))
        self.program = resetting(mapped, reset_interval or 0, reset_offset)
        self._driven: Int | None = None

    def __len__(self) -> int:
        return sum(not p.soma.on_host for p in self.program.populations)

    def __str__(self) -> str:
        return str(self.program)

    def drive(self, x: Int) -> None:
        """Give the payloads of the run (T, *shape), shape (C, H, W) or (n,); those of step t arrive in step t + 1.

        To input neurons they are bias mantissas, as the file's input layer scales them; to encoders of changes, the values.
        """
        self._driven = np.asarray(x)[:, None]

    def run(self, condition: Any = None, run_cfg: Any = None) -> None:
        """Run; probes attached to ``run_cfg`` see it.

        Args:
            condition: How long: anything with ``num_steps``.
            run_cfg: A run configuration, Lava's or one of ``export.lava.profiler``; None: nobody looks.

        Raises:
            ProfilerError: No length was given, or it is not that of the payloads.
        """
        steps = _num_steps(condition)
        if steps is None:
            raise ProfilerError(
                f"condition = {condition!r}; allowed: RunSteps(num_steps=...) of at least one step",
                where="Network.run",
                help="say how long to run",
            )
        if self._driven is not None and len(self._driven) != steps:
            raise ProfilerError(
                f"{steps} steps, and payloads for {len(self._driven)}", where="Network.run", help="drive every step"
            )
        execute(run_cfg, lambda: self._simulated(steps))

    def _simulated(self, steps: int) -> SimulatedRun:
        host = next(iter(self.program.sources), None)
        program, inputs = self.program, {}
        if host is not None and self._driven is not None:
            inputs = {host: self._driven}
        elif host is not None:
            program = unfed(self.program, host)
        trace = simulate(compile(program, self.chip), inputs, steps=steps, timing=self.timing)
        return SimulatedRun(program, self.chip, trace)

    def wait(self) -> None:
        """Do nothing: a run blocks."""

    def stop(self) -> None:
        """Do nothing: nothing stays behind."""


class DeployedNetwork:
    """A bundle or deployment whose samples run one after another.

    Args:
        source: A bundle's folder, or a deployment.
        x: Samples (T, B, *shape) in the net's own coding; None: those that travel with it.
        timing: How the time of a step is found; see ``hw_sim.simulate``.

    Raises:
        SpikewrightError: It is no bundle, or has no samples and none are given.
    """

    def __init__(
        self, source: str | Path | Deployment, x: NDArray[Any] | None = None, *, timing: Timing = "analytic"
    ) -> None:
        self.deployment = source if isinstance(source, Deployment) else bundle.load(Path(source))
        if x is None and self.deployment.samples is None:
            raise ProfilerError(
                "holds no samples", where=f"deployment {self.deployment.name!r}", help="give x (T, B, *shape)"
            )
        self.x = x if x is not None else self.deployment.samples.x  # type: ignore[union-attr]
        self.timing = timing

    @property
    def sample_steps(self) -> int:
        """Chip steps of one sample."""
        program = self.deployment.program
        return program.chip_steps(program.steps)

    def run(self, condition: Any = None, run_cfg: Any = None) -> None:
        """Run as many samples as ``condition.num_steps`` is long, or all; probes attached to ``run_cfg`` see it.

        Raises:
            ProfilerError: The steps are not a whole number of samples, or more than there are.
        """
        steps, total = _num_steps(condition), self.x.shape[1]
        samples = total if steps is None else steps // self.sample_steps
        if samples > total or (steps is not None and samples * self.sample_steps != steps):
            raise ProfilerError(
                f"num_steps = {steps}; a sample takes {self.sample_steps} chip steps, and there are {total} samples",
                where=f"deployment {self.deployment.name!r}",
                help=f"give a multiple of {self.sample_steps} up to {self.sample_steps * total}",
            )
        execute(run_cfg, lambda: self.simulated(samples))

    def simulated(self, samples: int) -> SimulatedRun:
        """Return the run of the first samples."""
        made = self.deployment
        payloads = made.encode(np.asarray(self.x[:, :samples], np.float64))
        source = source_of(made.integer).name
        trace: Trace = simulate(compile(made.program, made.chip), {source: payloads}, timing=self.timing)
        return SimulatedRun.of(made, trace)

    def wait(self) -> None:
        """Do nothing: a run blocks."""

    def stop(self) -> None:
        """Do nothing: nothing stays behind."""


def _num_steps(condition: Any) -> int | None:
    steps = getattr(condition, "num_steps", None)
    return int(steps) if steps is not None and int(steps) > 0 else None


def as_lava_steps(graph: Graph) -> Graph:
    """Return the integer graph with every neuron started at step 0 and every message one step on."""
    place = {op.name: index for index, op in enumerate(graph)}

    def stepped(op: Op) -> Op:
        if isinstance(op, IntNeuron):
            return replace(op, start=0)
        if not isinstance(op, IntConnection):
            return op
        forward = place[op.inputs[0]] < place[graph.readers[op.name][0].name]
        return replace(op, delay=op.lag + 1 if forward else op.lag)

    step: Callable[[Op], Op] = stepped
    return replace(graph.map(step), timesteps=max(graph.timesteps, 1))  # a file may not say; run(...) does


def resetting(program: Program, interval: int, offset: int) -> Program:
    """Return the program with ``LIFReset``: layer i resets at steps ``offset + i`` modulo ``interval``; 0: never."""
    layers = [p.name for p in program.populations if not p.soma.on_host]
    if interval == 0:
        return program
    if any(isinstance(p.soma, SigmaDelta) for p in program.populations):
        warnings.warn("reset_interval has no effect on sigma-delta neurons, as in lava-dl's loader", stacklevel=3)

    def of(index: int, soma: Lif) -> Lif:
        return replace(soma, reset_interval=interval, reset_phase=(offset + index) % interval)

    populations = tuple(
        replace(p, soma=of(layers.index(p.name), p.soma)) if isinstance(p.soma, Lif) else p for p in program.populations
    )
    return replace(program, populations=populations)


def unfed(program: Program, host: str) -> Program:
    """Return the program without its host input: biases drive it."""
    return replace(
        program,
        populations=tuple(p for p in program.populations if p.name != host),
        projections=tuple(p for p in program.projections if p.source != host),
    )
