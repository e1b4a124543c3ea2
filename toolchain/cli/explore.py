"""``spikewright explore``: one net under many configurations, in one table; interrupted, the same command goes on."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.outputs import check_outputs
from spikewright.toolchain.cli.parser import add_declared, add_folder_option, values
from spikewright.toolchain.cli.progress import estimated, note
from spikewright.toolchain.exploration import Exploring, explore
from spikewright.toolchain.exploration.explore import ENDING
from spikewright.toolchain.options import Options, declared
from spikewright.toolchain.output_files import write_text


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser(
        "explore", help="deploy, run and check a model under many configurations: one table, with its Pareto front"
    )
    parser.add_argument("model", metavar="MODEL", help="as deploy takes it")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"where results are kept, SQLite (default NAME{ENDING}, here)"
    )
    parser.add_argument("--name", metavar="NAME", help="what to call it (default: as the model)")
    add_declared(parser, declared(Exploring))
    parser.add_argument("--calibrate", metavar="NAME|FILE.npz", help="as deploy takes it")
    parser.add_argument("--samples", metavar="NAME|FILE.npz", help="as deploy takes it: what is run")
    add_folder_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write CSV")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the table and the front as a page")
    add_declared(parser.add_argument_group("what all configurations share, as deploy takes it"), declared(Options))
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Explore."""
    files = {kind: path for kind in ("csv", "html") if (path := getattr(arguments, kind)) is not None}
    store = f"{arguments.name or Path(arguments.model).stem}{ENDING}"  # where no --out is among the arguments
    check_outputs({f"--{kind}": path for kind, path in files.items()}, arguments, store)
    done = [0, 0]
    try:
        with estimated(f"explore {arguments.model}") as (stage, bar):

            def progress(now: int, total: int) -> None:
                done[:] = now, total
                bar(now, total)

            found = explore(
                arguments.model,
                out=arguments.out,
                calibration=arguments.calibrate,
                samples=arguments.samples,
                data=arguments.data,
                name=arguments.name,
                note=stage,
                progress=progress,
                **values(arguments, declared(Exploring)),
                **values(arguments, declared(Options)),
            )
    except KeyboardInterrupt:
        if done[1]:
            note(f"{done[0]} of {done[1]} configurations are done and kept; the same command goes on with the others")
        raise
    made = {path: getattr(found, kind)() for kind, path in files.items()}
    for path, text in made.items():
        write_text(path, text)
    return Outcome(text=str(found) + "".join(f"\n  {path}" for path in files.values()), data=found.to_dict())
