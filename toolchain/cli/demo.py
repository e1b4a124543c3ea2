"""``spikewright demo``: two attention nets all the way, each beside its twin without attention; one summary at the end.

Nets come from the zoo. Where torch is not installed they come from ``demo_nets/``: their graphs as NIR, as torch's capture
wrote them, with the digits in each net's own coding.
"""

from __future__ import annotations

import time
from argparse import Namespace, _SubParsersAction
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spikewright.toolchain import api, bundle
from spikewright.toolchain.backends import load_backend
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import place
from spikewright.toolchain.cli.progress import bars, note, stages
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import BackendError
from spikewright.toolchain.options import Options
from spikewright.toolchain.report import Report
from spikewright.toolchain.report.model import KINDS

BACKENDS = ("interpreter", "hw_sim", "lava")
FILES = Path(__file__).parent / "demo_nets"
"""``NET.nir`` of every net that is shown; ``NET-train.npz`` and ``NET-test.npz`` serve it and its twin."""
ZOO_NEEDS = ("torch", "safetensors", "sklearn")
"""What the zoo's nets and the digits are read with."""


@dataclass(frozen=True)
class Show:
    """A net of the zoo, its gate lowering, and its twin without attention."""

    net: str
    gates: Options
    twin: str


SHOWS = (
    Show("ma-digits", Options(gates="causal"), "ma-digits-vanilla"),
    Show("gac-digits", Options(gates="host", payload_bits=12), "gac-digits-vanilla"),
)


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("demo", help="deploy, check, run, compare and report two attention nets")
    parser.add_argument("--out", type=place, default=Path("build/demo"), metavar="DIR", help="default %(default)s")
    parser.add_argument(
        "--backends", nargs="+", metavar="NAME", help=f"compared (default: what is installed of {', '.join(BACKENDS)})"
    )
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Show both nets."""
    begin = time.perf_counter()
    out: Path = arguments.out
    for name in (name for show in SHOWS for name in (show.twin, show.net)):
        bundle.check_writable(out / name)
    backends = arguments.backends or installed()
    reports = [_show(show, out, backends) for show in SHOWS]
    texts = [_summary(report, out) for report in reports]
    good = all(report.spike_driven and report.equal for report in reports)
    verdict = "both nets are spike-driven and equal on every backend" if good else "NOT as it should be: see above"
    texts.append(f"{verdict}; {time.perf_counter() - begin:.0f} s")
    return Outcome(text="\n\n".join(texts), code=int(not good))


def installed() -> list[str]:
    """Return the backends that are there; of the others it is told why they are not compared."""
    found = []
    for name in BACKENDS:
        try:
            load_backend(name)
            found.append(name)
        except BackendError as error:
            note(f"not compared on {name}: {error.what}\n  help: {error.help}")
    return found


def _show(show: Show, out: Path, backends: list[str]) -> Report:
    twin = _deploy(show, show.twin, Options(), out / show.twin)
    made = _deploy(show, show.net, show.gates, out / show.net)
    note(f"run, compare and report {show.net} beside {show.twin}")
    with bars() as bar:
        report = made.report(twin=twin, backends=backends, progress=bar)
    for kind in KINDS:
        report.save(out / show.net / f"report.{kind}")
    return report


def _deploy(show: Show, net: str, options: Options, folder: Path) -> Deployment:
    missing = [module for module in ZOO_NEEDS if find_spec(module) is None]
    note(f"deploy {net}" + (f" from its NIR graph ({', '.join(missing)}: not installed)" if missing else ""))
    with stages(f"deploy {net}") as stage:
        if missing:
            train, test = (FILES / f"{show.net}-{split}.npz" for split in ("train", "test"))
            made = api.deploy(
                FILES / f"{net}.nir", options=options, calibration=train, samples=test, name=net, progress=stage
            )
        else:
            made = api.deploy(net, options=options, progress=stage)
        made.save(folder)
    return api.load(folder)


def _summary(report: Report, out: Path) -> str:
    rates = ", ".join(f"{speed.backend} {speed.samples_per_s:,.0f}" for speed in report.speeds)
    speed = f"\n  speed       {rates} samples/s" if rates else ""
    return f"{report}{speed}\n  report      {out / report.name / 'report.html'}"
