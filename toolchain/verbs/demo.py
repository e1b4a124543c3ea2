"""``spikewright demo``: two attention nets all the way, each beside its twin without attention; one summary at the end."""

from __future__ import annotations

import time
from argparse import Namespace, _SubParsersAction
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikewright import toolchain
from spikewright.toolchain import bundle
from spikewright.toolchain.commands import Outcome
from spikewright.toolchain.compare import Comparison
from spikewright.toolchain.deployment import Deployment, Options
from spikewright.toolchain.report import Report, summary_text
from spikewright.toolchain.verbs.progress import bars, note, stages
from spikewright.toolchain.verbs.report import report_on, write

BACKENDS = ("interpreter", "hw_sim", "lava")


@dataclass(frozen=True)
class Show:
    """A net of the zoo, its gate lowering, and its twin without attention."""

    net: str
    gates: Options
    twin: str


SHOWS = (
    Show("ma-digits", Options(gates="causal"), "ma-digits-vanilla"),
    Show("gac-digits", Options(gates="host"), "gac-digits-vanilla"),
)


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("demo", help="deploy, check, run, compare and report two attention nets")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), metavar="DIR", help="default %(default)s")
    parser.add_argument(
        "--backends", nargs="+", default=list(BACKENDS), metavar="NAME", help="compared (default %(default)s)"
    )
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Show both nets."""
    begin = time.perf_counter()
    out: Path = arguments.out
    for show in SHOWS:
        bundle.check_writable(out / show.net)
    done = [_show(show, out, arguments.backends) for show in SHOWS]
    texts = [_summary(report, comparison, out) for report, comparison in done]
    good = all(report.spike_driven and comparison is not None and comparison.equal for report, comparison in done)
    verdict = "both nets are spike-driven and equal on every backend" if good else "NOT as it should be: see above"
    texts.append(f"{verdict}; {time.perf_counter() - begin:.0f} s")
    return Outcome(text="\n\n".join(texts), code=int(not good))


def _show(show: Show, out: Path, backends: list[str]) -> tuple[Report, Comparison | None]:
    twin = _deploy(show.twin, Options(), out / show.twin)
    made = _deploy(show.net, show.gates, out / show.net)
    note(f"run, compare and report {show.net} beside {show.twin}")
    with bars() as bar:
        beside, _ = report_on(twin, _samples(twin), bar)
        report, comparison = report_on(made, _samples(made), bar, backends=backends, twin=beside)
    write(report, {kind: out / show.net / f"report.{kind}" for kind in ("json", "html", "csv")})
    return report, comparison


def _deploy(net: str, options: Options, folder: Path) -> Deployment:
    note(f"deploy {net}")
    with stages(f"deploy {net}") as stage:
        made = toolchain.deploy(net, options, progress=stage)
        bundle.save(made, folder, command=f"spikewright deploy {net} --gates {options.gates} --out {folder}")
    return bundle.load(folder)


def _samples(made: Deployment) -> toolchain.Samples:
    """Return the test samples that travel with a bundle of the zoo."""
    assert made.samples is not None, made.name
    return made.samples


def _summary(report: Report, comparison: Comparison | None, out: Path) -> str:
    lines = [summary_text(report)]
    if comparison is not None:
        rates = {speed.backend: speed.samples_per_s for speed in comparison.speeds}
        lines.append("  speed       " + ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items()) + " samples/s")
    lines.append(f"  report      {out / report.name / 'report.html'}")
    return "\n".join(lines)
