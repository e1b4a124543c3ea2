"""A job: one net and its data, and what evaluates configurations of it: deploy, run, check; the same in every process."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip
from spikewright.toolchain.analysis import accuracy, run_summary
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.auto import Loss, loss_of
from spikewright.toolchain.content import code, digest
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import BackendError, InputError, ToolchainError
from spikewright.toolchain.exploration.point import Measured, Point, Refused
from spikewright.toolchain.exploration.prefixes import Prefixes
from spikewright.toolchain.exploration.space import TRAINED, Configuration
from spikewright.toolchain.integer_deploy import deploy_integer
from spikewright.toolchain.interpret import float_answers
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Op
from spikewright.toolchain.options import Options, declared
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples, part, repeated
from spikewright.toolchain.spike_driven.deployed import check_deployment

MACHINE = "hw_sim"
"""The backend that measures."""
DATA = ("calibration", "samples", "held_out")
"""Fields of a job that hold samples."""
Numbered = tuple[int, Configuration]
Group = tuple[Numbered, ...]
"""Configurations that share all stages but the last; what one worker takes at a time."""


@dataclass(frozen=True, eq=False)
class Job:
    """One net and its data.

    Args:
        name: What the net is called.
        graph: The float net as captured; of a model that is integer already, the integer one.
        chip: The target.
        options: What all configurations share.
        calibration: Data that decides ranges.
        samples: Data that is run.
        card: Model card.
        diagnostics: What reading the model found.
        held_out: Data that decides about constants where ``auto`` is asked for; None: the samples do.
        integer: The model is integer already.
        code: Digest of the code that made the job.
    """

    name: str
    graph: Graph
    chip: Chip
    options: Options
    calibration: Samples | None
    samples: Samples
    card: dict[str, Any]
    diagnostics: tuple[Diagnostic, ...] = ()
    held_out: Samples | None = None
    integer: bool = False
    code: str = ""

    @cached_property
    def key(self) -> str:
        """Digest of all that results depend on, but the configuration."""
        data = [None if s is None else (s.x, s.y) for s in (self.calibration, self.samples, self.held_out)]
        options = {one.name: getattr(self.options, one.name) for one in declared(self.options) if one.name != "chip"}
        return digest(self.graph, self.chip, options, data, self.integer, self.code)

    def key_of(self, configuration: Configuration) -> str:
        """Return the digest that a configuration's result is kept by."""
        return digest(self.key, configuration.values)

    def judges(self, limit: int) -> Samples | None:
        """Return the last ``limit`` of the data that decides about constants; None where there is none."""
        held = self.held_out
        return None if held is None else part(held, max(0, len(held) - limit), len(held))

    def pack(self) -> bytes:
        """Return the job for another process; a frame that every step repeats goes once."""
        still = {name: _folded(getattr(self, name)) for name in DATA}
        return pickle.dumps((replace(self, **still), self.graph.timesteps))  # type: ignore[arg-type]


def unpack(packed: bytes) -> Job:
    """Return the job of ``Job.pack``, which must come from a process of the same exploration."""
    job, T = pickle.loads(packed)
    made: Job = replace(job, **{name: _unfolded(getattr(job, name), T) for name in DATA})
    return made


def _folded(samples: Samples | None) -> Samples | None:
    if samples is None or samples.x.shape[0] == 1 or samples.x.strides[0] != 0:
        return samples
    return replace(samples, x=np.ascontiguousarray(samples.x[:1]))


def _unfolded(samples: Samples | None, timesteps: int) -> Samples | None:
    return None if samples is None else replace(samples, x=repeated(samples.x, timesteps))


