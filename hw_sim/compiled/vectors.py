"""The innermost loops as vector instructions: 64 bytes at once, sums kept in registers.

numba cannot know that its arrays do not overlap, so it checks before every loop, reloads, and gives up on loops over many
arrays; for runs of a hundred weights that costs more than the sums. LLVM splits the vectors where a processor has
shorter ones. Indices are not checked here: the kernels that call keep them inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

BYTES = 64
"""One vector; tables are padded to it (``lanes``)."""
GROUP = 4
"""Vectors summed side by side while one list of events is walked."""
WORD = ir.IntType(64)
I64 = types.int64


def machine(code: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a function that emits LLVM instructions into one that kernels can call."""
    return cast(Callable[..., Any], intrinsic(code))


def lanes(itemsize: int) -> int:
    """Return how many elements of a size one vector holds.

    The size is in bytes; a vector has as many bits as the processor's widest.
    """
    return BYTES // itemsize


@machine
def sum_rows(typingctx, table, width, found, first, last, base, sums, size):  # type: ignore[no-untyped-def]
    """Set ``sums[j] = sum_k table[(found[k] + base) * width + j]`` for k = first .. last - 1, j < size (whole vectors)."""
    signature = types.void(table, I64, found, I64, I64, I64, sums, I64)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, events, target = (_data(context, builder, signature, args, k) for k in (0, 2, 6))
        _sum_rows(builder, source, args[1], events, args[3:6], target, args[7], None)
        return context.get_dummy_value()

    return signature, code


@machine
def sum_scaled_rows(typingctx, table, width, found, first, last, base, sums, size, payload):  # type: ignore[no-untyped-def]
    """Do as ``sum_rows``, each row times ``payload[found[k]]``."""
    signature = types.void(table, I64, found, I64, I64, I64, sums, I64, payload)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, events, target, factors = (_data(context, builder, signature, args, k) for k in (0, 2, 6, 8))
        _sum_rows(builder, source, args[1], events, args[3:6], target, args[7], factors)
        return context.get_dummy_value()

    return signature, code


@machine
def add_run(typingctx, target, at, source, start, count):  # type: ignore[no-untyped-def]
    """Add ``target[at + j] += source[start + j]`` for j < count; the target's integers may be wider."""
    signature = types.void(target, I64, source, I64, I64)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        into = builder.gep(_data(context, builder, signature, args, 0), [args[1]])
        values = builder.gep(_data(context, builder, signature, args, 2), [args[3]])
        done = ir.Constant(WORD, 0)
        for many in (BYTES // _bytes(into), 4, 1):
            whole = builder.and_(args[4], ir.Constant(WORD, -many))
            with cgutils.for_range_slice(builder, done, whole, ir.Constant(WORD, many), WORD) as (j, _):
                old, new = (_load(builder, p, j, many) for p in (into, values))
                if new.type != old.type:
                    new = builder.sext(new, old.type)
                _store(builder, builder.add(old, new), into, j)
            done = whole
        return context.get_dummy_value()

    return signature, code


@machine
def nonzero_bits(typingctx, row, start):  # type: ignore[no-untyped-def]
    """Return a word whose bit i says whether ``row[start + i]`` is not zero, for one vector of elements."""
    signature = types.uint64(row, I64)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _data(context, builder, signature, args, 0)
        many = BYTES // _bytes(data)
        vector = _load(builder, data, args[1], many)
        mask = builder.icmp_unsigned("!=", vector, ir.Constant(vector.type, None))
        bits = builder.bitcast(mask, ir.IntType(many))
        return bits if many == WORD.width else builder.zext(bits, WORD)

    return signature, code


@machine
def lowest_bit(typingctx, word):  # type: ignore[no-untyped-def]
    """Return the number of the lowest set bit of a word that is not zero."""
    signature = types.int64(types.uint64)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return signature, code


def _sum_rows(
    builder: Any, table: Any, width: Any, found: Any, walk: Any, sums: Any, size: Any, payload: Any | None
) -> None:
    lane = BYTES // _bytes(table)
    groups = builder.sub(size, builder.urem(size, ir.Constant(WORD, GROUP * lane)))
    for begin, end, vectors in ((ir.Constant(WORD, 0), groups, GROUP), (groups, size, 1)):
        step = ir.Constant(WORD, vectors * lane)
        with cgutils.for_range_slice(builder, begin, end, step, WORD) as (j, _):
            _sum_column(builder, table, width, found, walk, sums, j, vectors, payload)


def _sum_column(
    builder: Any, table: Any, width: Any, found: Any, walk: Any, sums: Any, j: Any, vectors: int, payload: Any | None
) -> None:
    """Walk the events once for ``vectors`` vectors from column ``j`` on."""
    first, last, base = walk
    lane = BYTES // _bytes(table)
    kind = ir.VectorType(table.type.pointee, lane)
    totals = [cgutils.alloca_once_value(builder, ir.Constant(kind, None)) for _ in range(vectors)]  # type: ignore[no-untyped-call]
    for total in totals:
        builder.store(ir.Constant(kind, None), total)
    with cgutils.for_range_slice(builder, first, last, ir.Constant(WORD, 1), WORD) as (k, _):
        event = builder.sext(builder.load(builder.gep(found, [k])), WORD)
        row = builder.add(builder.mul(builder.add(event, base), width), j)
        factor = None if payload is None else _spread(builder, builder.load(builder.gep(payload, [event])), kind)
        for number, total in enumerate(totals):
            at = builder.add(row, ir.Constant(WORD, number * lane))
            value = _load(builder, table, at, lane)
            if factor is not None:
                value = builder.mul(value, factor)
            builder.store(builder.add(builder.load(total), value), total)
    for number, total in enumerate(totals):
        _store(builder, builder.load(total), sums, builder.add(j, ir.Constant(WORD, number * lane)))


def _spread(builder: Any, value: Any, kind: Any) -> Any:
    """Return a vector with one integer in every lane."""
    width = kind.element.width
    if value.type.width < width:
        value = builder.sext(value, kind.element)
    elif value.type.width > width:
        value = builder.trunc(value, kind.element)
    empty = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
    return builder.shuffle_vector(single, empty, lanes)


def _data(context: Any, builder: Any, signature: Any, args: Any, index: int) -> Any:
    """Return the address of the first element of an array argument."""
    return context.make_array(signature.args[index])(context, builder, args[index]).data


def _bytes(pointer: Any) -> int:
    return int(pointer.type.pointee.width) // 8


def _load(builder: Any, pointer: Any, index: Any, count: int) -> Any:
    """Load ``count`` elements, a plain integer for one."""
    item = builder.gep(pointer, [index])
    if count > 1:
        item = builder.bitcast(item, ir.VectorType(pointer.type.pointee, count).as_pointer())
    return builder.load(item, align=_bytes(pointer))


def _store(builder: Any, value: Any, pointer: Any, index: Any) -> None:
    item = builder.bitcast(builder.gep(pointer, [index]), value.type.as_pointer())
    builder.store(value, item, align=_bytes(pointer))
