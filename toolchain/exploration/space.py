"""The space: what an exploration varies, as axes with values, and its configurations, the grid of all of them.

Axes in the order they are walked, so that neighbours share as many stages of the compiler as they can: the last varies fastest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.gates import GATES as GATE_FUNCTIONS
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.options import GATES, Option, Options, declared

TRAINED = "trained"
"""The gate function that a net was trained with."""
BLOCK = "gates."
"""Begins the axis of one block's lowering."""
AXES: dict[str, str] = {
    "gate_kind": f"gate function of all blocks: {TRAINED}, {', '.join(GATE_FUNCTIONS)}",
    "gates": f"lowering of all blocks: {', '.join(GATES)}",
    f"{BLOCK}BLOCK": "lowering of one block",
    "streams": "as --streams",
    "headroom": "as --headroom",
    "input_bits": "as --input-bits",
    "weight_bits": "as --weight-bits",
    "payload_bits": "as --payload-bits",
    "mapping": "as --mapping",
}
"""What can be varied, in the order of the stages that read it."""
MOST_LOWERINGS = 16
"""Lowerings that are tried by default; a net with more combinations of its blocks gets each for all blocks alike."""
COARSER = 2
"""Bits that the coarser values of a default axis lack, once and twice."""
MOST = 100_000
"""Configurations at most."""

Axes = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Configuration:
    """One point of the grid: the value of every axis, by name."""

    values: tuple[tuple[str, Any], ...]

    @property
    def gate_kind(self) -> str:
        """The gate function of all blocks."""
        return str(dict(self.values).get("gate_kind", TRAINED))

    def options(self, base: Options) -> Options:
        """Return the options of a deployment."""
        chosen = {name: value for name, value in self.values if name != "gate_kind" and not name.startswith(BLOCK)}
        blocks = [f"{name.removeprefix(BLOCK)}={value}" for name, value in self.values if name.startswith(BLOCK)]
        if blocks:
            rest = [
                word for word in (chosen.get("gates", base.gates),) if word != "auto"
            ]  # which would judge all of it
            chosen["gates"] = ",".join([*rest, *blocks])
        return replace(base, **chosen)

    def group(self) -> tuple[Any, ...]:
        """Return what it shares with its neighbours up to the mapping, the last stage."""
        return tuple(value for name, value in self.values if name != "mapping")


def configurations(axes: Axes) -> tuple[Configuration, ...]:
    """Return the grid, in the order of the axes.

    Raises:
        InputError: It is too large.
    """
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MOST:
        raise InputError(
            f"{count:,} configurations; up to {MOST:,} are explored", where="--axis", help="give fewer values"
        )
    return tuple(Configuration(tuple(zip(axes, values, strict=True))) for values in product(*axes.values()))


