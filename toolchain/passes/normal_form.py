"""Bring what neurons integrate into one normal form: a sum of composed linear maps of messages, and a constant.

    drive = sum over k of M_k m_k + c        M_k: the maps in a row from message m_k (``linear_maps.compose``)
                                             c: what they add without a message: biases, shifts, constants of batch norms

    W (x + y)  ->  W x + W y,   s (W x + b) + c  ->  (s W) x + (s b + c),   W * pool(x)  ->  K * x,   B (A x)  ->  (B A) x,  ...

First maps are joined only where both in one have no more synapses than apart (a scale, a pool, a map of one tap), up to the
current nodes, sums and maps that a map reads: these can travel by relays (``relay``, by cost). ``normal-form-2`` goes through
what is left of them, back to the messages: every neuron has its own synapses then. Exact in real arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import ClassVar, Literal

import numpy as np

from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.interpret.floats import apply
from spikewright.toolchain.ir import Graph, rename_operands
from spikewright.toolchain.ops import Add, Array, Flatten, Lif, Linear, Neuron, Op, Output, Scale, Shape
from spikewright.toolchain.parameters import grid, least
from spikewright.toolchain.passes import linear_maps as lm
from spikewright.toolchain.passes.base import Pass, drop_unread, in_place
from spikewright.toolchain.passes.lower_bias import always_on
from spikewright.toolchain.passes.relay import per_channel
from spikewright.toolchain.shapes import shapes

Joins = Literal["scales", "cheaper", "all"]
"""Which maps in a row become one: scales with what stands beside, what has no more synapses so, or all, back to messages."""


@dataclass(frozen=True)
class NormalForm(Pass):
    """Compose linear maps in a row."""

    name: ClassVar[str] = "normal-form"
    joins: Joins = "cheaper"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph in normal form; the same one if it is.

        Raises:
            UnsupportedNodeError: A map of a map has no form that reads messages (``joins`` "all").
        """
        if self.joins != "scales":
            graph = _neurons_like_their_maps(graph)
        made = _Distributed(graph).ops() if self.joins == "all" else _Joined(graph, self.joins).ops()
        same = len(made) == len(graph) and all(a is b for a, b in zip(made, graph, strict=True))
        return graph if same else drop_unread(graph.with_ops(made))


@dataclass(frozen=True, eq=False)
class Term:
    """A signal as a map of another: maps in a row behind ``source``, what they add, and the op it is named after.

    ``op``: that very op, where nothing was joined. ``at``: in whose place it stands.
    """

    source: str
    maps: tuple[lm.LinearMap, ...]
    constant: Array | None = None
    name: str = ""
    block: str = ""
    at: str = ""
    op: Op | None = None
    held: bool = False
    """Whether a weight of the net is in it, whose block it keeps."""


# ------------------------------------------------------------------------------------------------ constants
def _own_constant(op: Op, shape: Shape) -> Array | None:
    """Return what an op adds to its map, of its signal's shape; None: nothing."""
    zero = replace(op, scale=np.zeros(())) if isinstance(op, Scale) else op
    match zero:
        case Linear(bias=b) if b is not None and np.any(b):
            flat = b.reshape(-1, *(1,) * (len(shape) - 1)) if b.shape == shape[:1] else b.reshape(shape)
            return np.broadcast_to(flat, shape)
        case Scale(shift=b) if b is not None and np.any(b):
            return np.asarray(apply(zero, [np.zeros((1, *shape))])[0])
        case _:
            return None


def _through(made: lm.LinearMap, constant: Array | None, own: Array | None) -> Array | None:
    """Return what a map makes of a constant, and adds."""
    if constant is None:
        return own
    moved = made.apply(constant[None])[0]
    total = moved if own is None else moved + own
    return total if total.any() else None


def _holds(made: lm.LinearMap, constant: Array | None) -> bool:
    """Say whether the connection that a map becomes takes a constant as its bias."""
    if constant is None or isinstance(made, lm.Matrix):
        return True
    return len(made.target) == 1 or per_channel(constant) is not None


def _bias(constant: Array | None, made: lm.LinearMap) -> Array | None:
    if constant is None:
        return None
    return constant.reshape(-1) if isinstance(made, lm.Matrix) else per_channel(constant)


