"""Judge what runs: every population and projection of a program, every op of the integer graph it was assembled from.

The rules see the machine's own integers; a name and a block (provenance) come from the integer graph. How often a population
sends is measured: a graded stream with messages from nearly every neuron in nearly every step is dense in all but name
(streams that gates count are left to the gates: few neurons that pool a layer, and move when anything in it does).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import prod

import numpy as np

from spikewright.hw_sim import Population, Program, Projection
from spikewright.hw_sim.fixed_point import DECAY_ONE
from spikewright.hw_sim.somas import (
    Gate,
    GatedMembrane,
    GateTable,
    HeldSum,
    HostGate,
    Lif,
    ProductGate,
    Relay,
    SigmaDelta,
    Soma,
    Source,
)
from spikewright.hw_sim.synapses import IdentitySynapses, Synapses
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, IntOutput, IntReplay, kind_of, separated
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import DENSE_FROM
from spikewright.toolchain.ops import Op
from spikewright.toolchain.spike_driven.loaded import block_of
from spikewright.toolchain.spike_driven.signals import CostClass, Fault, Judgement, Path
from spikewright.toolchain.spike_driven.verdict import Block, Judged, Stream, summed

NOT_INTEGER = "holds real numbers"
"""What is said of a soma or synapses that no machine computes with."""
Densities = Mapping[str, float]
"""Messages a neuron and step, by population."""


def judge_running(
    integer: Graph,
    program: Program,
    *,
    families: Mapping[str, str],
    notes: Mapping[str, tuple[str, ...]],
    densities: Densities | None = None,
    fits: bool | None = None,
) -> tuple[Block, ...]:
    """Return the verdict on everything behind the host's part, one block a name, in the order of the integer graph.

    Args:
        integer: The integer graph; names and blocks are its.
        program: What is loaded.
        families: The family of an attention block, by block.
        notes: What else a reader should know, by block.
        densities: What a run counted.
        fits: Whether it fits the chip.
    """
    integer = separated(integer)
    found = _Running(integer, program, densities or {}).judged()
    rows: dict[str, list[Judged]] = {}
    for judged in found:
        rows.setdefault(block_of(integer, judged.name), []).append(judged)
    blocks = []
    for name, ops in rows.items():
        if all(op.name in program.sources and not op.judgement.faults for op in ops):
            continue
        streams = [
            Stream(op.name, program.population(op.name).soma.sends, densities[op.name])
            for op in ops
            if densities is not None and op.name in densities and program.population(op.name).kind != "none"
        ]
        block = summed(name, ops, "chip", streams)
        more = block.notes + notes.get(name, ())
        blocks.append(replace(block, family=families.get(name, "vanilla"), fits=fits, notes=more))
    return tuple(blocks)


@dataclass(frozen=True, eq=False)
class _Running:
    """The rules, with what they know beside an op."""

    integer: Graph
    program: Program
    densities: Densities

    def judged(self) -> list[Judged]:
        """Return every op of the graph and every part of the program, judged, in the graph's order."""
        populations = {p.name: p for p in self.program.populations}
        projections = {p.name: p for p in self.program.projections}
        order = dict.fromkeys([*self.integer.by_name, *populations, *projections])
        paths = self.paths()
        found = []
        for name in order:
            op = self.integer.by_name.get(name)
            if isinstance(op, IntOutput):
                continue
            if name in populations:
                judgement = self.population(populations[name], paths)
            elif name in projections:
                judgement = self.projection(projections[name], paths)
            else:
                judgement = Judgement((), "is not loaded")
            faults = judgement.faults + (() if op is None else tuple(self.graph_faults(op, paths)))
            found.append(Judged(name, _blamed(judgement, faults), paths.get(name, (name,))))
        return found

    def paths(self) -> dict[str, Path]:
        """Return the shortest way from a source (or from where nothing leads) to every part of the program."""
        found: dict[str, Path] = {}
        reached = {p.name for p in self.program.projections if not p.synapses.gate}
        heads = {p.target for p in self.program.projections if p.name in reached}
        todo = [p.name for p in self.program.populations if p.name not in heads]
        found |= {name: (name,) for name in todo}
        while todo:
            name = todo.pop(0)
            for p in self.program.projections:
                if p.source == name:
                    found.setdefault(p.name, (*found[name], p.name))
                    if p.target not in found:
                        found[p.target] = (*found[p.name], p.target)
                        todo.append(p.target)
        return found

    # ------------------------------------------------------------------------------------------- neurons
    def population(self, p: Population, paths: Mapping[str, Path]) -> Judgement:
        """Judge neurons: what they send, from what, and where they lie."""
        path, readers = paths.get(p.name, (p.name,)), [q for q in self.program.projections if q.source == p.name]
        graded = any(self.program.population(q.source).soma.sends == "graded" for q in self.direct(p))
        cost, why = _neuron(p, graded)
        faults = [*_no_integers(p.name, p.soma, path), *self.misplaced(p, path)]
        reason = self.dense(p)
        macs = sum(self.size(q) for q in readers) if reason else 0
        macs += p.soma.pooled_macs if isinstance(p.soma, GatedMembrane) else 0
        if reason:
            what = f"{type(p.soma).__name__} {p.name!r} sends {reason}: {macs:,} dense MACs every step"
            help = f"put a spiking neuron in the place of {p.name!r} (and retrain)"
            help = "deploy with --streams distribute: no membrane travels" if isinstance(p.soma, Relay) else help
            help = f"train {p.name!r} with a higher threshold" if isinstance(p.soma, SigmaDelta) else help
            faults.append(Fault(what, help, path, "no event drives it"))
        ports = 0 if p.soma.on_host else p.soma.ports
        notes = (_leaky_gate(p),) if _leaks(p.soma) and isinstance(p.soma, Gate) else ()
        remembers = not p.soma.on_host and any(np.any(getattr(p.soma, f, 0) != DECAY_ONE) for f in ("decay_v", "decay"))
        synapses = p.size * len(self.direct(p))
        return Judgement(
            (), why, cost, "state" if remembers else "step", synapses=synapses, gate_multiplies=p.size * ports, macs=macs,
            faults=tuple(faults), notes=notes,
        )  # fmt: skip

    def offline(self, p: Population, path: Path) -> Fault:
        """Return the fault of gates that a host computes from a whole run, for the run that follows."""
        op, block = self.integer.by_name.get(p.name), block_of(self.integer, p.name)
        reads = op.inputs if isinstance(op, IntReplay) else ()
        size = sum(q.size for q in self.program.populations if q.name in reads)
        what = (
            f"the gates of {block!r} come from the host, which computes them from a whole run before "
            f"({size:,} values read out in every step): exact only offline, a stream has had no run before"
        )
        return Replay(
            what, "train the causal variant, or deploy with --gates static", path, "its gates need steps to come"
        )

    def direct(self, p: Population) -> list[Projection]:
        """Return projections that add messages to neurons one by one, as a residual join does."""
        return [q for q in self.program.projections if q.target == p.name and isinstance(q.synapses, IdentitySynapses)]

    def misplaced(self, p: Population, path: Path) -> Iterator[Fault]:
        """Yield work of the host behind the first spike, and what neurons compute of all membranes before they may fire."""
        if isinstance(p.soma, HostGate):
            yield self.offline(p, path)
        if isinstance(p.soma, GatedMembrane) and p.soma.pools:
            what = (
                f"{p.name!r} pools {p.size:,} membranes in every step, before any of its neurons may fire: "
                f"{p.soma.pooled_macs:,} dense MACs every step"
            )
            help = "train the causal variant, whose gates count spikes, or deploy with --gates static"
            yield InStep(what, help, path, "max and mean of membranes are no events: they are there in every step")
        entry = self.integer.input.name
        if isinstance(p.soma, Source) and p.name != entry:
            what = f"Source {p.name!r} brings payloads from the host beside the input {entry!r}"
            yield Fault(what, f"let the host end at {entry!r}", path, "the host would work in every step of the stream")
        if not p.soma.on_host and (p.cores < 0).any():
            size = int((p.cores < 0).sum())
            what = f"{size:,} neurons of {p.name!r} lie outside the cores: host work behind the first spike"
            yield Fault(what, "map them to cores", path, "the host would work in every step of the stream")

    def dense(self, p: Population) -> str:
        """Say why what neurons send is no event, or ""."""
        if _leaks(p.soma) and _counts(p.soma):
            keep = 1 - float(np.asarray(vars(p.soma)["decay"]).reshape(-1)[0]) / DECAY_ONE
            return f"the sum in {p.name!r} (it leaks by {keep:g}, so it changes in every step without an event)"
        density = self.densities.get(p.name, 0.0)
        if p.soma.sends == "graded" and density >= DENSE_FROM and self.on_the_data_path(p) and not self.adds_up(p):
            return f"{density:.2f} payloads a neuron and step of {p.name!r}: a value in every step, event or not"
        return ""

    def on_the_data_path(self, p: Population) -> bool:
        """Say whether anything but gates, and encoders of changes, reads what neurons send."""
        readers = [self.program.population(q.target).soma for q in self.program.projections if q.source == p.name]
        return any(soma.takes_gates or isinstance(soma, Relay) or _adds_changes(soma) for soma in readers)

    def adds_up(self, p: Population) -> bool:
        """Say whether a relay sends a part of one sum: to one layer, neuron to neuron, as synapses of its own would."""
        reads = [q for q in self.program.projections if q.source == p.name]
        return isinstance(p.soma, Relay) and len(reads) == 1 and isinstance(reads[0].synapses, IdentitySynapses)

    # ------------------------------------------------------------------------------------------- synapses
    def projection(self, p: Projection, paths: Mapping[str, Path]) -> Judgement:
        """Judge synapses or a gate link: what they read, and when."""
        path = paths.get(p.name, (p.name,))
        names = [q.name for q in self.program.populations]
        faults = [*_no_integers(p.name, p.synapses, path)]
        if not {p.source, p.target} <= set(names):
            return Judgement((), f"runs from {p.source!r} to {p.target!r}", faults=tuple(faults))
        lag = self.program.lag(p)
        faults += _untimely(p.name, lag, names.index(p.source) >= names.index(p.target), path)
        scope = f"window({-lag})" if lag < 0 else "step" if lag == 0 else "state"
        if p.synapses.gate:
            return Judgement((), "carries gate levels to a port", "A", scope, faults=tuple(faults))
        source = self.program.population(p.source)
        faults += self.levels_read(p, source, path)
        graded = source.soma.sends == "graded"
        why = (
            "multiplies graded payloads with weights, one per event"
            if graded
            else "accumulates weights of binary spikes"
        )
        count = 0 if isinstance(p.synapses, IdentitySynapses) else self.size(p)
        return Judgement((), why, "B" if graded else "A", scope, synapses=count, faults=tuple(faults))

    def size(self, p: Projection) -> int:
        """Return the non-zero synapses of a projection."""
        source, target = self.program.population(p.source), self.program.population(p.target)
        return int(p.synapses.fan_in(source.shape, target.shape).sum())

    def levels_read(self, p: Projection, source: Population, path: Path) -> Iterator[Fault]:
        """Yield synapses that read gate levels, which hold in every step."""
        if source.soma.sends == "gate":
            what = (
                f"synapses {p.name!r} read the gate levels of {source.name!r}, a value in every step: "
                f"{self.size(p):,} dense MACs every step"
            )
            yield Fault(what, "let a gate end at a gate port", path, "a level holds in every step, event or not")

    # -------------------------------------------------------------------------------------- integer graph
    def graph_faults(self, op: Op, paths: Mapping[str, Path]) -> Iterator[Fault]:
        """Yield what is wrong with an op of the integer graph that the program cannot show, or does not."""
        path = paths.get(op.name, (op.name,))
        match op:
            case IntNeuron() | IntInput():
                yield from _no_integers(op.name, op.soma, path)
            case IntConnection():
                yield from _no_integers(op.name, op.synapses, path)
                yield from self.connection(op, path)
            case IntOutput():
                return
            case _:
                macs = max([int(np.size(v)) for v in vars(op).values() if isinstance(v, np.ndarray)], default=0)
                kind = f"{type(op).__name__} {op.name!r}"
                what = f"{kind} is a real-valued op between integer ones: {macs:,} dense MACs every step"
                yield Fault(
                    what, f"lower {op.name!r} to neurons and synapses", path, "it computes real values in every step"
                )

    def connection(self, op: IntConnection, path: Path) -> Iterator[Fault]:
        """Yield a connection that reads a current, or reads too early."""
        source, order = self.integer.by_name.get(op.inputs[0]), list(self.integer.by_name)
        if isinstance(source, IntConnection):
            what = (
                f"connection {op.name!r} reads {kind_of(source)} {source.name!r}, not messages: a value in every step"
            )
            yield Fault(
                what,
                f"insert a spiking neuron in front of {op.name!r}",
                path,
                "currents come in every step, event or not",
            )
        readers = self.integer.readers[op.name]
        late = max((order.index(reader.name) for reader in readers), default=len(order))
        backward = source is not None and order.index(source.name) >= late
        yield from _untimely(op.name, op.lag, backward, path)


