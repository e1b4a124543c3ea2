"""The parser of the command line: complaints like every other error, and options made from what declares them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.options import Option


class Parser(argparse.ArgumentParser):
    """A parser that says where, what and help; ``late`` adds options only once its verb is asked for."""

    late: Callable[[Parser], None] | None = None

    def error(self, message: str) -> NoReturn:
        """Raise what the command line prints.

        Raises:
            InputError: Always.
        """
        raise InputError(message, where=self.prog, help=f"see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, and refuse an option that the verb does not have.

        Raises:
            InputError: An option is unknown; the nearest one is named.
        """
        if self.late is not None:
            self.late(self)
            self.late = None
        found, rest = super().parse_known_args(args, namespace)
        unknown = [word for word in rest if word.startswith("-")]
        near = did_you_mean(unknown[0].partition("=")[0], self._option_string_actions) if unknown else ""
        if rest:
            raise InputError(
                f"unrecognized arguments: {' '.join(rest)}", where=self.prog, help=f"{near}see {self.prog} --help"
            )
        return found, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            what = action.option_strings[-1] if action.option_strings else action.metavar or action.dest
            raise InputError(
                f"{value!r}; {', '.join(names)} are allowed",
                where=f"{self.prog} {what}",
                help=f"{did_you_mean(value, names)}see {self.prog} --help",
            )


def add_declared(parser: argparse.ArgumentParser | argparse._ArgumentGroup, options: Iterable[Option]) -> None:
    """Add options as a dataclass declares them; those not given are left out of the namespace."""
    for one in options:
        if one.kind is bool:
            parser.add_argument(one.flag, dest=one.name, action="store_true", default=argparse.SUPPRESS, help=one.help)
            continue
        default = "" if one.default is None else f" (default {one.default})"
        parser.add_argument(
            one.flag,
            dest=one.name,
            type=one.kind,
            action="append" if one.many else "store",
            default=argparse.SUPPRESS,
            metavar=one.metavar or (f"{{{','.join(one.choices)}}}" if one.choices else one.name.upper()),
            help=f"{one.help}{default}",
        )


def values(arguments: argparse.Namespace, options: Sequence[Option]) -> dict[str, Any]:
    """Return the options that were given."""
    return {one.name: getattr(arguments, one.name) for one in options if hasattr(arguments, one.name)}


def add_backends_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--backends``."""
    default = ["interpreter", "hw_sim"]
    parser.add_argument("--backends", nargs="+", default=default, metavar="NAME", help=f"{what} (default %(default)s)")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--dataset``, ``--input``, ``--data`` and ``--limit``."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--dataset", metavar="NAME", help="test split of a data set (default: the bundle's own samples)"
    )
    source.add_argument("--input", type=Path, metavar="FILE.npz", help="x (T, B, C, H, W) and, for accuracy, y (B,)")
    add_folder_option(parser, "; without --dataset: its whole test split is taken")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")


def add_strict_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--strict``."""
    help = "refuse data on which anything is lost beyond the limits (docs/losses.md), instead of warning"
    parser.add_argument("--strict", action="store_true", help=help)


def add_folder_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup, more: str = "") -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data",
        type=no_file,
        metavar="DIR",
        help=f"folder of the data set, or the one above it (default: ~/.spikewright/data/<name>){more}",
    )


def place(word: str, flag: str = "--out") -> Path:
    """Return the folder that a word behind an option names.

    Raises:
        InputError: It names none, as a variable of the shell that is not set.
    """
    if not word:
        raise InputError("names no folder", where=f"{flag} ''", help="name one; . is the one you are in")
    return Path(word)


def no_file(word: str) -> Path:
    """Return the folder of a word; where nothing is, the data set says how to get it.

    Raises:
        InputError: Something else stands there, or it names none.
    """
    if os.path.lexists(word) and not os.path.isdir(word):
        raise InputError(
            f"{word} is no folder", where="--data", help="give the folder of the data set, or the one above it"
        )
    return place(word, "--data")


def chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what ``add_data_options`` was given, as ``Deployment.run`` takes it."""
    x = arguments.input if arguments.input is not None else arguments.dataset
    return {"x": x, "limit": arguments.limit, "data": arguments.data}