# ------------------------------------------------------------------------------- neurons behind a flatten
def _neurons_like_their_maps(graph: Graph) -> Graph:
    """Give neurons behind a ``Flatten`` the shape of the map; who reads them reads them flattened."""
    for op in graph:
        if not (
            isinstance(op, Lif) and op.gates == 0 and len(op.inputs) == 1 and isinstance(graph.producer(op), Flatten)
        ):
            continue
        source = _unflat(graph, op.inputs[0])
        shape = shapes(graph)[source]
        if shape == op.shape:
            continue
        behind = Flatten(name=f"{op.name}.flat", inputs=(op.name,), block=op.block)
        alias = {op.name: behind.name}
        renamed = graph.with_ops(rename_operands(other, alias) for other in graph)
        neuron = _unflattened(op, source, shape)
        return _neurons_like_their_maps(drop_unread(in_place(renamed, renamed[op.name], [neuron, behind])))
    return graph


def _unflat(graph: Graph, name: str) -> str:
    """Return the signal in front of ``Flatten`` s."""
    while isinstance(op := graph[name], Flatten):
        name = op.inputs[0]
    return name


def _unflattened(op: Lif, source: str, shape: Shape) -> Lif:
    """Return the neurons in the shape of the map that they read."""
    fields = ("beta", "v_threshold", "gain", "alpha", "gain_u", "leak", "v_reset", "v_min", "v_subtract", "v_start")
    grown = {name: value.reshape(shape) for name in fields if np.size(value := getattr(op, name)) > 1}
    return replace(op, inputs=(source,), shape=shape, **grown)


def _as_gain(op: Op, term: Term, made: lm.LinearMap) -> Lif | None:
    """Return neurons that take a factor of each on their one current as a gain; None where that is not it."""
    if not (isinstance(op, Lif) and len(op.currents) == 1 and isinstance(made, lm.Diagonal) and term.constant is None):
        return None
    if made.by_channel or made.target != op.shape or np.min(made.factor) <= 0:
        return None
    gain = grid(op.gain_u, op.shape) * made.factor.reshape(op.shape)
    return replace(op, inputs=(term.source, *op.inputs[1:]), gain_u=gain)


# ------------------------------------------------------------------------------ joined where that costs nothing
@dataclass(eq=False)
class _Joined:
    """Every linear op as one map of a message, a sum, or a map that is left standing (``kept``)."""

    graph: Graph
    joins: Joins
    form: dict[str, Term] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)

    def ops(self) -> list[Op]:
        """Return the ops that are left."""
        known = shapes(self.graph)
        for op in self.graph:
            made = None if isinstance(op, Add) else _map_of(op, known)
            if made is not None:
                self.form[op.name] = self._term(op, made, known[op.name])
        for op in self.graph:
            if op.name not in self.form:
                self._keep(*op.inputs)
        alias = {name: source for name in self.kept if (source := self._source(name)) != name}
        found: list[Op] = []
        for op in self.graph:
            term = self.form.get(op.name)
            fresh = [op] if term is None else self._emitted(term) if op.name in self.kept - set(alias) else []
            found += [rename_operands(new, alias) for new in fresh]
        return [self._direct(op) for op in found]

    def _keep(self, *names: str) -> None:
        """Leave signals standing, and what they are maps of."""
        while names:
            new = [name for name in names if name in self.form and name not in self.kept]
            self.kept.update(new)
            names = tuple(self.form[name].source for name in new)

    def _term(self, op: Op, made: lm.LinearMap, shape: Shape) -> Term:
        """Return an op as a map of what its operand is a map of, and so on, as far as that has no more synapses."""
        held = isinstance(op, Linear)
        term = Term(op.inputs[0], (made,), _own_constant(op, shape), op.name, op.block, op.name, op, held)
        while (before := self.form.get(term.source)) is not None:
            (first,), (made,) = before.maps, term.maps
            shared = len(self.graph.readers[before.name]) > 1
            both = lm.compose(first, made) if self._pays(before, made, shared=shared) else None
            constant = None if both is None else _through(made, before.constant, term.constant)
            if both is None or not (isinstance(both, lm.Diagonal) or _holds(both, constant)):
                break
            block = before.block if before.held and not term.held else term.block
            term = Term(before.source, (both,), constant, op.name, block, op.name, held=term.held or before.held)
        return term

    def _pays(self, before: Term, made: lm.LinearMap, *, shared: bool) -> bool:
        a = before.maps[0]
        if isinstance(a, lm.Diagonal) or isinstance(made, lm.Diagonal):
            return self.joins != "scales" or not _flattens(a, made)
        if self.joins == "scales":
            return False
        if shared and _pools(made) and not _pools(a):  # the map in front is left standing
            return lm.synapses_of(a, made) <= made.synapses
        if _pools(a) or _pools(made):
            return True
        return not shared and lm.synapses_of(a, made) <= a.synapses + made.synapses

    def _source(self, name: str) -> str:
        """Return the signal that a map by one leaves as it is."""
        term = self.form.get(name)
        if term is None or not _changes_nothing(term):
            return name
        return self._source(term.source)

    def _emitted(self, term: Term) -> list[Op]:
        """Return a term as ops; the last one has its name."""
        (made,) = term.maps
        if term.op is not None:
            return [term.op]
        if not isinstance(made, lm.Diagonal):
            op = made.op(term.name, (term.source,), term.block, _bias(term.constant, made))
            assert op is not None
            return [op]
        flat = made.target != made.source
        shift = None if term.constant is None else least(term.constant.reshape(made.source), made.source)
        reads, found = term.source, list[Op]()
        if shift is not None or not made.is_one:
            scale = Scale(
                name=f"{term.name}.factor" if flat else term.name, inputs=(reads,), block=term.block,
                scale=made.factor, shift=shift,
            )  # fmt: skip
            found, reads = [scale], scale.name
        return [*found, Flatten(name=term.name, inputs=(reads,), block=term.block)] if flat else found

    def _direct(self, op: Op) -> Op:
        """Let the output read a map itself: it numbers its values in C order; and neurons take factors as gains."""
        term = self.form.get(op.inputs[0]) if op.inputs else None
        if term is None:
            return op
        if isinstance(op, Output) and self.joins != "scales":
            read = _read_flat(term)
            return op if read is term or len(op.inputs) > 1 else replace(op, inputs=(term.source,))
        gained = _as_gain(op, term, term.maps[0])
        return op if gained is None else gained


