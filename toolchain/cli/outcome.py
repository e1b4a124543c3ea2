"""What a verb of the command line returns: text for people, data for ``--json``, and the exit code."""

from __future__ import annotations

from argparse import _SubParsersAction
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

AddParser = Callable[["_SubParsersAction[Any]"], None]
"""An entry point of group ``spikewright.commands``: adds its sub-parser; sets ``run`` to ``Callable[[Namespace], Outcome]``."""


@dataclass(frozen=True)
class Outcome:
    """The result of a verb; only ``toolchain.cli.main`` prints it.

    Args:
        text: What a person reads.
        data: What ``--json`` prints, as JSON.
        code: 0 done, 1 the thing asked about is false, 2 bad input.
    """

    text: str
    data: Any = None
    code: int = 0