class Ahead(Fault):
    """What is read has not come yet."""


class Replay(Ahead):
    """What is read was computed on the host, from a run before."""


class InStep(Fault):
    """What is read follows, in the same step, from its own reader."""


def _blamed(judgement: Judgement, faults: tuple[Fault, ...]) -> Judgement:
    """Return a judgement with its faults; what only reads ahead stays accumulation, everything else that is wrong is dense."""
    faults = tuple({fault.what: fault for fault in faults}.values())
    if not faults:
        return judgement
    dense = any(not isinstance(fault, Ahead) or isinstance(fault, Replay) for fault in faults)
    return replace(
        judgement,
        why=faults[0].why,
        cost_class="D" if dense else judgement.cost_class,
        causal=not any(isinstance(fault, Ahead) for fault in faults),
        barrier=any(isinstance(fault, InStep) for fault in faults),
        macs=max(judgement.macs, judgement.synapses) if dense else 0,
        faults=faults,
    )


def _neuron(p: Population, graded: bool) -> tuple[CostClass, str]:
    """Return class and words of what neurons do."""
    direct: CostClass = "B" if graded else "A"
    match p.soma:
        case soma if soma.sends == "gate":
            return _gating(soma)
        case SigmaDelta():
            return _changing(p)
        case soma if _counts(soma):
            return "A", "sends a change of its sum when an event moved it"
        case Relay():
            return "B", "passes its synaptic input on as a signed payload where it is not 0"
        case Source():
            return "A", f"{p.soma.sends} input"
        case Lif() if p.kind == "none":
            return direct, "sums synaptic input over the steps"
        case Lif(gates=gates, output_gate=output) if gates > output:
            n = gates - output
            return "C", f"scales its current by {n} gain{'s' if n > 1 else ''} per neuron and step, then fires"
        case Lif(output_gate=True):
            return "B", "integrates synaptic input and fires, and sends a gate's level as payload"
        case _:
            return direct, "integrates graded payloads and fires" if graded else "integrates synaptic input and fires"


