"""The base of every error a user can see: where it is, what was found and what is allowed, how to mend it."""

from __future__ import annotations

import pickle
import struct
import tokenize
import traceback
import zipfile
import zlib

UNFIT = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError,
)  # fmt: skip
"""What code ends in where a value from a file is beyond all that it asks about."""
DAMAGE = (
    *UNFIT, EOFError, SyntaxError, pickle.PickleError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What readers of archives, arrays, pictures and tensors raise for a file that is cut, altered or none of theirs."""


class SpikewrightError(Exception):
    """An error caused by input: printed as ``where: what`` and ``help:``, exit code 2.

    Args:
        what: What was found, and what is allowed, with the numbers.
        where: The file, layer, core or option it is about.
        help: The smallest change that mends it.
    """

    def __init__(self, what: str, *, where: str = "", help: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.help = help

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  help: {self.help}" if self.help else head


def text_of(error: BaseException) -> str:
    """Return kind and text of any exception on one line, also of one whose text cannot be made."""
    return " ".join(traceback.format_exception_only(error)[-1].split())[:500]


class ChipError(SpikewrightError):
    """A chip file that is missing, unreadable, or holds an unknown, unsourced or unitless number."""


class ProgramError(SpikewrightError):
    """A program that is not legal: wrong shapes, ranges or references."""


class CapacityError(SpikewrightError):
    """A program that does not fit the chip; names layer, core, limit and by how much."""


class SaturationError(SpikewrightError):
    """A state left its 24-bit range while ``strict`` was asked for."""
