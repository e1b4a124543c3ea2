"""The papers' claims, measured: every attention family beside its vanilla twin on real images, at equal T, over seeds.

Usage: ``python -m benchmarks.attention_effect [--sets digits fashion] [--families ma gac tcja staa] [--seeds 0 1 2]
[--data DIR] [--out DIR] [--part 1/2] ...``. DIR of ``--data`` holds ``fashion_mnist/``. Each result is written to ``--out`` at
once; the same command goes on after an interruption, and without ``--part`` reports what is there. Two processes share
the work with ``--part 1/2`` and ``--part 2/2``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from benchmarks.attention_effect.plan import FAMILIES, SETS, Job, jobs
from benchmarks.attention_effect.report import record, text
from benchmarks.attention_effect.results import Results
from benchmarks.attention_effect.run import do
from benchmarks.attention_effect.store import read, write
from spikewright.hw_sim.errors import SpikewrightError
from spikewright.models.train.malloc import keep_freed_memory
from spikewright.toolchain.errors import InputError

WHERE = "attention_effect"


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints look like every other error."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message, where=WHERE, help="see python -m benchmarks.attention_effect --help")


def main(arguments: list[str] | None = None) -> int:
    """Do what is not done yet, then report; exit code 2 on bad input, 130 when interrupted."""
    try:
        options = _options(arguments)
        return run(options)
    except SpikewrightError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        where = str(error.filename or "operating system")
        print(InputError(error.strerror or str(error), where=where, help="check path and space"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = _Parser(prog=WHERE, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data sets")
    parser.add_argument("--epochs", type=int, help="passes over the images (default: the set's)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of training")
    parser.add_argument("--limit", type=int, help="use only so many images of each split")
    parser.add_argument(
        "--out", type=Path, default=Path("build/attention_effect"), help="results (default %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report as Markdown too")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    parser.add_argument("--part", default="1/1", help="do every n-th job, from the k-th on: k/n (default %(default)s)")
    options = parser.parse_args(arguments)
    for name, low in (("epochs", 1), ("limit", 2), ("threads", 1)):
        value = getattr(options, name)
        if value is not None and value < low:
            raise InputError(f"{value}; at least {low}", where=f"--{name}", help=f"leave --{name} out")
    if min(options.seeds) < 0 or len(set(options.seeds)) < len(options.seeds):
        raise InputError("a seed is negative or named twice", where="--seeds", help="use --seeds 0 1 2")
    options.part = _part(options.part)
    return options


def _part(given: str) -> tuple[int, int]:
    k, slash, n = given.partition("/")
    if not (slash and k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise InputError(f"{given!r}; allowed is k/n with 1 <= k <= n", where="--part", help="use --part 1/2")
    return int(k) - 1, int(n)


def run(options: argparse.Namespace) -> int:
    """Do the jobs of this part, and report on all that is there."""
    wanted = jobs(
        options.sets, options.families, options.seeds, epochs=options.epochs, precision=options.precision,
        limit=options.limit,
    )  # fmt: skip
    first, step = options.part
    todo = [job for job in wanted[first::step] if read(options.out, job) is None]
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        _work(todo, options)
    finally:
        torch.set_num_threads(before)
    found = {(job.set, job.net, job.seed): read(options.out, job) for job in wanted}
    results = Results(
        {key: result for key, result in found.items() if result is not None},
        tuple(job for job in wanted if found[job.set, job.net, job.seed] is None),
    )
    said = text(results)
    sys.stdout.write(said)
    if options.markdown:
        options.markdown.write_text(said)
    if options.json:
        options.json.write_text(json.dumps(_plain(record(results)), indent=1, allow_nan=False) + "\n")
    return 0


def _work(todo: list[Job], options: argparse.Namespace) -> None:
    console = Console(stderr=True, highlight=False)
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        whole = bars.add_task("jobs", total=len(todo))
        one = bars.add_task("")
        for number, job in enumerate(todo, 1):
            bars.reset(one, total=job.epochs, description=job.title)
            result = do(job, options.out, options.data, _advance(bars, one))
            write(options.out, job, result)
            bars.advance(whole)
            console.print(
                f"{number}/{len(todo)} {job.title}: accuracy {100 * result['accuracy']:.2f} %, "
                f"{result['spikes']:,.0f} spikes a sample, {result['train_s']:.0f} s"
            )


def _advance(bars: Progress, task: Any) -> Callable[[object], None]:
    return lambda _epoch: bars.advance(task)


def _plain(value: Any) -> Any:
    """Turn intervals without end into null: JSON has no infinity."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


if __name__ == "__main__":
    sys.exit(main())
