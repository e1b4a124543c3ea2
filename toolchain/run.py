"""One run of a deployment on a backend: answers, accuracy, and where the backend counts, SOPs, latency and energy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from spikewright.hw_sim import Trace
from spikewright.hw_sim.timeline import steps_shown, timeline
from spikewright.toolchain.analysis import accuracy, activity, judged, lost, run_summary
from spikewright.toolchain.analysis.numbers import several, si
from spikewright.toolchain.backends import Backend, Recorded, RunResult
from spikewright.toolchain.deployment import Bars, Deployment, silent
from spikewright.toolchain.diagnostics import RUN, Diagnostic, plain, refuse_losses
from spikewright.toolchain.diagnostics import lines as told_lines
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.interpret import float_answers
from spikewright.toolchain.output_files import write_text
from spikewright.toolchain.recording import RecordingFile
from spikewright.toolchain.results import Result, Row, flat
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.streaming import Payloads, Stream, run_parts


@dataclass(frozen=True, eq=False, repr=False)
class Run(Result):
    """What came out of a run.

    Args:
        name: Of the net.
        answer: (B, n): integers of the chip, or the float net's answers.
        summary: Stable keys and figures: what ``run --json`` prints.
        result: What the backend returned; None for float numbers.
        diagnostics: Of the deployment, and what this run lost.
    """

    name: str
    answer: NDArray[Any]
    summary: dict[str, Any]
    result: RunResult | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def accuracy(self) -> float | None:
        """Share of the samples whose largest answer (B, n) is the label; None without labels."""
        found: float | None = self.summary["accuracy"]
        return found

    @property
    def trace(self) -> Trace | None:
        """The machine's counters, where the backend has them."""
        return None if self.result is None else self.result.trace

    def save_trace(self, path: str | Path) -> None:
        """Write the machine's counters.

        Raises:
            InputError: The backend counts nothing.
        """
        if self.trace is None:
            raise InputError(
                f"backend {self.summary['backend']!r} counts nothing", where="--trace", help="use --backend hw_sim"
            )
        self.trace.save(Path(path))

    def save_timeline(self, made: Deployment, path: str | Path) -> tuple[int, int]:
        """Write what cores and NoC did in each chip step as trace events, for Perfetto; return (steps shown, steps run).

        Args:
            made: What was run, for its chip and the names of its layers.
            path: A JSON file.

        Raises:
            InputError: The backend counts nothing, or the file cannot be written.
        """
        if self.trace is None:
            raise InputError(
                f"backend {self.summary['backend']!r} counts nothing",
                where="--trace-events",
                help="use --backend hw_sim",
            )
        counts = activity(made.integer, made.program, self.trace)
        text = timeline(self.trace, made.chip, {core.core: ", ".join(core.layers) for core in counts.cores})
        write_text(Path(path), text)
        return steps_shown(text)

    def headline(self) -> str:
        """Return net, backend and samples in one line."""
        s = self.summary
        events = " (simulated events)" if s["simulated_events"] else ""
        return f"{self.name} on {s['backend']}: {several(s['samples'], 'sample')} of {s['dataset']}{events}"

    def text(self) -> str:
        """Return accuracy, SOPs, latency and energy in a few lines: counts a sample, s and J a sample, with their basis."""
        data, lines = self.summary, [self.headline()]
        if data["accuracy"] is not None:
            lines.append(f"  accuracy    {100 * data['accuracy']:.2f} %")
        if data.get("replay"):
            lines.append(
                f"  replay      {data['replay']['runs']} runs a sample; between them the host reads "
                f"{data['replay']['values_read']:,} values and computes the gates ({data['host_macs']:,} MACs)"
            )
        sops, energy = data.get("sops"), data.get("energy_j")
        if sops and sops.get("total") is not None:
            lines.append(
                f"  SOPs        {sops['total']:,.0f} a sample ({sops['binary']:,.0f} binary, {sops['graded']:,.0f} graded); "
                f"{sops['dense']:,.0f} if every input fired"
            )
        if data.get("latency_s") is not None:
            us, bound = 1e6 * data["latency_s"], data["bottleneck"]
            lines.append(
                f"  latency     {us:.1f} us a sample ({data['timing']} timing, {data['host']} host); bottleneck: {bound}"
            )
        if energy and energy.get("total") is not None:
            lines.append(
                f"  energy      {si(energy['total'], 'J')} a sample: {si(energy['dynamic'], 'J')} dynamic, "
                f"{si(energy['static'], 'J')} static, {si(energy['host'], 'J')} host (estimate; basis: {energy['basis']})"
            )
        if data.get("judged"):
            lines.append(f"  judged      {self._judged(data['judged'], data['samples'])}")
        if "run_s" in data:
            lines.append(f"  wall time   {data['startup_s']:.2f} s start, {data['run_s']:.2f} s run")
        return "\n".join([*lines, *told_lines(self.diagnostics)])

    def _judged(self, judged: int, samples: int) -> str:
        first = "all samples" if judged == samples else f"the first {several(judged, 'sample')}"
        losses = sum(one.severity == "warning" for one in self.diagnostics)
        found = f"{several(losses, 'warning')}, see below" if losses else "nothing beyond the limits"
        return f"integers against the float net on {first}: {found}"

    def to_dict(self) -> dict[str, Any]:
        """Return the figures: means per sample, whole-run totals beside them."""
        return self.summary | {"diagnostics": plain(self.diagnostics)}

    def rows(self) -> list[Row]:
        """Return one row of all figures (a sample: counts, latency in s, energy in J), to put runs below each other."""
        return [{"name": self.name, **flat(self.summary)}]


