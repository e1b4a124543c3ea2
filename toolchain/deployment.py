"""Deployment: a compiled net with everything needed to run, check and report it; what the bundle on disk holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import nir
import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Program
from spikewright.toolchain.backends import Backend, IntArray, Progress, Recorded, load_backend
from spikewright.toolchain.budget import blocks
from spikewright.toolchain.coding import payload_type, payloads
from spikewright.toolchain.data_sets import load_split
from spikewright.toolchain.diagnostics import Diagnostic, lines, plain
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.integer import IntNeuron, answer_of, life
from spikewright.toolchain.interpret import float_answers, float_blocks
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping.decided import Decided, decided
from spikewright.toolchain.ops import Array
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.quantize import InputCode
from spikewright.toolchain.passes.split_host import HostPart
from spikewright.toolchain.results import Result, Row
from spikewright.toolchain.samples import Fits, Samples, arranged, first, read_npz
from spikewright.toolchain.shapes import shapes

if TYPE_CHECKING:
    from spikewright.toolchain.compare import Comparison
    from spikewright.toolchain.report import Report
    from spikewright.toolchain.run import Run
    from spikewright.toolchain.spike_driven.deployed import Check

Data = Samples | Path | str | Any
"""Data for a net: ``Samples``, an array (T, B, *shape), a ``FILE.npz``, or the name of a data set."""
Bars = Callable[[str], Progress]
"""Makes the progress callback of a stage by its title."""


@dataclass(frozen=True)
class PassRecord:
    """What one pass did: ops before and after, the largest change of the answer on the golden input, and by what check."""

    name: str
    ops_before: int
    ops_after: int
    answer_error: float
    check: str


@dataclass(frozen=True, eq=False)
class Drift:
    """What quantizing changed on calibration data, integer against float.

    Args:
        spike_mismatch: Per neuron op, the share of (step, sample, neuron) whose spike differs; of several spikes a step,
            whose number does. A payload is none: gates of both nets scale the same spikes.
        agreement: Share of samples with the same class.
        answer_error: Mean absolute difference of the answers, in the net's units.
        spikes: Of every such op, the spikes of the float net, of the integer net, and how many there could be.
        saturations: (wraps of u, clips of v) by layer.
        silenced: Of every such op, the neurons that only the integer net leaves silent, and all of its neurons.
    """

    spike_mismatch: dict[str, float]
    agreement: float
    answer_error: float
    spikes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    saturations: dict[str, tuple[int, int]] = field(default_factory=dict)
    silenced: dict[str, tuple[int, int]] = field(default_factory=dict)


def silent(_title: str) -> Progress:
    """Show no progress."""
    return lambda done, total: None


@dataclass(frozen=True, eq=False, repr=False)
class Deployment(Result):
    """A compiled net: ``check``, ``run``, ``compare``, ``report`` and ``save`` it.

    Args:
        name: Name of the model.
        captured: The float graph as captured or imported.
        lowered: The float graph on the chip, after all float passes (what ``run --numbers float`` computes, behind the host).
        integer: The integer graph: what every backend computes bit for bit.
        host: The encoder in front of the first spike, or None.
        program: The mapped program.
        chip: The target.
        options: As asked for.
        strategies: Gate lowering used, per attention block.
        input: How the chip's input is coded.
        card: The model card (accuracy, dataset, family, variant, provenance, ...), maybe empty.
        passes: What each pass did.
        drift: What quantizing changed.
        samples: Test samples that travel with the bundle, or None.
        calibrated: The data that decided ranges, in words.
        command: The command that makes the same, its ``--out`` left out; "" for a net that was deployed from memory.
        source: The NIR graph the model came as, or None for a bundle read back.
        diagnostics: What was lost, assumed or noted on the way.
    """

    name: str
    captured: Graph
    lowered: Graph
    integer: Graph
    host: HostPart | None
    program: Program
    chip: Chip
    options: Options
    strategies: dict[str, str]
    input: InputCode
    card: dict[str, Any] = field(default_factory=dict)
    passes: tuple[PassRecord, ...] = ()
    drift: Drift | None = None
    samples: Samples | None = None
    source: nir.NIRGraph | None = None
    calibrated: str = ""
    command: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()
    judgements: dict[bytes, tuple[Diagnostic, ...]] = field(default_factory=dict, init=False, compare=False)
    """Losses found on data that ran last, by its digest; see ``analysis.judging``."""
    _backends: dict[Any, Backend] = field(default_factory=dict, init=False)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one frame of the net's input: (C, H, W) or (features,)."""
        return self.captured.input.shape

    @property
    def answer_scale(self) -> float:
        """What one unit of the integer answer (B, n) is worth in the net's units."""
        return answer_of(self.integer).scale

    @property
    def answer_steps(self) -> int:
        """Steps that the answer is of: T, but fewer where the chip is halted (``--steps chip``)."""
        read = self.integer[answer_of(self.integer).inputs[0]]
        assert isinstance(read, IntNeuron)
        return life(self.integer, read, self.integer.timesteps)

    def check_input(self, x: NDArray[Any]) -> NDArray[Any]:
        """Refuse data of the wrong shape, length or with values that are not finite.

        Args:
            x: (T, B, *shape), the net's own coding.

        Raises:
            InputError: With what was found and what is allowed.
        """
        check_data(x, self.captured.timesteps, self.input_shape, where="input")
        return x

    def encode(self, x: NDArray[Any], *, compact: bool = False) -> IntArray:
        """Return the chip's integer payloads for data in the net's own coding, both (T, B, *shape).

        The host part is evaluated in float64 and rounded once, so that all backends see the same integers. Counts beyond the
        input's bits are sent as the largest it holds, which ``run``, ``compare``, ``check`` and ``report`` tell; a net that was
        deployed with ``strict`` refuses them.

        Args:
            x: The data.
            compact: Hold them in the smallest type, where there are many; backends take any.

        Raises:
            InputError: The data does not fit the net or its coding.
        """
        x = self.check_input(np.asarray(x))
        kind = payload_type(self.integer) if compact else np.int64
        if self.host is None:
            found = payloads(self.integer, x, levels_only=True, saturate=not self.options.strict)
            return found.astype(kind, copy=False)
        made = np.empty((*x.shape[:2], *self.integer.input.shape), kind)
        boundary = self.host.boundary
        for chosen, steps, _, signals in float_blocks(self.host.graph, x, keep=(boundary,)):
            made[steps, chosen] = payloads(self.integer, signals[boundary])
        return made

    def run_float(self, x: NDArray[Any]) -> Array:
        """Return the float net's answer (B, n) for data in its own coding."""
        return float_answers(self.captured, self.check_input(np.asarray(x))[: self.answer_steps])

    def choose(
        self,
        x: Data | None = None,
        y: Any = None,
        *,
        limit: int | None = None,
        data: str | Path | None = None,
    ) -> Samples:
        """Return the samples that are meant.

        Args:
            x: Data in the net's own coding, a ``FILE.npz``, or the name of a data set, whose test split is taken; None: the
                samples that travel with the deployment, or, with ``data``, the test split of the model card's data set.
            y: Class numbers (B,), where ``x`` is an array.
            limit: Only the first so many.
            data: Folder of the data set, or the one above it.

        Raises:
            InputError: There are none, or they cannot be read.
        """
        if limit is not None and limit < 1:
            raise InputError(
                f"{limit}; at least 1 is allowed", where="--limit", help="leave --limit out for all samples"
            )
        if data is not None and not _is_set(x):
            x = self._set_of(x)
        if _is_set(x):
            T, folder = self.captured.timesteps, None if data is None else Path(data)
            return load_split(str(x), self.card, timesteps=T, split="test", limit=limit, data=folder)

        def fits(shape: tuple[int, ...]) -> None:
            check_shape(shape, self.captured.timesteps, self.input_shape, where="input")

        found = self.samples if x is None else given(x, y, fits)
        if found is None:
            raise InputError(
                "this bundle travels without samples", where=self.name, help="give --input FILE.npz or --dataset NAME"
            )
        check_labels(found.y, self.captured, where="input")
        return first(found, limit)

    def _set_of(self, x: Data | None) -> str:
        """Return the data set that a folder alone means: the model card's."""
        if x is not None:
            raise InputError(
                "says where a data set lies; --input is a file of its own", where="--data", help="leave one out"
            )
        dataset = self.card.get("dataset")
        if not dataset:
            raise InputError("the model names no data set", where="--data", help="say which one with --dataset NAME")
        return str(dataset)

    def backend(self, name: str, **options: str) -> Backend:
        """Return a backend; asked again, the same one, which keeps what it compiled.

        Raises:
            BackendError: No such backend, or what it needs is not installed.
            InputError: It has no such option.
        """
        key = (name, *sorted(options.items()))
        if key not in self._backends:
            self._backends[key] = load_backend(name, **options)
        return self._backends[key]

    def check(self, *, max_silent: float | None = None) -> Check:
        """Say whether it is spike-driven: a verdict per block, a run's counters audited, what fires without input.

        Args:
            max_silent: Share of the SOPs that may come without any input; more is a violation. None: any.

        Raises:
            InputError: ``max_silent`` is no share, or there are no samples to run.
        """
        from spikewright.toolchain.spike_driven.deployed import check_deployment

        return check_deployment(self, max_silent=max_silent)

    def run(
        self,
        x: Data | None = None,
        y: Any = None,
        *,
        backend: str = "hw_sim",
        numbers: Literal["int", "float"] = "int",
        limit: int | None = None,
        data: str | Path | None = None,
        record: bool = False,
        save: str | Path | None = None,
        saved: Sequence[Recorded] = ("spikes",),
        strict: bool = False,
        progress: Bars = silent,
        **options: str,
    ) -> Run:
        """Run it: answers, accuracy, and on the machine SOPs, latency and energy.

        Args:
            x: What to run; this and the next three: see ``choose``.
            y: Its class numbers.
            limit: Only the first samples.
            data: Folder of a data set.
            backend: ``hw_sim`` (the machine), ``interpreter``, ``lava``, or an installed one.
            numbers: ``float``: the net before quantizing, on the interpreter.
            record: Keep every neuron's messages and states in memory.
            save: An ``.npz`` for answers and recordings, written part by part; ``RecordedRun`` reads it.
            saved: What of every layer: ``spikes``, ``v``, ``u``.
            strict: Refuse data on which anything is lost beyond the limits; a net that was deployed so always does.
            progress: Makes a progress callback by a title.
            options: What the backend declares, e.g. ``timing="cycle"`` or ``device="cuda"`` of ``hw_sim``.

        Raises:
            ToolchainError: The data, the backend or an option cannot be used.
        """
        from spikewright.toolchain.run import run

        chosen = self.choose(x, y, limit=limit, data=data)
        return run(
            self, chosen, backend=backend, numbers=numbers, record=record, save=save, saved=saved, strict=strict,
            progress=progress, options=options,
        )  # fmt: skip

    def compare(
        self,
        x: Data | None = None,
        *,
        backends: Sequence[str] = ("interpreter", "hw_sim"),
        limit: int | None = None,
        data: str | Path | None = None,
        progress: Bars = silent,
    ) -> Comparison:
        """Run it on several backends and compare every message and state of every neuron, bit for bit.

        Args:
            x: What to run; this, ``limit`` and ``data``: see ``choose``.
            backends: Two or more; each is compared with the first.
            limit: Only the first samples.
            data: Folder of a data set.
            progress: Makes a progress callback by a title.

        Raises:
            ToolchainError: The data or a backend cannot be used.
        """
        from spikewright.toolchain.compare import compare
        from spikewright.toolchain.streaming import Payloads

        chosen = self.check_input(self.choose(x, limit=limit, data=data).x)
        return compare(self, backends, Payloads(self, chosen), progress=progress)

    def report(
        self,
        x: Data | None = None,
        y: Any = None,
        *,
        twin: Deployment | None = None,
        backends: Sequence[str] = ("interpreter", "hw_sim"),
        limit: int | None = None,
        data: str | Path | None = None,
        prices: Sequence[str | Path] = (),
        rate: float | None = None,
        strict: bool = False,
        progress: Bars = silent,
    ) -> Report:
        """Run it and collect everything known about it; ``Report.save`` writes JSON, HTML or CSV. Arguments as ``run``.

        Args:
            x: What to run; this and the next three: see ``choose``.
            y: Its class numbers.
            limit: Only the first samples.
            data: Folder of a data set.
            twin: The same net without attention, shown beside it; its own samples are run, as many.
            backends: Compared spike by spike on the first samples; () for none.
            prices: Price lists beside those that ship: YAML files.
            rate: Samples a second at which the mean power is wanted.
            strict: See ``run``.
            progress: Makes a progress callback by a title.

        Raises:
            InputError: A price list cannot be read, or samples take longer than the rate leaves them.
            PassError: ``strict``, and something is lost.
        """
        from spikewright.toolchain.report import report_on

        chosen = self.choose(x, y, limit=limit, data=data)
        beside = None if twin is None else report_on(twin, twin.choose(limit=limit), progress=progress)
        return report_on(
            self, chosen, backends=backends, twin=beside, prices=prices, rate_hz=rate, strict=strict, progress=progress
        )

    def save(self, folder: str | Path) -> Deployment:
        """Write the bundle; ``spikewright.load`` reads it.

        Args:
            folder: Where to; a bundle that is there is replaced at once, or stays as it is.

        Returns:
            What was written: this deployment, and a note on each further file whose exporter failed.

        Raises:
            InputError: The folder cannot be written, or holds something that is not a bundle.
        """
        from spikewright.toolchain import bundle

        return bundle.save(self, Path(folder))

    @cached_property
    def decided(self) -> Decided:
        """What decided how many cores it takes: the limit that is full on most of them, as a share of each core."""
        return decided(self.program, self.chip, self.integer)

    def headline(self) -> str:
        """Return name, chip and size in one line."""
        s = self._sizes()
        return (
            f"{s['name']} on {s['chip']}: {s['neurons']:,} neurons in {s['populations']} populations on {s['cores']} cores, "
            f"T = {s['timesteps']}"
        )

    def text(self) -> str:
        """Return what was compiled, and on what data, in a few lines."""
        text = [self.headline(), f"  {self.decided}"]
        text += [f"  gates of {block}: {strategy}" for block, strategy in self.strategies.items()]
        if self.host is not None:
            names = ", ".join(op.name for op in self.host.graph)
            text.append(f"  on the host, in front of the first spike: {names}")
        if self.drift is not None:
            text.append(f"  integer and float agree on {100 * self.drift.agreement:.1f} % of the calibration data")
        if self.calibrated:
            text.append(f"  calibrated on {self.calibrated}")
        if self.samples is not None:
            text.append(f"  travels with {self.samples.source}")
        return "\n".join(text + lines(self.diagnostics))

    def to_dict(self) -> dict[str, Any]:
        """Return what was compiled, as plain data."""
        return {**self._sizes(), "decided": self.decided.to_dict()}

    def _sizes(self) -> dict[str, Any]:
        on_chip = [population for population in self.program.populations if (population.core >= 0).any()]
        cores = {core for population in on_chip for core in population.core.tolist()}
        return {
            "name": self.name,
            "chip": self.chip.name,
            "timesteps": self.captured.timesteps,
            "strategies": self.strategies,
            "cores": len(cores),
            "chips": -(-(1 + max(cores, default=-1)) // self.chip.mesh.usable_cores_per_chip),
            "populations": len(on_chip),
            "neurons": sum(population.size for population in on_chip),
            "host": None if self.host is None else [op.name for op in self.host.graph],
            "agreement": None if self.drift is None else self.drift.agreement,
            "samples": None if self.samples is None else self.samples.x.shape[1],
            "samples_from": None if self.samples is None else self.samples.source,
            "calibrated": self.calibrated or None,
            "diagnostics": plain(self.diagnostics),
        }

    def rows(self) -> list[Row]:
        """Return one row a population on the chip: neurons and cores."""
        return [
            {"population": p.name, "neurons": p.size, "cores": len(set(p.core.tolist()))}
            for p in self.program.populations
            if (p.core >= 0).any()
        ]


def _is_set(x: Data | None) -> bool:
    return isinstance(x, str) and not x.endswith(".npz")


def given(x: Data, y: Any = None, fits: Fits | None = None) -> Samples:
    """Return samples from memory or from a file; ``fits`` looks at a file's shape before it is read.

    Raises:
        InputError: They are not numbers (T, B, ...) with class numbers (B,), or the file cannot be read.
    """
    if isinstance(x, Samples):
        return x
    if isinstance(x, str | Path):
        return read_npz(Path(x), fits)
    return arranged(x, y, "given data", "x")


def check_shape(found: tuple[int, ...], timesteps: int, shape: tuple[int, ...], *, where: str) -> None:
    """Refuse data of another shape than (T, B, *shape); errors as ``check_data``."""
    if len(found) != len(shape) + 2 or found[0] != timesteps or found[2:] != shape:
        wanted = ", ".join(map(str, (timesteps, "samples", *shape)))
        help = "arrange the data as (T, B, C, H, W) with the T the net was trained for"
        if len(found) == len(shape) + 2 and found[1:] == (timesteps, *shape):
            help = "its axes are (B, T, ...): exchange the first two, x.swapaxes(0, 1)"
        elif len(found) > 2 and found[0] == timesteps and prod(found[2:]) == prod(shape):
            help = f"give its values the shape of the net's: x.reshape(*x.shape[:2], {', '.join(map(str, shape))})"
        raise InputError(
            f"x has shape {found}; the net takes ({wanted})",
            where=where,
            help=help,
        )


def check_labels(y: NDArray[np.int64] | None, graph: Graph, *, where: str) -> None:
    """Refuse class numbers that a net has no output for.

    Raises:
        InputError: With the largest, and how many outputs there are.
    """
    classes = prod(shapes(graph)[graph.output.name])
    if y is not None and y.max(initial=0) >= classes:
        raise InputError(
            f"y holds class {y.max():,}; the net has outputs for classes 0 .. {classes - 1:,}",
            where=where,
            help="give class numbers as the net was trained with, or leave y out",
        )


def check_data(x: NDArray[Any], timesteps: int, shape: tuple[int, ...], *, where: str) -> None:
    """Refuse data (T, B, *shape) of the wrong shape or length, without samples, or with values that are not finite.

    Raises:
        InputError: With what was found and what is allowed.
    """
    check_shape(tuple(x.shape), timesteps, shape, where=where)
    if x.shape[1] == 0:
        raise InputError("x holds no samples", where=where, help="give at least one sample")
    if x.dtype.kind == "f" and not all(np.isfinite(part).all() for part in blocks(x)):
        raise InputError("x holds values that are not finite (NaN or infinity)", where=where, help="clean the data")
