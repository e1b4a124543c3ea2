"""The command line: parse, call a verb, print; the only place that does.

Exit codes: 0 done; 1 the thing asked about is false; 2 bad input; 130 interrupted. ``--json`` prints one JSON value to
stdout and nothing else there; errors go to stderr as ``where: what`` and ``help:``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points, version
from types import FrameType
from typing import Any, NoReturn

from spikewright.hw_sim.errors import SpikewrightError
from spikewright.toolchain.cli import check, chips, compare, demo, deploy, doctor, fit, passes, price, report, run
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import Parser
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.results import plain

OK, INTERRUPTED, BAD_INPUT = 0, 130, 2
VERBS = (deploy, check, run, compare, report, price, fit, chips, passes, doctor, demo)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with the built-in verbs and those of installed packages."""
    parser = Parser(prog="spikewright", description="Trained attention spiking networks on Loihi-2-style hardware.")
    parser.add_argument("--version", action="version", version=f"spikewright {version('spikewright')}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs)
    for point in sorted(entry_points(group="spikewright.commands"), key=lambda p: p.name):
        _add_plugin(verbs, point)
    return parser


def _add_plugin(verbs: Any, point: EntryPoint) -> None:
    """Add a verb of another package; one that lacks a library is refused when it is asked for."""
    try:
        point.load()(verbs)
    except ModuleNotFoundError as error:
        lacks = _missing(error, point.name)

        def refuse(_arguments: argparse.Namespace) -> Outcome:
            raise lacks

        verbs.add_parser(point.name, help=f"({lacks.what})").set_defaults(run=refuse)


def _missing(error: ModuleNotFoundError, where: str) -> InputError:
    """Say which library is missing; one of our own modules that is missing is our bug, and raised as it is."""
    library = (error.name or "").partition(".")[0]
    if library in ("", "spikewright"):
        raise error
    return InputError(
        f"needs {library}, which is not installed", where=where, help="see spikewright doctor for the command"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    with _interruptions() as seen:
        code = _run(arguments)
    if code != BAD_INPUT or not seen:
        return code
    print("interrupted", file=sys.stderr)
    return INTERRUPTED


@contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Take note of ctrl-C: a library that catches it while it loads (torch does) goes on half loaded, and then fails."""
    seen: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        seen.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        parsed = build_parser().parse_args(arguments)
        outcome: Outcome = parsed.run(parsed)
        _print(outcome, as_json=getattr(parsed, "json", False) is True)
        return outcome.code
    except SpikewrightError as error:
        print(error if error.where else f"spikewright: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except ModuleNotFoundError as error:
        print(_missing(error, "spikewright"), file=sys.stderr)
    except OSError as error:
        what = InputError(
            error.strerror or str(error),
            where=str(error.filename or "operating system"),
            help="check the path, its permissions and the free space",
        )
        print(what, file=sys.stderr)
    return BAD_INPUT


def _print(outcome: Outcome, *, as_json: bool) -> None:
    print(json.dumps(plain(outcome.data), indent=2, allow_nan=False) if as_json else outcome.text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
