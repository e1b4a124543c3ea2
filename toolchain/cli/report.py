"""``spikewright report``: run a bundle on the machine and write everything known about it as JSON, HTML or CSV."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.toolchain import api
from spikewright.toolchain.analysis import list_prices
from spikewright.toolchain.autoencoders import AutoencoderDeployment
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.outputs import check_outputs
from spikewright.toolchain.cli.parser import add_backends_option, add_data_options, add_strict_option, chosen
from spikewright.toolchain.cli.progress import bars
from spikewright.toolchain.output_files import write_text
from spikewright.toolchain.report.model import KINDS
from spikewright.toolchain.report.text import price_table


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser(
        "report", help="accuracy, verdict, SOPs, latency, energy of a bundle, as JSON, HTML or CSV"
    )
    parser.add_argument("bundle", type=Path, metavar="DIR", help="a folder that deploy wrote")
    for name in KINDS:
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {name.upper()}")
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="FILE",
        help="write SOPs, energy and verdict of every node, to lay over net.onnx in Model Explorer (JSON)",
    )
    parser.add_argument(
        "--twin", type=Path, metavar="DIR", help="bundle of the same net without attention, shown beside it"
    )
    parser.add_argument(
        "--prices",
        nargs="*",
        metavar="LIST",
        help="print the energy under every price list that ships, and under these files",
    )
    parser.add_argument("--rate", type=float, metavar="HZ", help="the mean power at so many samples a second")
    add_backends_option(parser, "compared")
    add_data_options(parser)
    add_strict_option(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Report."""
    files = {kind: path for kind in (*KINDS, "overlay") if (path := getattr(arguments, kind)) is not None}
    check_outputs({f"--{kind}": path for kind, path in files.items()}, arguments)
    loaded = api.load(arguments.bundle)
    if isinstance(loaded, AutoencoderDeployment) and arguments.overlay is not None:
        raise loaded.one_program("an overlay", "--overlay")
    twin = None if arguments.twin is None else api.load(arguments.twin)
    with bars() as bar:
        report = loaded.report(
            **chosen(arguments),
            twin=twin,
            backends=arguments.backends,
            prices=[name for name in arguments.prices or () if name not in list_prices()],
            rate=arguments.rate,
            strict=arguments.strict,
            progress=bar,
        )
    made = {path: getattr(report, kind)() for kind, path in files.items()}  # all of them, before any is written
    for path, text in made.items():
        write_text(path, text)
    beside = "" if arguments.prices is None else "\n" + price_table(report)
    return Outcome(text=str(report) + beside + "".join(f"\n  {name:12}{path}" for name, path in files.items()))