# ------------------------------------------------------------------------------------------- what was asked for
def read_axes(words: Iterable[str]) -> dict[str, list[str]]:
    """Read ``NAME=VALUE,...``.

    Raises:
        InputError: A word is not of this form, or an axis comes twice.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not values.strip():
            raise InputError(
                f"{word!r}; NAME=VALUE,... is expected", where="--axis", help="e.g. --axis weight_bits=8,6,4"
            )
        if name.strip() in found:
            raise InputError("is given twice", where=f"--axis {name.strip()}", help="join the values by commas")
        found[name.strip()] = [value.strip() for value in values.split(",")]
    return found


def checked_axes(asked: Mapping[str, Sequence[Any]], graph: Graph | None, base: Options) -> Axes:
    """Return axes with typed, allowed values, in the order of ``AXES``.

    Args:
        asked: Values by axis; as text, they are read.
        graph: The float net, for the names of its blocks; None: a model that is integer already.
        base: The other options.

    Raises:
        InputError: An axis or value is unknown, has no values, or the option is fixed as well.
    """
    found: Axes = {}
    for given, values in asked.items():
        name = str(given).replace("-", "_") if not str(given).startswith(BLOCK) else str(given)
        values = (values,) if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
        where = f"--axis {name}"
        if not values:
            raise InputError("has no values", where=where, help="give some, or leave it out")
        found[name] = tuple(dict.fromkeys(_value(name, value, where, graph) for value in values))
        _refuse_fixed(name, base, where)
    order = [*list(AXES)]
    return dict(sorted(found.items(), key=lambda item: order.index(_kind(item[0]))))


def _kind(name: str) -> str:
    return f"{BLOCK}BLOCK" if name.startswith(BLOCK) else name


def _value(name: str, value: Any, where: str, graph: Graph | None) -> Any:
    if _kind(name) not in AXES:
        known = list(AXES)
        raise InputError(
            f"there is no such axis; there are {', '.join(known)}",
            where=where,
            help=f"{did_you_mean(name, known)}choose one of these",
        )
    if graph is None and name != "mapping":
        raise InputError(
            "the model is integer already: nothing of it is quantized, and it has no gates",
            where=where,
            help="vary --axis mapping=balanced,vendor",
        )
    if name.startswith(BLOCK):
        _known_block(name.removeprefix(BLOCK), graph, where)
        return _one_of(value, GATES, where)
    if name == "gate_kind":
        return _one_of(value, (TRAINED, *GATE_FUNCTIONS), where)
    if name == "gates":
        return _one_of(value, GATES, where)
    return _typed(next(one for one in declared(Options) if one.name == name), value, where)


def _known_block(block: str, graph: Graph | None, where: str) -> None:
    blocks = [op.block for op in attention(graph)]
    if block not in blocks:
        raise InputError(
            f"there is no attention block {block!r}; there are {', '.join(map(repr, blocks)) or 'none'}",
            where=where,
            help=f"{did_you_mean(block, blocks)}name a block that has attention, as {BLOCK}BLOCK",
        )


def _one_of(value: Any, allowed: Sequence[str], where: str) -> str:
    if value not in allowed:
        raise InputError(
            f"{value!r}; {', '.join(allowed)} are allowed",
            where=where,
            help=f"{did_you_mean(value, allowed)}choose one of these",
        )
    return str(value)


def _typed(one: Option, value: Any, where: str) -> Any:
    """Return a value in the option's type; text is read."""
    try:
        found = one.kind(value) if isinstance(value, str) else value
        one.check(found)
    except ValueError as error:
        raise InputError(
            f"{value!r}; a {one.kind.__name__} is expected", where=where, help="give values of this type"
        ) from error
    return found


def _refuse_fixed(name: str, base: Options, where: str) -> None:
    """Refuse an axis whose option was given, too."""
    known = {one.name: one for one in declared(Options)}
    if name in known and getattr(base, name) != known[name].default:
        raise InputError(f"{known[name].flag} fixes what this varies", where=where, help="leave one of the two out")


# ------------------------------------------------------------------------------------------- what is varied by default
def attention(graph: Graph | None) -> list[AttentionBlock]:
    """Return the attention blocks of a float net."""
    return [] if graph is None else [op for op in graph if isinstance(op, AttentionBlock)]


def default_axes(graph: Graph | None, base: Options, most_bits: int) -> Axes:
    """Return what is varied where nothing is asked for: lowerings that exist, gate functions, bits, mapping.

    Args:
        graph: The float net; None: a model that is integer already.
        base: The options; what they fix is not varied.
        most_bits: Bits of a weight on the chip.
    """
    found: Axes = {}
    blocks = [op for op in attention(graph) if not op.on_host]
    if blocks:
        found["gate_kind"] = (TRAINED, "pow2")
        found |= _lowerings(blocks)
    if any(op.on_host for op in attention(graph)):
        found["payload_bits"] = (8, 4)
    if graph is not None:
        found["weight_bits"] = tuple(n for n in (most_bits, most_bits - COARSER, most_bits - 2 * COARSER) if n >= 2)
    found["mapping"] = ("balanced", "vendor")
    usual = {one.name: one.default for one in declared(Options)}
    fixed = [name for name in usual if getattr(base, name) != usual[name]]
    free = {name: values for name, values in found.items() if name.split(".")[0] not in fixed}
    return dict(sorted(free.items(), key=lambda item: list(AXES).index(_kind(item[0]))))


def _lowerings(blocks: Sequence[AttentionBlock]) -> Axes:
    """Return the lowerings of each block that it does not refuse; of too many together, each of all blocks alike."""
    kinds = {op.block: tuple(s for s in GATES if s != "auto" and not op.refusal(s)) for op in blocks}
    count = 1
    for values in kinds.values():
        count *= max(1, len(values))
    if count > MOST_LOWERINGS:
        return {"gates": tuple(dict.fromkeys(s for values in kinds.values() for s in values))}
    return {f"{BLOCK}{block}": values for block, values in kinds.items() if values}