class Evaluator:
    """Evaluates configurations of a job one after the other; what they share is done once.

    Raises:
        BackendError: The job was made by other code than this.
    """

    def __init__(self, job: Job) -> None:
        if job.code != code():
            raise BackendError(
                "runs other code of spikewright than the process that explores",
                where="worker",
                help="install the same version on all machines of the cluster, and start its workers anew",
            )
        self.job, self.prefixes = job, Prefixes()
        self.measured: dict[str, Measured] = {}
        self._graphs: dict[str, Graph] = {TRAINED: job.graph}

    def group(self, group: Group) -> Iterator[tuple[int, Point]]:
        """Yield the point of every configuration as it is known."""
        for number, configuration in group:
            yield number, self.point(configuration)

    def point(self, configuration: Configuration) -> Point:
        """Return what a configuration does, or why it is refused."""
        try:
            made = self.deployed(configuration)
            key = digest(made.program, None if made.host is None else made.host.graph, made.captured, made.strategies)
            if key not in self.measured:
                self.measured[key] = self._measure(made, key)
            warnings = tuple(str(one) for one in made.diagnostics if one.severity == "warning")
            return replace(self.measured[key], warnings=warnings)
        except ToolchainError as error:
            return Refused(error.what, error.where, error.help)

    def deployed(self, configuration: Configuration) -> Deployment:
        """Return the deployment of a configuration.

        Raises:
            ToolchainError: It is refused.
        """
        job, options = self.job, configuration.options(self.job.options)
        if job.integer:
            return deploy_integer(job.graph, options, name=job.name, card=job.card, samples=job.samples, chip=job.chip)
        assert job.calibration is not None
        return deploy_graph(
            self._graph(configuration.gate_kind),
            options,
            job.calibration,
            name=job.name,
            card=job.card,
            samples=job.samples,
            held_out=job.judges,
            diagnostics=job.diagnostics,
            chip=job.chip,
            memory=self.prefixes,
        )

    def _graph(self, kind: str) -> Graph:
        """Return the net with another gate function."""
        if kind not in self._graphs:
            self._graphs[kind] = self.job.graph.map(lambda op: _gated(op, kind))
        return self._graphs[kind]

    @cached_property
    def trained(self) -> Array:
        """The float net's answers (B, n), as trained."""
        return float_answers(self.job.graph, self.job.samples.x)

    def _measure(self, made: Deployment, key: str) -> Measured:
        """Run the samples on the machine, and judge what runs."""
        y = self.job.samples.y
        result = made.backend(MACHINE).run(made, made.encode(self.job.samples.x, compact=True))
        wanted = self._answers(made)
        found, loss = run_summary(made, result, y, backend=MACHINE), _loss(wanted, result.answer, y)
        check = check_deployment(made, trace=result.trace)
        sound = [part.text() for part in (check.audit, check.faithful) if part is not None and not part.ok]
        violations = [f"{block.name}: {block.violation}" for block in check.verdict.violations]
        sops, energy = found["sops"], found["energy_j"]
        return Measured(
            spike_driven=check.ok,
            violations=(*violations, *sound),
            causal=all(block.causal for block in check.verdict.blocks if block.where == "chip"),
            barrier=any(block.in_step_barrier for block in check.verdict.blocks if block.where == "chip"),
            cores=int(made.to_dict()["cores"]),
            latency_s=float(found["latency_s"]),
            bottleneck=str(found["bottleneck"]),
            sops_binary=float(sops["binary"]),
            sops_graded=float(sops["graded"]),
            gate_multiplies=float(found["gate_multiplies"]),
            host_macs=int(found["host_macs"]),
            energy_j=float(energy["total"]),
            energy_low_j=float(energy["low"]),
            energy_high_j=float(energy["high"]),
            energy_basis=str(energy["basis"]),
            accuracy=accuracy(result.answer, y),
            float_accuracy=accuracy(wanted, y),
            drop=loss.share,
            drop_bound=float(loss.bound),
            silent=None if check.event_driven is None else float(1 - check.event_driven.share),
            warnings=(),
            program=key,
        )

    def _answers(self, made: Deployment) -> NDArray[Any]:
        """Return what the chip's answers are held against: those of the net as it came."""
        if self.job.integer:
            return made.run_float(self.job.samples.x)
        return self.trained


def _loss(wanted: Array, got: NDArray[Any], y: NDArray[np.int64] | None) -> Loss:
    return loss_of(wanted, np.asarray(got, np.float64), y, f"{len(got):,} samples")


def _gated(op: Op, kind: str) -> Op:
    """Return an attention block with another gate function; any other op as it is.

    Raises:
        InputError: The block does not take it.
    """
    if not isinstance(op, AttentionBlock) or op.gate == kind:
        return op
    found: AttentionBlock = replace(op, gate=kind)  # type: ignore[arg-type]
    try:
        found.check()
    except ValueError as error:
        raise InputError(
            str(error), where=f"block {op.block!r}, gate_kind {kind}", help="leave this kind out"
        ) from error
    return found


def groups(numbered: Sequence[Numbered]) -> list[Group]:
    """Return configurations in groups that share all stages but the last, in order."""
    found: dict[tuple[Any, ...], list[Numbered]] = {}
    for one in numbered:
        found.setdefault(one[1].group(), []).append(one)
    return [tuple(group) for group in found.values()]
