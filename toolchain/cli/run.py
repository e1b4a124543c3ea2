"""``spikewright run``: run a bundle on a backend and say what came out and what it cost."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.toolchain import api
from spikewright.toolchain.autoencoders import AutoencoderDeployment
from spikewright.toolchain.backends import backend_class, backend_points, load_backend
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.outputs import check_outputs
from spikewright.toolchain.cli.parser import Parser, add_data_options, add_declared, add_strict_option, chosen, values
from spikewright.toolchain.cli.progress import bars
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.options import Option, declared
from spikewright.toolchain.recording import RECORDED


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("run", help="run a bundle on a backend: accuracy, SOPs, latency, energy")
    parser.add_argument("bundle", type=Path, metavar="DIR", help="a folder that deploy wrote")
    parser.add_argument(
        "--backend", default="hw_sim", metavar="NAME", help="see spikewright doctor for all (default %(default)s)"
    )
    parser.add_argument("--numbers", choices=("int", "float"), default="int", help="float: the net before quantizing")
    add_data_options(parser)
    add_strict_option(parser)
    parser.add_argument("--trace", type=Path, metavar="FILE.npz", help="write the machine's counters")
    parser.add_argument(
        "--trace-events",
        type=Path,
        metavar="FILE.json",
        help="write a timeline of cores and NoC for ui.perfetto.dev",
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE.npz", help="write answers and what --record says of every layer"
    )
    parser.add_argument(
        "--record", nargs="+", choices=(*RECORDED, "all"), metavar="WHAT",
        help="with --save: spikes, v, u (after reset, every step) or all (default spikes)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    parser.late = add_backend_options


def backend_options() -> dict[str, tuple[Option, ...]]:
    """Return what each installed backend declares; one that cannot be loaded declares nothing."""
    found: dict[str, tuple[Option, ...]] = {}
    for name in sorted(backend_points()):
        try:
            found[name] = declared(backend_class(name))
        except ImportError:
            found[name] = ()
    return found


def add_backend_options(parser: Parser) -> None:
    """Add the options that backends declare, a flag of the same name once."""
    seen: set[str] = set()
    for name, options in backend_options().items():
        fresh = [one for one in options if one.flag not in seen]
        if fresh:
            add_declared(parser.add_argument_group(f"of backend {name}"), fresh)
        seen |= {one.flag for one in fresh}


def run(arguments: Namespace) -> Outcome:
    """Run.

    Raises:
        InputError: The backend counts nothing and a trace is asked for, or ``--record`` stands without ``--save``.
    """
    every = [one for options in backend_options().values() for one in options]
    for flag, path in (("--trace", arguments.trace), ("--trace-events", arguments.trace_events)):
        if path is not None and not load_backend(arguments.backend).counts:
            raise InputError(f"backend {arguments.backend!r} counts nothing", where=flag, help="use --backend hw_sim")
    if arguments.record and arguments.save is None:
        raise InputError("says what --save writes", where="--record", help="add --save FILE.npz, or leave it out")
    what = arguments.record or ["spikes"]
    outputs = {"--trace": arguments.trace, "--trace-events": arguments.trace_events, "--save": arguments.save}
    check_outputs(outputs, arguments)
    made = api.load(arguments.bundle)
    if isinstance(made, AutoencoderDeployment) and (arguments.trace or arguments.trace_events):
        raise made.one_program("a trace", "--trace, --trace-events")
    with bars() as bar:
        found = made.run(
            **chosen(arguments),
            backend=arguments.backend,
            numbers=arguments.numbers,
            save=arguments.save,
            strict=arguments.strict,
            saved=RECORDED if "all" in what else tuple(dict.fromkeys(what)),
            progress=bar,
            **values(arguments, every),
        )
    if arguments.trace is not None:
        found.save_trace(arguments.trace)
    text = str(found)
    if arguments.trace_events is not None:
        shown, steps = found.save_timeline(made, arguments.trace_events)
        text += f"\n  timeline    {arguments.trace_events}: {shown} of {steps} chip steps"
    return Outcome(text=text, data=found.to_dict())