def run(
    made: Deployment,
    samples: Samples,
    *,
    backend: str = "hw_sim",
    numbers: Literal["int", "float"] = "int",
    record: bool = False,
    save: str | Path | None = None,
    saved: Sequence[Recorded] = ("spikes",),
    strict: bool = False,
    progress: Bars = silent,
    options: Mapping[str, str] | None = None,
) -> Run:
    """Run samples; see ``Deployment.run``.

    Raises:
        InputError: An option does not go with the backend or the numbers.
        PassError: ``strict``, and something is lost.
    """
    machine = made.backend(backend, **(options or {}))
    if numbers not in ("int", "float"):
        raise InputError(f"{numbers!r}; int and float are allowed", where="--numbers", help="leave it out for integers")
    if numbers == "float":
        if backend != "interpreter":
            raise InputError(
                f"backend {backend!r} computes integers", where="--numbers float", help="add --backend interpreter"
            )
        if save is not None:
            raise InputError(
                "what is recorded is the integer net", where="--numbers float --save", help="leave one of them out"
            )
        return _float(made, samples, strict, progress)
    made.check_input(samples.x)
    payloads = Payloads(made, samples.x)
    before = judged(made, samples, made.diagnostics)
    known = unless(strict, made, (*made.diagnostics, *before.found))

    def told(result: RunResult) -> tuple[Diagnostic, ...]:
        said = {(one.code, one.where) for one in before.found}
        fresh = (one for one in lost(made, samples.x, result) if (one.code, one.where) not in said)
        return unless(strict, made, (*known, *fresh))

    if save is None:
        result = run_parts(made, machine, payloads, record, progress(machine.name))
        found = told(result)
    else:
        result, found = _saved(made, samples, machine, payloads, Path(save), saved, told, progress)
    data = run_summary(replace(made, samples=samples), result, samples.y, backend=machine.name)
    if result.trace is not None:
        data |= {"timing": result.trace.timing, "host": result.trace.host}
    return Run(made.name, result.answer, data | {"judged": before.samples} | _origin(samples), result, found)


def unless(strict: bool, made: Deployment, found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """Return diagnostics; refuse losses among them where the run, or the deployment, was asked to."""
    if strict or made.options.strict:
        refuse_losses(found, made.name, RUN)
    return found


def _saved(
    made: Deployment, samples: Samples, machine: Backend, payloads: Payloads, path: Path, what: Sequence[Recorded],
    told: Callable[[RunResult], tuple[Diagnostic, ...]], progress: Bars,
) -> tuple[RunResult, tuple[Diagnostic, ...]]:  # fmt: skip
    """Run part by part, and write each to the file as it is there; the file gets its name once nothing is refused."""
    stream = Stream(made, {machine.name: machine}, payloads, len(samples), progress)
    with RecordingFile(path, made, len(samples), what) as file:
        for chosen, steps, recordings in stream.parts():
            file.add(chosen, steps, recordings[machine.name])
        result = stream.result(machine.name)
        found = told(result)
        file.finish(result.answer, samples.y, {"net": made.name, "backend": machine.name, "dataset": samples.dataset})
    return result, found


def no_losses_before_quantizing(strict: bool) -> None:
    """Refuse ``strict`` of the float net.

    Raises:
        InputError: It is asked for.
    """
    if strict:
        raise InputError(
            "nothing is lost before quantizing", where="--numbers float, --strict", help="leave one of them out"
        )


def _float(made: Deployment, samples: Samples, strict: bool, progress: Bars) -> Run:
    no_losses_before_quantizing(strict)
    count = len(samples)
    x = made.check_input(samples.x)
    answer = float_answers(made.captured, x[: made.answer_steps], progress("interpreter, float"))
    data = {"backend": "interpreter", "numbers": "float", "samples": count, "accuracy": accuracy(answer, samples.y)}
    return Run(made.name, answer, data | _origin(samples), None, made.diagnostics)


def _origin(samples: Samples) -> dict[str, Any]:
    return {"dataset": samples.dataset, "simulated_events": samples.simulated}
