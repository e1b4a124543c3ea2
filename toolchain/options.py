"""Options: what a deployment, or a backend, can be asked for; each stands once, as a field with its help, values and flag.

The parser, the checks of a call from Python, and the command that repeats a deployment are made from the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain.errors import InputError

if TYPE_CHECKING:
    from spikewright.toolchain.passes.lower_gates import Strategy

T = TypeVar("T")

GATES: tuple[Strategy, ...] = ("auto", "static", "causal", "host")
"""Gate lowerings that work."""


@dataclass(frozen=True)
class Option:
    """One option: the field ``name`` of a dataclass, and ``flag`` on the command line."""

    name: str
    flag: str
    kind: type
    default: Any
    help: str
    metavar: str | None
    choices: tuple[str, ...]

    def check(self, value: Any) -> None:
        """Refuse a value of another type, or none of the choices.

        Raises:
            InputError: With what is allowed.
        """
        if value is None and self.default is None:
            return
        if self.choices and value not in self.choices:
            raise InputError(
                f"{value!r}; {', '.join(self.choices)} are allowed",
                where=self.flag,
                help=f"{did_you_mean(value, self.choices)}choose one of these",
            )
        allowed = {int: Integral, float: Real}.get(self.kind, self.kind)
        if not isinstance(value, allowed) or (isinstance(value, bool) and self.kind is not bool):
            raise InputError(
                f"{value!r} is a {type(value).__name__}; expected {self.kind.__name__}",
                where=self.flag,
                help="give a value of this type",
            )


def option(
    default: Any,
    help: str,
    *,
    kind: type = str,
    flag: str = "",
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Return a dataclass field that is an option; ``flag``: where it is not ``--name``."""
    return field(
        default=default, metadata={"help": help, "kind": kind, "flag": flag, "metavar": metavar, "choices": choices}
    )


def declared(what: object) -> tuple[Option, ...]:
    """Return the options that a dataclass, or an instance of one, declares; none of anything else."""
    if not is_dataclass(what):
        return ()
    return tuple(
        Option(
            f.name,
            f.metadata["flag"] or f"--{f.name.replace('_', '-')}",
            f.metadata["kind"],
            None if f.default is MISSING else f.default,
            f.metadata["help"],
            f.metadata["metavar"],
            f.metadata["choices"],
        )
        for f in fields(what)
        if "help" in f.metadata
    )


def with_options(make: type[T], values: Mapping[str, Any], whose: str) -> T:
    """Return ``make(**values)``, all names and values checked.

    Raises:
        InputError: ``whose`` has no option of a name, or a value is not allowed.
    """
    known = {o.name: o for o in declared(make)}
    for name, value in values.items():
        if name not in known:
            raise InputError(
                f"{whose} has no option {name!r}; it has {', '.join(known) or 'none'}",
                where=f"--{name.replace('_', '-')}",
                help=f"{did_you_mean(name, known)}leave it out" + (", or choose one of these" if known else ""),
            )
        known[name].check(value)
    return make(**values)


@dataclass(frozen=True)
class Options:
    """How a model is compiled."""

    chip: str = option("loihi2", "a chip's name or file")
    gates: Strategy = option("auto", "gate lowering", choices=GATES)  # noqa: RUF009 (a field)
    tolerance: float = option(0.01, "accuracy that auto may lose, a fraction", kind=float)
    timesteps: int | None = option(None, "T, where the model does not say it", kind=int, metavar="T")
    dt_s: float | None = option(
        None, "length of a timestep in s, where the model does not say it", kind=float, flag="--dt", metavar="S"
    )
    weight_bits: int | None = option(
        None, "bits of a weight, sign included (default: as the chip has)", kind=int, metavar="N"
    )
    payload_bits: int = option(8, "bits of a gated spike's payload", kind=int, metavar="N")
    input_bits: int | None = option(
        None, "bits of an event count (default: for twice what calibration data shows)", kind=int, metavar="N"
    )
    headroom: float = option(
        1.5, "how much further other data may drive a neuron than calibration data, before it overflows", kind=float
    )
    seed: int = option(0, "draws the calibration samples", kind=int, metavar="N")
    strict: bool = option(False, "refuse a net that loses anything beyond the limits, instead of warning", kind=bool)
    mapping: Literal["greedy", "balanced", "vendor"] = option(
        "balanced",
        "neurons to cores: a layer after the other, even work and little traffic, or as the vendor's compiler cuts",
        choices=("greedy", "balanced", "vendor"),
    )

    def words(self) -> list[str]:
        """Return the words of a command line that ask for the same: every option that is not as by default."""
        found = []
        for one in declared(self):
            value = getattr(self, one.name)
            if value != one.default:
                found += [one.flag] if one.kind is bool else [one.flag, str(value)]
        return found
