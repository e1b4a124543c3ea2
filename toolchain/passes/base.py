"""What a pass is: a pure function from graph to graph, a frozen dataclass whose fields are its options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar, Literal, get_args

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import PassError
from spikewright.toolchain.integer import IntInput, IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Input, MaxPool, Neuron, Op, Output, Relay, Replayed
from spikewright.toolchain.plugins import points

MAX_REWRITES = 10_000
"""A pass that has not settled by then loops: our bug."""


Check = Literal["exact", "drift", "cut"]
"""How the answer to the golden input before and after a stage is compared: ``exact`` raises beyond rounding, ``drift`` is
recorded only, ``cut`` is exact too, on what the host in front now sends."""


@dataclass(frozen=True)
class Pass:
    """Repeat ``rewrite`` over the ops until nothing matches; the same graph comes back if nothing did.

    A pass of your own package joins by an entry point of group ``spikewright.passes`` that names its class (or an instance):
    give it a ``name``, what it stands ``after`` (or ``before``; `spikewright passes` lists the stages), and its ``check``.
    Behind `quantize` it gets the integer graph. Its graph is verified, and its answer compared, like every other's.
    """

    name: ClassVar[str] = ""
    """Lower case words joined by hyphens: what the command line and the files of ``--keep-stages`` call it."""
    after: ClassVar[str] = ""
    before: ClassVar[str] = ""
    check: ClassVar[Check] = "exact"
    """``exact``, or ``drift`` if it means to change answers."""

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Return a new graph if the rule matches at ``op``, else None.

        Raises:
            PassError: The pass has no rule.
        """
        raise PassError("has no rule", where=f"pass {self.name!r}")

    def __call__(self, graph: Graph) -> Graph:
        """Apply the pass."""
        for _ in range(MAX_REWRITES):
            for op in graph:
                changed = self.rewrite(graph, op)
                if changed is not None:
                    graph = drop_unread(changed)
                    break
            else:
                return graph
        raise PassError("does not settle", where=f"pass {self.name!r}")


_ENDS = (Input, Output, IntInput, IntOutput)


def drop_unread(graph: Graph) -> Graph:
    """Remove ops whose result nobody reads (inputs and outputs stay)."""
    while True:
        dead = [op for op in graph if not graph.readers[op.name] and not isinstance(op, _ENDS)]
        if not dead:
            return graph
        graph = graph.with_ops(op for op in graph if op not in dead)


def in_place(graph: Graph, op: Op, fresh: list[Op]) -> Graph:
    """Put several ops in the place of one whose name one of them keeps."""
    ops: list[Op] = []
    for old in graph:
        ops.extend(fresh if old is op else [old])
    return graph.with_ops(ops)


def is_readout(graph: Graph, op: Op) -> bool:
    """Say whether nobody but the output reads an op."""
    return all(isinstance(reader, Output) for reader in graph.readers[op.name])


def is_tap(graph: Graph, op: Op) -> bool:
    """Say whether nobody but the host reads an op, for the gates of the next run."""
    return bool(graph.readers[op.name]) and all(isinstance(reader, Replayed) for reader in graph.readers[op.name])


def sends_messages(graph: Graph, name: str) -> bool:
    """Say whether a signal is made of messages (input or neuron output), not of currents."""
    op = graph[name]
    match op:
        case Input() | AttentionBlock() | Neuron(fires=True) | Relay():
            return True
        case MaxPool():
            return sends_messages(graph, op.inputs[0])
        case _:
            return False


def installed() -> list[tuple[Pass, str]]:
    """Return the passes of other packages, and which package each is from, by name.

    Raises:
        PassError: One cannot be loaded, is no pass, or does not say where it stands and how it is checked.
    """
    found = [(_loaded(point), _origin(point)) for point in points("spikewright.passes")]
    return sorted(found, key=lambda item: item[0].name)


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _loaded(point: EntryPoint) -> Pass:
    """Return an entry point's pass."""
    where = f"pass {point.name!r} of {_origin(point)}"
    try:
        made = point.load()
        made = made() if isinstance(made, type) else made
    except (ImportError, AttributeError, TypeError) as error:
        raise PassError(f"cannot be loaded ({error})", where=where, help="mend or uninstall the package") from error
    if not isinstance(made, Pass):
        raise PassError(f"{point.value} is no Pass", where=where, help="derive it from toolchain.passes.base.Pass")
    faults = (
        (not re.fullmatch(r"[a-z][a-z0-9-]*", made.name), f"has the name {made.name!r}", "use lower case and hyphens"),
        (bool(made.after) == bool(made.before), "says not where it stands, or says it twice", "set after or before"),
        (made.check not in get_args(Check)[:2], f"has the check {made.check!r}", "set check to 'exact' or 'drift'"),
    )
    for fault, what, help in faults:
        if fault:
            raise PassError(what, where=where, help=help)
    return made


def sends_binary(op: Op) -> bool:
    """Say whether an op sends binary spikes; a max pool does, as its own rules refuse all but spikes in front of it."""
    match op:
        case Input():
            return op.binary
        case Neuron() | AttentionBlock():
            return op.sends == "binary"
        case _:
            return isinstance(op, MaxPool)
