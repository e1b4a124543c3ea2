"""What a legal graph is at each level: a list of named rules, checked before and between passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from spikewright.hw_sim.synapses import GateLink, Synapses
from spikewright.toolchain import integer as i
from spikewright.toolchain import ops as f
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import VerifyError
from spikewright.toolchain.forms import malformed
from spikewright.toolchain.interpret.schedule import loops
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.passes.base import is_tap
from spikewright.toolchain.shapes import shapes

Level = Literal["float", "lowered", "integer", "aligned"]
Rule = Callable[[Graph], None]


def forms_are_right(graph: Graph) -> None:
    """Ranks, sizes and counts of all fields are such that shapes can be inferred from them.

    Raises:
        VerifyError: They are not.
    """
    for where, wrong in malformed(graph):
        raise VerifyError(wrong.what, where=where, help=wrong.help)


def shapes_fit(graph: Graph) -> None:
    """Every operand exists and has a shape its reader takes."""
    shapes(graph)


def feedback_is_delayed(graph: Graph) -> None:
    """Only a delayed edge points backwards."""
    loops(graph)


def one_input_one_output(graph: Graph) -> None:
    """There is one input and one output.

    Raises:
        VerifyError: There are none, or several.
    """
    for kinds, word in (((f.Input, i.IntInput), "input"), ((f.Output, i.IntOutput), "output")):
        found = [op.name for op in graph if isinstance(op, kinds)]
        if len(found) != 1:
            raise VerifyError(
                f"has {len(found)} {word}s ({', '.join(found) or 'none'}); one is allowed",
                where="graph",
                help=f"join the {word}s into one",
            )


def names_stand_in_a_line(graph: Graph) -> None:
    """No name holds a line break: it could write lines of its own into what a command prints.

    Raises:
        VerifyError: One does.
    """
    for op in graph:
        if "\n" in f"{op.name}{op.block}":
            raise VerifyError(
                "its name holds a line break", where=f"op {op.name!r}", help="rename it in the file or model"
            )


def values_are_finite(graph: Graph) -> None:
    """No parameter is NaN or infinite.

    Raises:
        VerifyError: One is not.
    """
    for op in graph:
        for name, value in _arrays(op):
            if not np.isfinite(value).all():
                bad = int((~np.isfinite(value)).sum())
                raise VerifyError(
                    f"{bad} of {value.size} values of {name!r} are not finite (NaN or infinity)",
                    where=f"op {op.name!r}",
                    help="the training diverged or the file is damaged: use another checkpoint",
                )


def _arrays(op: f.Op) -> list[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]]:
    found = []
    for name, value in vars(op).items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            found.append((name, value))
        elif isinstance(value, dict):
            found += [(key, a) for key, a in value.items() if isinstance(a, np.ndarray)]
        elif isinstance(value, f.Op):
            found += _arrays(value)
    return found


def only_lowered_ops(graph: Graph) -> None:
    """Only what quantize understands is left.

    Raises:
        VerifyError: An op cannot run on a neurocore and no pass lowers it.
    """
    allowed = (f.Input, f.Linear, f.Delay, f.Neuron, f.GateTable, f.Replayed, f.Output)
    for op in graph:
        if not isinstance(op, allowed):
            raise VerifyError(
                f"{type(op).__name__} cannot run on a neurocore and no pass lowers it here",
                where=f"op {op.name!r}",
                help=op.advice
                if isinstance(op, AttentionBlock)
                else _HELP.get(type(op), "express it by linear maps and spiking neurons"),
            )


_HELP: dict[type[f.Op], str] = {
    f.AdaptivePool: "the map is too large for a matrix of listed synapses: pool to a size that divides it, or resize the data",
    f.SumPool: "pool maps that the windows divide, without padding, right behind a spiking neuron or a convolution",
    f.Scale: "put it right behind a linear map; on spikes a factor is taken, a shift would be a value in every step",
    f.Multiply: "one factor a channel is taken; gains differing between the neurons of a map belong into their r",
    f.Flatten: "flatten spikes, right in front of a linear map or the output",
    f.Relu: "put a spiking neuron in its place",
}


def non_spiking_neurons_end_the_net(graph: Graph) -> None:
    """An accumulator is read by the output or the host, or its changes are counted by gates; nobody else takes its value.

    Raises:
        VerifyError: A layer reads its value.
    """
    for op in graph:
        if not isinstance(op, f.Accumulator):
            continue
        readers = graph.readers[op.name]
        ends = not op.rectify and all(isinstance(r, f.Output) and len(r.inputs) == 1 for r in readers)
        if not ends and not is_tap(graph, op) and not (op.rectify and _counted(graph, op)):
            raise _value_read(graph, op, readers[0])


def _counted(graph: Graph, op: f.Op) -> bool:
    """Say whether everything that reads an op, through linear maps and delays, is a gate that adds up its changes."""
    return all(
        _counted(graph, r)
        if isinstance(r, f.Linear | f.Delay)
        else isinstance(r, f.GateNeuron | f.HeldSum) and r.differences
        for r in graph.readers[op.name]
    )


def _value_read(graph: Graph, op: f.Accumulator, reader: f.Op) -> VerifyError:
    help = "put a spiking neuron in its place; a non-spiking one can only stand in front of the output"
    ends = all(isinstance(one, f.Output) for one in graph.readers[reader.name])
    if ends and isinstance(reader, f.Linear) and reader.bias is not None:
        help = f"leave the bias of {reader.name!r} out (the map then acts in front of it), and add it to the answers"
    return VerifyError(
        f"{type(reader).__name__} {reader.name!r} reads its sum, a real value in every step, event or not",
        where=f"non-spiking neuron {op.name!r}",
        help=help,
    )


def connections_have_one_reader(graph: Graph) -> None:
    """Every connection feeds one neuron, and reads a neuron or the input.

    Raises:
        VerifyError: It has several, or reads no neuron.
    """
    for op in graph:
        if not isinstance(op, i.IntConnection):
            continue
        readers = graph.readers[op.name]
        if len(readers) != 1 or not isinstance(readers[0], i.IntNeuron):
            names = ", ".join(r.name for r in readers) or "nobody"
            raise VerifyError(f"is read by {names}; a connection feeds one neuron", where=f"connection {op.name!r}")
        if isinstance(graph[op.inputs[0]], i.IntConnection):
            raise VerifyError(f"reads the connection {op.inputs[0]!r}, not a neuron", where=f"connection {op.name!r}")


def gate_links_are_at_their_ports(graph: Graph) -> None:
    """The last operands of a neuron are the links of its gate ports, in order, and no other operand is a link.

    Raises:
        VerifyError: They are not.
    """
    for op in graph:
        if not isinstance(op, i.IntNeuron):
            continue
        links = [link for name in op.inputs if isinstance(link := _synapses(graph, name), GateLink)]
        at_the_end = [isinstance(_synapses(graph, name), GateLink) for name in op.links]
        if [link.port for link in links] != list(range(op.soma.ports)) or not all(at_the_end):
            found = ", ".join(str(link.port) for link in links) or "none"
            raise VerifyError(
                f"its gate links are at ports {found}; it has {op.soma.ports} ports, in order behind its other operands",
                where=f"op {op.name!r}",
                help="name the links of ports 0, 1, ... last",
            )


def _synapses(graph: Graph, name: str) -> Synapses | None:
    op = graph[name]
    return op.synapses if isinstance(op, i.IntConnection) else None


def integers_in_range(graph: Graph) -> None:
    """The integers of every soma and synapse kind are legal, as the machine's own classes say.

    Raises:
        VerifyError: One is not.
    """
    for op in graph:
        for wrong in i.wrong(op, graph.timesteps):
            raise VerifyError(wrong.what, where=f"op {op.name!r}", help=wrong.help)


def delays_match_starts(graph: Graph) -> None:
    """Delay = start(target) + lag - start(source), at least 1.

    Raises:
        VerifyError: It is another.
    """
    for op in graph:
        if isinstance(op, i.IntConnection) and (what := i.wrong_delay(graph, op)):
            raise VerifyError(what, where=f"connection {op.name!r}", help="run align again")


_ALWAYS: list[Rule] = [
    forms_are_right,
    shapes_fit,
    feedback_is_delayed,
    one_input_one_output,
    names_stand_in_a_line,
    values_are_finite,
]
_INTEGER: list[Rule] = [*_ALWAYS, connections_have_one_reader, gate_links_are_at_their_ports, integers_in_range]
RULES: dict[Level, list[Rule]] = {
    "float": _ALWAYS,
    "lowered": [*_ALWAYS, non_spiking_neurons_end_the_net, only_lowered_ops],
    "integer": _INTEGER,
    "aligned": [*_INTEGER, delays_match_starts],
}


def verify(graph: Graph, *, level: Level) -> None:
    """Check a graph against the rules of a level.

    Raises:
        VerifyError: The first rule that is broken.
    """
    for rule in RULES[level]:
        rule(graph)