def _map_of(op: Op, known: dict[str, Shape]) -> lm.LinearMap | None:
    return lm.of(op, known[op.inputs[0]], known[op.name]) if len(op.inputs) == 1 else None


def _changes_nothing(term: Term) -> bool:
    made = term.maps[0] if len(term.maps) == 1 else None
    return isinstance(made, lm.Diagonal) and made.is_one and made.source == made.target and term.constant is None


def _flattens(*maps: lm.LinearMap) -> bool:
    return any(isinstance(m, lm.Diagonal) and m.source != m.target for m in maps)


def _pools(made: lm.LinearMap) -> bool:
    """Say whether a map sums windows of each channel, all taps alike."""
    if not isinstance(made, lm.Kernel) or not made.depthwise:
        return False
    return bool((made.weight == made.weight[:, :, :1, :1]).all())


# ------------------------------------------------------------------------------------- back to the messages
@dataclass(frozen=True)
class _Use:
    """That an op reads a term, at a position among its operands."""

    reader: str
    position: int
    term: Term


@dataclass(eq=False)
class _Distributed:
    """Every current as a sum of maps of messages; every reader gets connections of its own."""

    graph: Graph
    form: dict[str, tuple[Term, ...]] = field(default_factory=dict)
    whole: dict[str, Term] = field(default_factory=dict)
    here: dict[str, list[Op]] = field(default_factory=dict)
    in_front: dict[str, list[Op]] = field(default_factory=dict)
    leaks: dict[str, Array] = field(default_factory=dict)
    """Constants of neurons' drives that no connection takes."""

    def ops(self) -> list[Op]:
        """Return the ops that are left."""
        self.known = shapes(self.graph)
        for op in self.graph:
            if isinstance(op, Add):
                self.form[op.name] = tuple(term for name in op.inputs for term in self.terms(name))
            elif (made := _map_of(op, self.known)) is not None:
                self.form[op.name] = self._mapped(op, made)
        read = {op.name: self._reads(op) for op in self.graph if op.name not in self.form}
        self.last = {use.term.name: use for uses in read.values() for use in uses}
        readers = {name: self._reader(self.graph[name], uses) for name, uses in read.items()}
        found: list[Op] = []
        for op in self.graph:
            found += self.here.get(op.name, [])
            found += [*self.in_front.get(op.name, []), readers[op.name]] if op.name in readers else []
        return found

    def terms(self, name: str) -> tuple[Term, ...]:
        """Return a signal as a sum; a message is itself."""
        return self.form.get(name, (Term(name, ()),))

    def _mapped(self, op: Op, made: lm.LinearMap) -> tuple[Term, ...]:
        """Return what a map makes of every term of its operand; what it adds goes with the first."""
        before, held = self.terms(op.inputs[0]), isinstance(op, Linear)
        own, found = _own_constant(op, self.known[op.name]), []
        for k, term in enumerate(before):
            constant = _through(made, term.constant, own if k == 0 else None)
            maps, only = _joined(term.maps, made), len(before) == 1
            if isinstance(op, Flatten) and term.maps:
                found.append(replace(term, maps=maps, constant=constant, op=None))
                continue
            block = term.block if term.held and not held else op.block
            name, alone = op.name if only else f"{op.name}.{k}", op if only and not term.maps else None
            found.append(Term(term.source, maps, constant, name, block, op.name, alone, held=held or term.held))
        return tuple(found)

    def _reads(self, op: Op) -> list[_Use]:
        """Return all terms that an op reads."""
        names = [term for name in op.inputs for term in self.terms(name)]
        return [_Use(op.name, k, term) for k, term in enumerate(names)]

    def _reader(self, op: Op, uses: list[_Use]) -> Op:
        """Return an op that reads connections made for it."""
        if not isinstance(op, Neuron | Output):
            return self._other(op)
        currents = sum(len(self.terms(name)) for name in (op.currents if isinstance(op, Neuron) else op.inputs))
        terms = [self._reduced(use.term) for use in uses]
        if currents == 1 and (gained := _as_gain(op, terms[0], terms[0].maps[0] if terms[0].maps else lm.identity(()))):
            return gained
        terms = [_read_flat(term) for term in terms] if isinstance(op, Output) else terms
        placed = self._placed(op, terms[:currents])
        reads = [self._connection(_Use(op.name, k, term)) for k, term in enumerate(placed)]
        reads += [
            self._connection(replace(use, term=t)) for use, t in zip(uses[currents:], terms[currents:], strict=True)
        ]
        inputs = tuple(reads)
        if isinstance(op, Lif) and op.name in self.leaks:
            return replace(op, inputs=inputs, leak=_with_drive(op, self.leaks[op.name]))
        return op if inputs == op.inputs else replace(op, inputs=inputs)

    def _other(self, op: Op) -> Op:
        """Return an op whose operands each have a meaning of their own: a sum among them stays one."""
        for name in op.inputs:
            if name not in self.form or self.here.get(name):
                continue
            total = self.graph[name]
            terms = [self._reduced(term) for term in self.form[name]]
            made = [
                term.op or _term_op(term, name if len(terms) == 1 else f"{name}.{k}") for k, term in enumerate(terms)
            ]
            self.here[name] = [new for new in made if new is not None]
            reads = tuple(term.source if new is None else new.name for term, new in zip(terms, made, strict=True))
            if len(terms) > 1 or reads != (name,):
                self.here[name].append(Add(name=name, inputs=reads, block=total.block))
        return op

    # ------------------------------------------------------------------------------------------ one map a term
    def _reduced(self, term: Term) -> Term:
        """Return a term with one map, or none."""
        if len(term.maps) < 2:
            return term
        if term.name not in self.whole:
            maps = term.maps
            for k in range(len(maps) - 1, 0, -1):  # from the small end: a matrix takes up what stands in front of it
                if k < len(maps) and (both := lm.compose(maps[k - 1], maps[k])) is not None:
                    maps = (*maps[: k - 1], both, *maps[k + 1 :])
            if len(maps) > 1:
                every = lm.listed(maps)
                if every is None:
                    raise self._not_one(term, maps)
                maps = (every,)
            self.whole[term.name] = replace(term, maps=maps, op=None)
        return self.whole[term.name]

    def _not_one(self, term: Term, maps: tuple[lm.LinearMap, ...]) -> UnsupportedNodeError:
        """Return the error for maps in a row that are no one map."""
        op = self.graph[term.at]
        source = self.graph[op.inputs[0]]
        entries = prod(maps[0].source) * prod(maps[-1].target)
        return current_read(op, source, entries)

    def _placed(self, op: Op, terms: list[Term]) -> list[Term]:
        """Return currents whose constants are all where a connection takes them."""
        loose = [t for t in terms if t.constant is not None and not (t.maps and _holds(t.maps[0], t.constant))]
        if not loose:
            return terms
        rest = sum(
            (t.constant for t in loose if t.constant is not None), np.zeros(op.shape if isinstance(op, Neuron) else ())
        )
        free = [replace(t, constant=None, op=None) if t in loose else t for t in terms]
        for k, term in enumerate(free):
            total = rest if term.constant is None else rest + term.constant.reshape(rest.shape)
            if term.maps and not isinstance(term.maps[0], lm.Diagonal) and _holds(term.maps[0], total):
                free[k] = replace(term, constant=total, op=None)
                return free
        if isinstance(op, Lif) and _adds_constants(op):
            self.leaks[op.name] = rest
            return free
        for k, term in enumerate(free):
            every = lm.listed(term.maps) if term.maps else None
            if every is not None and not isinstance(term.maps[0], lm.Diagonal):
                total = rest if term.constant is None else rest + term.constant
                free[k] = replace(term, maps=(every,), constant=total, op=None)
                return free
        return [*free, self._clocked(op, rest)] if isinstance(op, Neuron) else free

    def _clocked(self, op: Neuron, rest: Array) -> Term:
        """Return a constant that differs along a map as synapses of a neuron that always fires."""
        clock = always_on(f"{op.name}.constant.on", op.block)
        self.in_front.setdefault(op.name, []).append(clock)
        made = lm.Matrix((1,), op.shape, rest.reshape(-1, 1))
        return Term(clock.name, (made,), None, f"{op.name}.constant", op.block, op.name, held=True)

    def _connection(self, use: _Use) -> str:
        """Put a term where its reader finds it, and return the name to read."""
        term = use.term
        last = self.last.get(term.name)
        own = last is None or (last.reader, last.position) == (use.reader, use.position)
        mine = sum(one.term.name == term.name for one in self._reads(self.graph[use.reader])[: use.position + 1])
        name = term.name if own else f"{term.name}@{use.reader}" + (f".{use.position}" if mine > 1 else "")
        made = _term_op(term, name)
        if made is None:
            return term.source
        if own and term.at != use.reader:
            self.here.setdefault(term.at, []).append(made)
        else:
            self.in_front.setdefault(use.reader, []).append(made)
        return made.name


