"""Options: what a deployment, or a backend, can be asked for; each stands once, as a field with its help, values and flag.

The parser, the checks of a call from Python, and the command that repeats a deployment are made from the fields. What a field
is for stands with it, as facts of the model and its data (``FACTS``): where none of them holds, it is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from math import isfinite
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.limits import HEADROOM, TOLERANCE
from spikewright.toolchain.nirx.dialects import DIALECTS
from spikewright.toolchain.nirx.metadata import COMPARISONS, DECAYS, RESETS, STARTS

if TYPE_CHECKING:
    from spikewright.toolchain.passes.lower_gates import Strategy

T = TypeVar("T")

SPELLED = {"gt": ">", "ge": ">="}
"""Comparisons as a shell takes them without quotes."""
GATES: tuple[Strategy, ...] = ("auto", "static", "causal", "barrier", "replay", "host")
"""Gate lowerings that work."""


def start(text: str | float) -> float | str:
    """Return a membrane's start: a number, ``leak`` or ``reset``.

    Raises:
        ValueError: It is none of these.
    """
    return text if text in STARTS else float(text)


FACTS = {
    "foreign": "a .nir file of another framework, which leaves open how it is read",
    "float": "a model that is not integer yet",
    "integer": "a .net file, or another integer net",
    "latent": "an autoencoder, whose latent is drawn",
    "unsized": "a .net file that begins with a convolution, or a .nir file that says no shape of its input",
    "attention": "a net with attention",
    "graded": "a net whose attention the host computes, so that its spikes come with a payload",
    "drawn": "calibration samples that are drawn from a data set",
    "measured": "--mapping search on data",
    "data set": "a data set that is named, or that the model was trained on",
}
"""What an option can be for, in words."""


@dataclass(frozen=True)
class Option:
    """One option: the field ``name`` of a dataclass, and ``flag`` on the command line."""

    name: str
    flag: str
    kind: Callable[[str], Any]
    default: Any
    help: str
    metavar: str | None
    choices: tuple[str, ...]
    many: bool = False
    above: float | None = None
    applies: tuple[str, ...] = ()

    def check(self, value: Any) -> None:
        """Refuse a value of another type, or none of the choices.

        Raises:
            InputError: With what is allowed.
        """
        if self.many or (value is None and self.default is None):
            return
        if self.choices and value not in self.choices:
            raise InputError(
                f"{value!r}; {', '.join(self.choices)} are allowed",
                where=self.flag,
                help=f"{did_you_mean(value, self.choices)}choose one of these",
            )
        taken: dict[Any, Any] = {int: Integral, float: Real, start: (Real, str)}
        allowed = taken.get(self.kind, self.kind)
        if not isinstance(value, allowed) or (isinstance(value, bool) and self.kind is not bool):
            raise InputError(
                f"{value!r} is a {type(value).__name__}; expected {self.kind.__name__}",
                where=self.flag,
                help="give a value of this type",
            )
        if self.kind is float and not isfinite(value):
            raise InputError(f"{value}; a finite number is allowed", where=self.flag, help="give a finite number")
        if self.above is not None and value <= self.above:
            raise InputError(
                f"{value:g}; above {self.above:g} is allowed",
                where=self.flag,
                help=f"give a number above {self.above:g}",
            )


def option(
    default: Any,
    help: str,
    *,
    kind: Callable[[str], Any] = str,
    flag: str = "",
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    many: bool = False,
    above: float | None = None,
    applies: tuple[str, ...] = (),
) -> Any:
    """Return a dataclass field that is an option.

    Args:
        default: Where it is not given.
        help: One line.
        kind: Reads a word.
        flag: Where it is not ``--name``.
        metavar: What the help shows for its value.
        choices: Allowed values.
        many: It may be given again.
        above: A number below all allowed ones.
        applies: The facts (``FACTS``) of which one must hold; none: it is for every model.
    """
    said = {
        "help": help,
        "kind": kind,
        "flag": flag,
        "metavar": metavar,
        "choices": choices,
        "many": many,
        "above": above,
        "applies": applies,
    }
    return field(default=default, metadata=said)


def gates_word(gates: Any) -> str:
    """Return gates as ``STRATEGY`` or ``BLOCK=STRATEGY,...``, from that, several of them, or a strategy by block.

    Raises:
        InputError: A strategy is none of those that work, a block has no name, or one is asked for two strategies.
    """
    words = [f"{block}={kind}" for block, kind in gates.items()] if isinstance(gates, Mapping) else gates
    words = [words] if isinstance(words, str) or not isinstance(words, Iterable) else list(words)
    found = [word.strip() for one in words for word in str(one).split(",")]
    asked: dict[str, str] = {}
    for word in found:
        block, named, kind = word.rpartition("=")
        if named and not block.strip():
            raise InputError(
                f"{word!r} names no block", where="--gates", help="write BLOCK=STRATEGY, or a STRATEGY alone"
            )
        if kind not in GATES:
            raise InputError(
                f"{kind!r}; {', '.join(GATES)} are allowed",
                where="--gates",
                help=f"{did_you_mean(kind, GATES)}choose one of these, for all blocks or as BLOCK=STRATEGY",
            )
        if asked.setdefault(block, kind) != kind:
            of = f"block {block!r}" if block else "all blocks"
            raise InputError(
                f"{asked[block]!r} and {kind!r} for {of}", where="--gates", help="ask for one strategy, or name a block"
            )
    return ",".join(found)


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
            f.metadata["many"],
            f.metadata["above"],
            f.metadata["applies"],
        )
        for f in fields(what)
        if "help" in f.metadata
    )


def refuse_unfit(options: object, facts: Mapping[str, bool], name: str) -> None:
    """Refuse options that were given and are for something else; those whose facts are not known yet are left.

    Args:
        options: An instance of a class with options.
        facts: Which of ``FACTS`` hold, as far as it is known.
        name: What the model is called.

    Raises:
        InputError: Names the options, and what they are for.
    """
    unfit = [
        one
        for one in declared(options)
        if one.applies
        and getattr(options, one.name) != one.default
        and all(fact in facts and not facts[fact] for fact in one.applies)
    ]
    if unfit:
        alike = [one.flag for one in unfit if one.applies == unfit[0].applies]
        meant = ", or ".join(FACTS[fact] for fact in unfit[0].applies)
        raise InputError(
            f"{'is' if len(alike) == 1 else 'are'} for {meant}; this is not so of {name!r}",
            where=", ".join(alike),
            help="leave it out" if len(alike) == 1 else "leave them out",
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
class Reading:
    """How a .nir file is read where it does not say: NIR has no field for any of this. None: as the dialect says."""

    dialect: str | None = option(
        None,
        "framework a .nir file comes from (default: as its metadata say, else NIR's equations)",
        choices=tuple(DIALECTS),
        applies=("foreign",),
    )
    reset: str | None = option(
        None,
        "after a spike v goes to v_reset, or loses v_threshold at once, or one step late (snnTorch)",
        choices=RESETS,
        applies=("foreign",),
    )
    comparison: str | None = option(
        None,
        "neurons fire at v > v_threshold, or >= (in a shell: gt, ge); a .net file's too",
        choices=(*COMPARISONS, *SPELLED),
        applies=("foreign", "integer"),
    )
    decay: str | None = option(
        None, "a step keeps 1 - dt/tau of v (euler), or exp(-dt/tau) (exact)", choices=DECAYS, applies=("foreign",)
    )
    v0: float | str | None = option(
        None,
        "v before the first step: a number, or leak (v_leak), or reset (v_reset)",
        kind=start,
        metavar="V",
        applies=("foreign",),
    )
    refractory: int | None = option(
        None, "steps from a spike to the next possible one (1: none)", kind=int, metavar="N", applies=("foreign",)
    )
    max_spikes: int | None = option(
        None, "spikes in one step at most (0: as many as fit)", kind=int, metavar="N", applies=("foreign",)
    )
    v_min: float | None = option(None, "v never falls below it", kind=float, metavar="V", applies=("foreign",))


@dataclass(frozen=True)
class Options(Reading):
    """How a model is compiled."""

    chip: str = option("loihi2", "a chip's name or file")
    gates: str = option(
        "auto",
        f"gate lowering ({', '.join(GATES)}) of all blocks, or BLOCK=STRATEGY of one; may be given again, or joined by commas",
        kind=str,
        metavar="[BLOCK=]STRATEGY",
        choices=GATES,
        many=True,
        applies=("attention",),
    )
    streams: Literal["auto", "distribute", "relay"] = option(
        "auto",
        "residual streams of membranes: each reader has its own synapses (distribute), or neurons pass them on as graded "
        "payloads (relay; reported with its density); auto: what takes less energy and fewer cores, without "
        "a dense relay if that fits",
        choices=("auto", "distribute", "relay"),
        applies=("float",),
    )
    tolerance: float = option(
        TOLERANCE,
        "share of the samples that quantizing, and gates that auto chooses, may answer worse: right ones, or without "
        "labels the float net's",
        kind=float,
        applies=("float",),
    )
    timesteps: int | None = option(None, "T, where the model does not say it", kind=int, metavar="T")
    steps: Literal["layer", "chip"] = option(
        "layer",
        "of a .net file's layers: each runs its own T steps, one chip step later than the layer before (layer), or all stop "
        "after chip step T, as silicon does, so that deeper layers run fewer (chip)",
        choices=("layer", "chip"),
        applies=("integer",),
    )
    dt_s: float | None = option(
        None,
        "length of a timestep in s, where the model does not say it",
        kind=float,
        flag="--dt",
        metavar="S",
        above=0,
    )
    input_shape: str | None = option(
        None,
        "shape of one input frame, where the model does not say it (default: as the samples)",
        metavar="C,H,W",
        applies=("unsized",),
    )
    layout: Literal["TB", "BT", "S", "B", "N"] | None = option(
        None,
        "axes of a torch model's example: TB (T, B, ...), BT (B, T, ...), S (T, B, ...) of a net that takes one step a call, "
        "B a frame that the net repeats, N (B T, ...) (default: as it fits)",
        choices=("TB", "BT", "S", "B", "N"),
    )
    weight_bits: int | None = option(
        None,
        "bits of a weight, sign included (default: as the chip has)",
        kind=int,
        metavar="N",
        applies=("float",),
    )
    payload_bits: int = option(
        8, "bits of the payload of a spike that the host gates", kind=int, metavar="N", applies=("graded",)
    )
    input_bits: int | None = option(
        None, "bits of an event count (default: for twice what calibration data shows)", kind=int, metavar="N"
    )
    headroom: float = option(
        HEADROOM,
        "how much further other data may drive a neuron than calibration data, before it overflows",
        kind=float,
        applies=("float",),
    )
    coding: str | None = option(
        None,
        "how a data set is coded where the model does not say: direct, rate, latency; of events count, time (bins of --dt), "
        "or count-binary, time-binary (default: direct; of events, time)",
        metavar="NAME",
        applies=("data set",),
    )
    seed: int = option(
        0,
        "draws the calibration samples, and an autoencoder's latent; of a search",
        kind=int,
        metavar="N",
        applies=("drawn", "latent", "measured"),
    )
    strict: bool = option(False, "refuse a net that loses anything beyond the limits, instead of warning", kind=bool)
    mapping: Literal["greedy", "balanced", "vendor", "search"] = option(
        "balanced",
        "neurons to cores: a layer after the other, even work and little traffic, as the vendor's compiler cuts, or the "
        "fastest of a search of at most 4 minutes (ctrl-C: the fastest so far)",
        choices=("greedy", "balanced", "vendor", "search"),
    )

    def __post_init__(self) -> None:
        """Write gates of any form (a strategy, a dict by block, several words) as one word."""
        object.__setattr__(self, "gates", gates_word(self.gates))

    def words(self) -> list[str]:
        """Return the words of a command line that ask for the same: every option that is not as by default."""
        found = []
        for one in declared(self):
            value = getattr(self, one.name)
            if value != one.default:
                found += [one.flag] if one.kind is bool else [one.flag, str(value)]
        return found