def _adds_changes(soma: Soma) -> bool:
    """Say whether neurons add up changes that others send, and are no encoder of the values themselves."""
    return isinstance(soma, SigmaDelta) and soma.sums


def _changing(p: Population) -> tuple[CostClass, str]:
    """Return class and words of sigma-delta neurons."""
    soma = p.soma
    assert isinstance(soma, SigmaDelta)
    if p.kind == "none":
        return "B", "adds up changes, and is read"
    if not soma.sums:
        return "A", f"encodes its input: a signed payload of up to {soma.payload_bits + 1} bits where it changed enough"
    what = "its rectified sum" if soma.rectify else "its sum"
    return (
        "B",
        f"sends changes of {what}: a signed payload of up to {soma.payload_bits + 1} bits where one reached the threshold",
    )


def _gating(soma: Soma) -> tuple[CostClass, str]:
    """Return class and words of what sends gains."""
    match soma:
        case HostGate():
            return "D", "brings gains that the host computed from a run before"
        case GateTable():
            return "C", "holds constant gains, one row a step, in the neuron"
        case ProductGate():
            return "C", "multiplies two counts per neuron and step, and sends the gain level when it changes"
        case HeldSum():
            return "A", "counts events, and sends the count when it changes"
        case _:
            return "A", "turns counted events into a gain level, sent when it changes"