def _adds_constants(op: Lif) -> bool:
    """Say whether a constant drive of neurons is the same as a leak: nothing filters, scales or rectifies it."""
    return not op.filters and not op.rectify and op.gates == op.output_gate + op.membrane_gates


def _with_drive(op: Lif, constant: Array) -> Array:
    """Return the leak of neurons with a constant current, of their shape."""
    gain = grid(op.gain, op.shape) * grid(op.gain_u, op.shape)
    return np.asarray(grid(op.leak, op.shape) + gain * constant.reshape(op.shape))


def _joined(maps: tuple[lm.LinearMap, ...], made: lm.LinearMap) -> tuple[lm.LinearMap, ...]:
    """Return maps in a row and one more, the last two in one where a class holds it."""
    both = lm.compose(maps[-1], made) if maps else None
    return (*maps, made) if both is None else (*maps[:-1], both)


def _read_flat(term: Term) -> Term:
    """Return a term for the output, which numbers values in C order: what flattens behind is left out."""
    last = term.maps[-1] if term.maps else None
    if isinstance(last, lm.Diagonal) and last.is_one and term.constant is None:
        return replace(term, maps=term.maps[:-1])
    return term


def _term_op(term: Term, name: str) -> Op | None:
    """Return a term as a connection of this name; None: it is the message itself."""
    if not term.maps or _changes_nothing(term):
        return None
    if isinstance(term.op, Linear):
        return term.op if name == term.op.name else replace(term.op, name=name)
    (made,) = term.maps
    found = made.op(name, (term.source,), term.block, _bias(term.constant, made))
    if found is None and term.op is not None:
        return term.op  # too large: `verify` says why it cannot run
    assert found is not None
    return found


def current_read(op: Op, source: Op, entries: int) -> UnsupportedNodeError:
    """Return the error for a map that reads real values instead of spikes."""
    return UnsupportedNodeError(
        f"{type(op).__name__} reads the real-valued signal of {type(source).__name__} {source.name!r}, not spikes. The two are "
        "no convolution of the spikes in front: the second adds zeros at the edge, where windows of the first still overlap "
        f"its map; and the matrix of both has {entries:,} entries ({lm.LARGEST:,} are listed)",
        where=f"op {op.name!r}",
        help=f"put a spiking neuron between {source.name!r} and {op.name!r} (and retrain), or deploy with --streams relay",
    )
