"""The types that dataclasses declare, held against values from a file: each field is what its annotation says, or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

T = TypeVar("T")


class MistypedError(ValueError):
    """A value of another type than its place declares; says which field, and what is expected."""


def parse_json(text: str | bytes) -> Any:
    """Return what JSON from a file says.

    Raises:
        MistypedError: A key stands twice in an object: readers would not agree on what it says.
        ValueError: It is no JSON. RecursionError: It is nested too deep.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise MistypedError(f"key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return found


def build(kind: Callable[..., T], held: Mapping[str, Any]) -> T:
    """Return ``kind(**held)`` with every field as it is declared; arrays are brought to the declared number type.

    Raises:
        MistypedError: A field is unknown, missing, or of another type.
    """
    hints, name = hints_of(kind), getattr(kind, "__name__", str(kind))
    unknown = sorted(set(held) - {f.name for f in fields(kind) if f.init})  # type: ignore[arg-type]
    if unknown:
        raise MistypedError(f"{name} has no field {', '.join(map(repr, unknown))}")
    checked = {key: fitted(value, hints.get(key, Any), f"{name}.{key}") for key, value in held.items()}
    try:
        return kind(**checked)
    except TypeError as error:
        raise MistypedError(f"{name}: {error}") from error


@cache
def hints_of(kind: Any) -> dict[str, Any]:
    """Return the annotations of a class; none where they name what is imported for type checking only."""
    try:
        return get_type_hints(kind)
    except NameError:
        return {}


def fitted(value: Any, hint: Any, where: str) -> Any:
    """Return a value as an annotation asks for.

    Raises:
        MistypedError: It is none of that.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return value
    if origin in (Union, UnionType):
        return _one_of(value, inner, where)
    if origin is Literal:
        if not any(type(value) is type(one) and value == one for one in inner):
            raise _mistyped(value, "one of " + ", ".join(map(repr, inner)), where)
        return value
    if origin is np.ndarray:
        return _array(value, np.dtype(get_args(inner[1])[0]), where)
    if origin is tuple:
        return _tuple(value, inner, where)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, dict):
            raise _mistyped(value, "a table", where)
        return {fitted(k, inner[0], where): fitted(v, inner[1], f"{where}[{k!r}]") for k, v in value.items()}
    return _plain(value, hint, where)


def _one_of(value: Any, kinds: tuple[Any, ...], where: str) -> Any:
    for kind in kinds:
        try:
            return fitted(value, kind, where)
        except MistypedError:
            continue
    raise _mistyped(value, " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds), where)


def _tuple(value: Any, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise _mistyped(value, "a tuple", where)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise _mistyped(value, f"{len(kinds)} values", where)
    return tuple(fitted(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(value, kinds, strict=True)))


def _array(value: Any, dtype: np.dtype[Any], where: str) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = np.asarray(value)  # a numpy scalar, which JSON keeps as a number
    if not isinstance(value, np.ndarray):
        raise _mistyped(value, f"an array of {dtype}", where)
    if value.dtype == dtype:
        return value
    with np.errstate(all="ignore"):
        cast = value.astype(dtype) if np.can_cast(value.dtype, dtype, "same_kind") else None
    if cast is None or not np.array_equal(cast, value):
        raise MistypedError(f"{where} is an array of {value.dtype}; expected {dtype}")
    return cast


def _plain(value: Any, hint: Any, where: str) -> Any:
    if hint in (None, NoneType):
        good = value is None
    elif hint is float:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    elif hint is int:
        good = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    else:
        good = not isinstance(hint, type) or isinstance(value, hint)
    if not good:
        raise _mistyped(value, getattr(hint, "__name__", str(hint)), where)
    return value


def _mistyped(value: Any, expected: str, where: str) -> MistypedError:
    shown = f"array {value.shape}" if isinstance(value, np.ndarray) else repr(value)[:80]
    return MistypedError(f"{where} is {shown}; expected {expected}")