def _counts(soma: Soma) -> bool:
    """Say whether neurons send changes of a sum, not spikes."""
    return "sent" in soma.states


def _leaks(soma: Soma) -> bool:
    """Say whether a sum loses a part of itself, neither nothing nor all, in every step."""
    decay = np.asarray(getattr(soma, "decay", 0))
    return bool(((decay > 0) & (decay < DECAY_ONE)).any())


def _leaky_gate(p: Population) -> str:
    keep = 1 - float(np.asarray(vars(p.soma)["decay"]).reshape(-1)[0]) / DECAY_ONE
    return f"gate {p.name!r} leaks by {keep:g}: its level may change, and be sent, without an event"


def _no_integers(name: str, held: Soma | Synapses, path: Path) -> Iterator[Fault]:
    """Yield a soma or synapses that hold anything but integers."""
    for f in fields(held):
        value = getattr(held, f.name)
        real = (
            value.dtype.kind not in "iub" if isinstance(value, np.ndarray) else isinstance(value, float | np.floating)
        )
        if real:
            size = prod(np.shape(value))
            what = f"{type(held).__name__} {name!r} {NOT_INTEGER} in {f.name} ({size:,} values), which no core computes with"
            yield Fault(what, f"quantize {name!r}", path, "payloads, gains and weights are integers on a core")


def _untimely(name: str, lag: int, backward: bool, path: Path) -> Iterator[Fault]:
    """Yield a connection that reads what has not come yet, or what waits for its own reader inside the step."""
    if lag < 0:
        ahead = f"{-lag} step{'s' if lag < -1 else ''}"
        what = f"{name!r} needs what it reads {ahead} before it happens (lag {lag})"
        help = f"start its target {ahead} later, or train with the gate that much later"
        yield Ahead(what, help, path, f"reads {ahead} ahead")
    elif lag == 0 and backward:
        what = f"{name!r} reads in the step what only follows from its own reader (lag 0): neurons wait for each other in it"
        help = "give it a lag of at least 1, and train with it (gate_delay)"
        yield InStep(what, help, path, "waits inside the step for what its own reader sends")
