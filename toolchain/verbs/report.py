"""``spikewright report``: run a bundle on the machine and write everything known about it as JSON, HTML or CSV."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spikewright.toolchain import bundle
from spikewright.toolchain.backends import Progress, load_backend
from spikewright.toolchain.commands import Outcome
from spikewright.toolchain.compare import Comparison, compare
from spikewright.toolchain.deployment import Deployment, Samples
from spikewright.toolchain.report import Report, build_report, summary_text, to_csv, to_html, to_json
from spikewright.toolchain.verbs.check import check_deployment
from spikewright.toolchain.verbs.data import add_data_options, chosen_samples, first
from spikewright.toolchain.verbs.output import check_file, write_text
from spikewright.toolchain.verbs.progress import bars

COMPARED = 20
"""Samples on which a report compares backends spike by spike."""
RENDERERS: tuple[tuple[str, Callable[[Report], str]], ...] = (("json", to_json), ("html", to_html), ("csv", to_csv))


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser(
        "report", help="accuracy, verdict, SOPs, latency, energy of a bundle, as JSON, HTML or CSV"
    )
    parser.add_argument("bundle", type=Path, metavar="DIR", help="a folder that deploy wrote")
    for name, _ in RENDERERS:
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {name.upper()}")
    parser.add_argument(
        "--twin", type=Path, metavar="DIR", help="bundle of the same net without attention, shown beside it"
    )
    parser.add_argument(
        "--backends",
        nargs="+",
        default=["interpreter", "hw_sim"],
        metavar="NAME",
        help="compared (default %(default)s)",
    )
    add_data_options(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Report."""
    files = {name: path for name, _ in RENDERERS if (path := getattr(arguments, name)) is not None}
    for path in files.values():
        check_file(path)
    made = bundle.load(arguments.bundle)
    twin = None if arguments.twin is None else bundle.load(arguments.twin)
    with bars() as bar:
        beside = None
        if twin is not None:
            beside, _ = report_on(twin, first_of(twin, arguments), bar)
        report, _ = report_on(made, chosen_samples(made, arguments), bar, backends=arguments.backends, twin=beside)
    write(report, files)
    text = summary_text(report) + "".join(f"\n  {name:12}{path}" for name, path in files.items())
    return Outcome(text=text)


def first_of(twin: Deployment, arguments: Namespace) -> Samples:
    """Return the twin's own samples, as many as the net's."""
    return chosen_samples(twin, Namespace(**{**vars(arguments), "input": None, "dataset": None, "data": None}))


def write(report: Report, files: dict[str, Path]) -> None:
    """Render a report into files by kind, each whole or not at all."""
    for name, render in RENDERERS:
        if name in files:
            write_text(files[name], render(report))


def report_on(
    made: Deployment,
    samples: Samples,
    bar: Callable[[str], Progress],
    *,
    backends: Sequence[str] = (),
    twin: Report | None = None,
) -> tuple[Report, Comparison | None]:
    """Run all samples on interpreter and machine, compare backends on the first ``COMPARED``, and build the report."""
    x = made.encode(samples.x, compact=True)
    runs = {
        name: load_backend(name).run(made.integer, made.program, x, progress=bar(f"{made.name} on {name}"))
        for name in ("interpreter", "hw_sim")
    }
    comparison = None
    if backends:
        few = made.encode(first(samples, COMPARED).x)
        comparison = compare(made, backends, few, progress=lambda name: bar(f"{made.name}, compared on {name}"))
    verdict = check_deployment(made)
    built = build_report(made, runs, verdict, _timeless(comparison), twin, samples.y, samples=samples)
    return built, comparison


def _timeless(comparison: Comparison | None) -> dict[str, Any] | None:
    """Leave the wall times out, so that equal inputs give equal reports."""
    return None if comparison is None else {key: value for key, value in comparison.data().items() if key != "speed"}
