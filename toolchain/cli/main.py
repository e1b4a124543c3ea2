"""The command line: parse, call a verb, print; the only place that does.

Exit codes: 0 done; 1 the thing asked about is false; 2 bad input or a failure, ours too; 130 interrupted. ``--json`` prints one
JSON value to stdout and nothing else there; errors go to stderr as ``where: what`` and ``help:``, never as a traceback, which
``--traceback`` adds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.metadata import EntryPoint, version
from types import FrameType
from typing import Any, NoReturn

from spikewright.hw_sim.errors import SpikewrightError, text_of
from spikewright.toolchain.cli import (
    check,
    chips,
    compare,
    demo,
    deploy,
    doctor,
    explore,
    fit,
    lowerings,
    nir,
    passes,
    price,
    report,
    run,
)
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.parser import Parser
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.escaping import visible
from spikewright.toolchain.plugins import points
from spikewright.toolchain.results import plain

OK, INTERRUPTED, BAD_INPUT = 0, 130, 2
ALLOCATOR = "DefaultCPUAllocator: can't allocate memory: "
"""How torch says that memory is short: in a RuntimeError."""
AGAIN_S = 0.02
"""After so many s an interruption that was dropped comes again."""
VERBS = (deploy, check, run, compare, report, explore, price, fit, nir, chips, passes, lowerings, doctor, demo)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with the built-in verbs and those of installed packages."""
    parser = Parser(prog="spikewright", description="Trained attention spiking networks on Loihi-2-style hardware.")
    parser.add_argument("--traceback", action="store_true", help="on a failure, also show where in the code it arose")
    parser.add_argument("--version", action="version", version=f"spikewright {version('spikewright')}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs)
    for point in points("spikewright.commands"):
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


def _library(error: ModuleNotFoundError) -> str:
    """Return the foreign library that is missing; "" where one of our own modules is."""
    library = (error.name or "").partition(".")[0]
    return "" if library == "spikewright" else library


def _missing(error: ModuleNotFoundError, where: str) -> InputError:
    """Say which library is missing; one of our own modules that is missing is our bug, and raised as it is."""
    library = _library(error)
    if not library:
        raise error
    return InputError(
        f"needs {library}, which is not installed", where=where, help="see spikewright doctor for the command"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    with _interruptions() as seen:
        try:
            code = _run(arguments)
        except KeyboardInterrupt:
            code, seen[:] = BAD_INPUT, [signal.SIGINT]
        if code == BAD_INPUT and seen:
            code = INTERRUPTED
            _complain("interrupted")
    return code


@contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Take note of ctrl-C: a library that catches it while it loads (torch does) goes on half loaded, and then fails."""
    seen: list[int] = []
    again: list[threading.Timer] = []

    def swallowed(lost: sys.UnraisableHookArgs) -> None:
        """Interrupt again where Python drops it: in a callback, which nothing can be raised out of."""
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            told(lost)
            return
        again.append(threading.Timer(AGAIN_S, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)))
        again[-1].daemon = True
        again[-1].start()

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        seen.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before, told = signal.signal(signal.SIGINT, interrupt), sys.unraisablehook
    sys.unraisablehook = swallowed
    try:
        yield seen
    finally:
        for timer in again:
            timer.cancel()
        sys.unraisablehook = told
        signal.signal(signal.SIGINT, before)


def _run(arguments: Sequence[str] | None) -> int:
    """Parse, run and print; whatever happens becomes an exit code and a line."""
    parsed = argparse.Namespace(traceback=False)
    try:
        try:
            parsed = build_parser().parse_args(arguments)
        except SystemExit as done:  # --help and --version
            _flush()
            return done.code if isinstance(done.code, int) else OK
        with redirect_stdout(_Aside()):
            outcome: Outcome = parsed.run(parsed)
        return _print(outcome, as_json=getattr(parsed, "json", False) is True)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the last place to say it; a model can raise anything, even SystemExit
        return _failed(error, parsed.traceback)


class _Aside(io.TextIOBase):
    """Where a model's own prints go: to stderr; stdout is for the answer."""

    def write(self, text: str) -> int:
        """Pass it on."""
        with suppress(OSError, ValueError, AttributeError):  # closed, or none
            sys.stderr.write(visible(text))
        return len(text)


def _failed(error: BaseException, with_traceback: bool) -> int:
    """Say what went wrong on stderr."""
    if with_traceback:
        _complain("".join(traceback.format_exception(error)).rstrip())
    said = described(error)
    _complain(str(said) if said.where else f"spikewright: {said}")
    return BAD_INPUT


def described(error: BaseException) -> SpikewrightError:
    """Return any exception as an error that says where, what and help."""
    match error:
        case SpikewrightError():
            return error
        case ModuleNotFoundError() if _library(error):
            return _missing(error, "spikewright")
        case MemoryError():
            return InputError(
                f"the memory of this machine is not enough{f' ({error})' if str(error) else ''}",
                where="memory",
                help="take fewer samples (--limit, a smaller file) or a smaller net, or a machine with more memory",
            )
        case RuntimeError() if ALLOCATOR in text_of(error):
            return described(MemoryError(text_of(error).partition(ALLOCATOR)[2][:200]))
        case RecursionError():
            return InputError(
                "something is nested too deep to be read or walked through",
                where=_place(error),
                help="flatten what is nested in the model or file; run `spikewright --traceback VERB ...` to see where",
            )
        case OSError():
            return InputError(
                error.strerror or str(error),
                where=str(error.filename or "operating system"),
                help="check the path, its permissions and the free space",
            )
    return InputError(
        f"a fault of spikewright: {text_of(error)}",
        where=_place(error),
        help="please report it, with the command, its input and what `spikewright --traceback VERB ...` shows",
    )


def _place(error: BaseException) -> str:
    """Return file and line of an exception, the innermost of our own where there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "spikewright" in frame.filename] or list(frames)
    return f"{own[-1].filename}:{own[-1].lineno}" if own else "spikewright"


def _complain(text: str) -> None:
    """Write to stderr, if there is one."""
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):  # closed: nobody can be told
        print(visible(text), file=sys.stderr, flush=True)


def _print(outcome: Outcome, *, as_json: bool) -> int:
    """Write the answer to stdout and return the exit code."""
    text = json.dumps(plain(outcome.data), indent=2, allow_nan=False) if as_json else visible(outcome.text)
    with _written():
        print(text, flush=True)
    return outcome.code


def _flush() -> None:
    """Bring what argparse printed to its reader."""
    with _written():
        print(end="", flush=True)


@contextmanager
def _written() -> Iterator[None]:
    """Write to stdout; a reader that has gone has seen what it wanted.

    Raises:
        InputError: It cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        _give_up_stdout()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        _give_up_stdout()
        raise InputError(f"cannot be written ({reason})", where="stdout", help="check where the output goes") from error


def _give_up_stdout() -> None:
    """Let what is still buffered go nowhere, so that the end of the process does not fail on it."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open until the process ends)
    with suppress(OSError):
        os.dup2(sys.stdout.fileno(), 1)


if __name__ == "__main__":
    sys.exit(main())
