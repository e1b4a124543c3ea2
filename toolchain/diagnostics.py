"""Diagnostics: what a deployment tells its user beside the result, in one form from deploy over the manifest to the report.

A ``warning`` is a loss (``--strict`` refuses it), an ``assumption`` is what was taken where a file does not say it, a ``note``
is anything else worth a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from spikewright.toolchain.errors import PassError

Severity = Literal["warning", "assumption", "note"]
WORDS: dict[Severity, str] = {"warning": "WARNING", "assumption": "assumed", "note": "note"}


@dataclass(frozen=True)
class Diagnostic:
    """One thing to know about a deployment or a run.

    Args:
        code: Stable name of its kind, for scripts, e.g. ``current-wraps``.
        where: The layer, input or file, as in an error.
        what: What was found, and the limit it passes.
        help: What mends it; may be empty.
        severity: See the module.
    """

    code: str
    where: str
    what: str
    help: str = ""
    severity: Severity = "warning"

    def __str__(self) -> str:
        return f"{WORDS[self.severity]}: {self.where}: {self.what}" + (f"\n  help: {self.help}" if self.help else "")


def lines(found: Iterable[Diagnostic], indent: str = "  ") -> list[str]:
    """Return the lines a command prints of them, losses first."""
    order = list(WORDS)
    ranked = sorted(found, key=lambda one: order.index(one.severity))
    return [indent + line for one in ranked for line in str(one).splitlines()]


def plain(found: Iterable[Diagnostic]) -> list[dict[str, str]]:
    """Return them as plain data, for the manifest and ``--json``."""
    return [asdict(one) for one in found]


def read(rows: Iterable[dict[str, Any]]) -> tuple[Diagnostic, ...]:
    """Return what ``plain`` made.

    Raises:
        TypeError: A row has other keys.
    """
    return tuple(Diagnostic(**row) for row in rows)


DEPLOYED = "mend them as said above, or leave --strict out to deploy with warnings"
RUN = "mend them as said above, or leave --strict out; a net that was deployed with it refuses them always"


def refuse_losses(found: Sequence[Diagnostic], name: str, help: str = DEPLOYED) -> None:
    """Refuse a net that loses something: ``--strict``; ``help``: ``RUN`` where the data of a run does.

    Raises:
        PassError: With every warning among them.
    """
    losses = [one for one in found if one.severity == "warning"]
    if losses:
        raise PassError(
            f"{len(losses)} {'loss' if len(losses) == 1 else 'losses'} beyond the limits:\n" + "\n".join(lines(losses)),
            where=f"{name}, --strict",
            help=help,
        )
