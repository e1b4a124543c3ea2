"""The table of foreign classes: class name -> our module or NIR node, matched by name and fields, never by an import.

A row says what one class is. It is found by the class of a module, or a base of it, through the class's name and the fields
that a module must have, so a framework need not be installed. Users add rows by ``register``, or by an entry point of the group
``spikewright.modules`` that names a tuple of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Literal, TypeAlias

import nir
from torch import nn

from spikewright.export.foreign.node import NodeModule
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.plugins import points

Kind = Literal["layer", "neuron", "filter", "attention", "gate"]
Made: TypeAlias = nn.Module | nir.NIRNode


@dataclass(frozen=True)
class Site:
    """Where a module is called: what a maker may ask for."""

    shape: tuple[int, ...]
    """Shape of the operand, T and B left out."""
    steps: int
    """T."""
    where: str
    """For error messages."""

    def need(self, holds: bool, what: str, help: str) -> None:
        """Refuse where a condition does not hold.

        Raises:
            UnsupportedNodeError: It does not.
        """
        if not holds:
            raise UnsupportedNodeError(what, where=self.where, help=help)


@dataclass(frozen=True)
class Row:
    """One class: what it is called, how it is known, and what it becomes.

    ``kind``: a *layer* maps every frame; a *neuron* integrates over time and fires; a *filter* sends a value every step (the
    membrane of a read-out, a delayed signal); an *attention* gates the current of the neuron that follows and is fused with
    it; a *gate* scales the spikes of one operand by another.
    """

    name: str
    """Class name, or a pattern of ``module.Class``: ``"LIFNode"``, ``"snntorch.*.Leaky"``."""
    make: Callable[[nn.Module, Site], Made] | None
    """Our module with the weights copied, or a NIR node; None: there is no equal, and ``equation`` says why."""
    equation: str
    """What it computes, or the reason why it is refused."""
    ours: str = ""
    """What it becomes, for the table."""
    kind: Kind = "neuron"
    fields: tuple[str, ...] = ()
    """Attributes a module must have to be meant."""
    time_axis: Callable[[nn.Module], int | None] | int | None = None
    """The axis of time where it takes all steps at once; -1: it takes one step a call; None: as it is called."""
    keeps_state: bool = True
    """Whether its state lives from one call to the next: such a module stands at one place of a net."""
    fuse: Callable[[nn.Module, nn.Module | None, Site], Made] | None = None
    """For attention and gates: (module, our neuron) -> ours; without a neuron, the attention alone."""
    membrane: Callable[[nn.Module, Site], tuple[nn.Module, Any]] | None = None
    """For neurons that hand out their membrane last: what filters the current to it, and the (negative) weight of each neuron's
    own spike of the step before on that current; refuses where it is no such filter."""
    help: str = ""
    """For a class without an equal: what to do instead."""
    front: Callable[[nn.Module, Site], nn.Module] | None = None
    """For classes that hold a linear map in front of their neurons: that map."""
    package: str = ""
    """Only classes of this package (or of its name's first part); empty: wherever it is defined."""

    def matches(self, kind: type, module: nn.Module) -> bool:
        """Whether the class (of the module, or a base of it) is this row's."""
        full = f"{kind.__module__}.{kind.__qualname__}"
        named = fnmatchcase(full, self.name) if "." in self.name else fnmatchcase(kind.__name__, self.name)
        inside = not self.package or kind.__module__.split(".")[0] == self.package
        return named and inside and all(hasattr(module, name) for name in self.fields)

    def axis(self, module: nn.Module) -> int | None:
        """Return the axis of time of this module."""
        return self.time_axis(module) if callable(self.time_axis) else self.time_axis


@dataclass(frozen=True)
class Table:
    """The rows of one framework."""

    framework: str
    rows: tuple[Row, ...]
    notes: str = ""


_OWN: dict[str, Row] = {}


def register(name: str | type[nn.Module], make: Callable[..., Made] | None = None, **options: Any) -> Any:
    """Say what a module class is; also a decorator of the function that makes our form of it.

    ::

        @register("mylab.layers.MyLIF", equation="v = .9 v + x; s = v > 1; to 0")
        def my_lif(module, site):
            return LIF(0.9, 1.0, comparison=">")

    Args:
        name: A class, its name, or a pattern of ``module.Class``.
        make: (module, site) -> our module with the weights copied, or a NIR node.
        options: The other fields of ``Row``.

    Raises:
        ImportingError: An option that no row has.
    """
    key = name if isinstance(name, str) else f"{name.__module__}.{name.__qualname__}"
    if make is None:
        return lambda function: register(key, function, **options)
    try:
        _OWN[key] = Row(key, make, **{"equation": (make.__doc__ or "").strip() or key, **options})
    except TypeError as error:
        raise ImportingError(str(error), where=f"register({key!r})", help="see help(Row)") from error
    return make


def forget(name: str) -> None:
    """Take back what was registered under a name."""
    _OWN.pop(name, None)


@cache
def tables() -> Mapping[str, Table]:
    """Return the tables by framework: those of the entry points ``spikewright.modules``.

    Raises:
        ImportingError: An entry point does not name a table.
    """
    found: dict[str, Table] = {}
    for point in points("spikewright.modules"):
        try:
            table = point.load()
        except Exception as error:  # somebody else's package can raise anything
            raise ImportingError(
                f"cannot be loaded: {type(error).__name__}: {error}",
                where=f"entry point {point.name!r} of spikewright.modules",
                help="correct or uninstall the package that provides it",
            ) from error
        if isinstance(table, Row):
            table = (table,)
        found[point.name] = table if isinstance(table, Table) else Table(point.name, tuple(table))
    return found


def _rows() -> Iterable[tuple[str, Row]]:
    for row in reversed(_OWN.values()):
        yield "registered", row
    for name, table in tables().items():
        for row in table.rows:
            yield name, row


def row_of(module: nn.Module) -> Row | None:
    """Return the row of a module: of its class, else of the nearest base that has one."""
    found = named_row_of(module)
    return None if found is None else found[1]


def named_row_of(module: nn.Module) -> tuple[str, Row] | None:
    """Return the table's name and the row of a module, if it has one."""
    for kind in type(module).__mro__:
        if kind in (nn.Module, object):
            break
        for name, row in _rows():
            if row.matches(kind, module):
                return name, row
    return None


OTHERWISE = (
    "use a class with a row in docs/frameworks.md, or say what yours is: register(...) of spikewright.export.foreign"
)
"""What to do about a class without an equal."""


def refuse_unknown(net: nn.Module, where: str) -> None:
    """Refuse, before any work, a net that holds a class with a row that says it has no equal.

    Raises:
        UnsupportedNodeError: It does; the class, its place and the reason are named.
    """
    for name, module in net.named_modules():
        row = row_of(module)
        if row is not None and row.make is None and row.fuse is None:
            raise UnsupportedNodeError(
                f"{type(module).__name__} has no equal here: {row.equation}",
                where=f"{where}: module {name!r}",
                help=row.help or OTHERWISE,
            )


def as_module(made: Made, *, spiking: bool) -> nn.Module:
    """Wrap a NIR node as a module of the traced net."""
    return made if isinstance(made, nn.Module) else NodeModule(lambda *_: made, spiking=spiking)
