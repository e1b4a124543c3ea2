"""What an attention block is: one op of a graph until it is lowered, with everything that is known about its paper.

A block's class holds its fields and equation, its meaning (``evaluate``), its gates, its lowerings and the reasons why it has
no others, the checker's rule for its published form, its cost, and what it sends. All other parts of the compiler call this
class; none of them names a paper. To add one: a class in one file, an entry point, a torch module with its ``kind``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from math import ceil, prod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from spikewright.toolchain.errors import UnsupportedNodeError, VerifyError
from spikewright.toolchain.gates import GATES, GateName
from spikewright.toolchain.integer import IntReplay
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Accumulator, Array, GateTable, Lif, MaxPool, Op, Replayed, Shape

if TYPE_CHECKING:
    from spikewright.toolchain.spike_driven.signals import Context, Judgement, Signal

Gates = Mapping[str, Array]
"""Gates by dimension ("T", "C", "S", ... as the block names them), (T or 1, *gate shape)."""
Lowering = Callable[[Graph, Gates], Graph]
"""From a graph with the block, and the mean gates of calibration data, to a graph without it."""
GateSource = Callable[[str, str], Op]
"""From a name and a dimension to the op that brings this gate."""
BEHIND = "the block stands behind the first spike; only blocks in front of it can run on the host"
NOTHING_TO_WAIT_FOR = "none of its gates reads the membrane: nothing waits inside a step"
NOTHING_AHEAD = "none of its gates needs a later step: nothing is to be run again"
IN_FRONT = "it stands in front of the first spike, where its gates are computed once per sample on the host"


Step = Callable[[list[str], list[str]], tuple[list[str], list[str]]]
"""One step in operators: (states, inputs) to (states, outputs), by name, each (B, ...)."""


class Operators(Protocol):
    """What a block writes itself with: names of tensors, operators as in ONNX.

    A signal of the net is (T, B, *shape). In front of the first spike it may be *free*, (1, B, *shape): one frame that all
    steps repeat; ``every`` gives it T steps.
    """

    timesteps: int

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; return the name of its result."""
        ...

    def constant(self, value: Any, name: str = "") -> str:
        """Add a constant; ``name``: path of the block's field that it is, such as ``parameters/ta_w0``."""
        ...

    def parameter(self, value: Array, shape: Shape, name: str) -> str:
        """Add a scalar, per-channel or full parameter that broadcasts over (B, *shape)."""
        ...

    def reshape(self, x: str, *lengths: int) -> str:
        """Give x other axes; one may be -1."""
        ...

    def frames(self, x: str, shape: Shape) -> str:
        """Turn (T, B, *shape) to frames (T B, *shape)."""
        ...

    def sequence(self, x: str, shape: Shape, like: str = "") -> str:
        """Turn frames to (T, B, *shape), free as the signal ``like``."""
        ...

    def every(self, x: str, shape: Shape) -> str:
        """Give a signal all T steps."""
        ...

    def full(self, value: float, before: Shape, after: Shape) -> str:
        """Make a constant signal (*before, B, *after)."""
        ...

    def reduce(self, kind: str, x: str, *axes: int) -> str:
        """Take axes away; kind: ``ReduceMean``, ``ReduceMax`` or ``ReduceSum``."""
        ...

    def gate(self, function: str, x: str) -> str:
        """Apply a gate function h."""
        ...

    def mlp(self, w0: str, w1: str, x: str) -> str:
        """Return w1 relu(w0 x) along the last axis of x (N, I)."""
        ...

    def conv(
        self, x: str, shape: Shape, weight: Array, *, pads: tuple[int, int, int, int], name: str = "weight"
    ) -> str:
        """Convolve frames (N, *shape); ``pads``: top, left, bottom, right; ``name``: path of the weight."""
        ...

    def same(self, x: str, shape: Shape, kernel: Array, name: str) -> str:
        """Convolve frames with 'same' padding."""
        ...

    def lif(self, neuron: Lif, current: str) -> str:
        """Run the block's neuron over a current; return its spikes (T, B, *shape)."""
        ...

    def states(self, neuron: Lif) -> list[tuple[Array, Shape]]:
        """Return first value and shape of a neuron's states, the membrane first."""
        ...

    def neuron(self, neuron: Lif, current: str, states: list[str]) -> tuple[str, list[str]]:
        """Write one step of the block's neuron; return its spikes and its states after the step."""
        ...

    def fire(self, neuron: Lif, v: str, states: list[str]) -> tuple[str, list[str]]:
        """Write spikes and reset of a membrane that has integrated; return the spikes and the states after the step."""
        ...

    def steps(
        self, states: Sequence[tuple[Array, Shape]], inputs: Sequence[tuple[str, Shape]], step: Step, outputs: int = 1
    ) -> list[str]:
        """Advance from states (first value, shape) over inputs (T, B, *shape); return what the steps give, (T, B, ...)."""
        ...


@dataclass(frozen=True)
class AttentionOps:
    """Operations of one block per sample of T steps: the one count, that the checker, the report and the energy figures read.

    Args:
        generate: MACs that make the gates, one path: what the papers count.
        maxpath: MACs of the second path of MLPs that read an average and a maximum.
        refine: Multiplies that apply the gates.
        pooling: Additions and comparisons of the squeezes.
        sca: MACs of a gate unit that reads a frame, one evaluation (of a still image one is enough).
        sca_time: MACs of that unit over all T, once.
    """

    generate: float = 0
    maxpath: float = 0
    refine: float = 0
    pooling: float = 0
    sca: float = 0
    sca_time: float = 0

    @property
    def made_once(self) -> float:
        """MACs that make gates, the unit that reads a frame left out."""
        return self.generate + self.maxpath + self.sca_time

    @property
    def macs(self) -> float:
        """All MACs that make gates, the gate unit evaluated once."""
        return self.made_once + self.sca


@dataclass(frozen=True, eq=False, kw_only=True)
class AttentionBlock(Op, ABC):
    """A block: an op with a neuron (it reads a current and fires) or without one (it scales spikes).

    Fields that a subclass adds are its options: numbers or text, written to a NIR file as they are.

    Args:
        shape: Of what it sends; taken from the neuron where there is one.
        neuron: Its neuron.
        timesteps: T its weights are for.
        parameters: Its weights by name; shapes as ``expected`` says.
        gate: The gate function h.
    """

    kind: ClassVar[str]
    """The name it is registered, written and captured by."""
    former: ClassVar[tuple[str, ...]] = ()
    """Names it had in files of earlier versions."""
    spiking: ClassVar[bool] = True
    """Whether it holds a neuron."""
    gates_currents: ClassVar[bool] = False
    """Whether it sends real values: gated currents, which only a host computes, in front of the first spike."""
    on_host: ClassVar[bool] = False
    """Whether it may stand in front of the first spike, where a host computes it."""
    operands: ClassVar[tuple[int, int]] = (1, 1)
    """How many operands it reads, at least and at most."""
    advice: ClassVar[str] = "deploy with --gates static"
    """What to do where a lowering is refused."""
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Values that text options may have; ``gate`` is checked anyway."""

    shape: Shape = ()
    neuron: Lif | None = None
    timesteps: int
    parameters: dict[str, Array]
    gate: GateName = "sigmoid"

    def __post_init__(self) -> None:
        """Name the block, and take the neuron's shape."""
        super().__post_init__()
        if not self.shape and self.neuron is not None:
            object.__setattr__(self, "shape", self.neuron.shape)

    # ----------------------------------------------------------------------------------------- what it is
    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{type(self).__name__} {self.block!r}"

    @property
    def sends(self) -> Literal["binary", "graded"]:
        """What it sends: spikes, or spikes scaled by a gate."""
        if not self.spiking:
            return "graded"
        return "binary" if self.neuron is None else self.neuron.sends

    @property
    def reads(self) -> Shape:
        """Shape of what it reads, its first operand."""
        return self.shape

    def expected(self) -> Mapping[str, tuple[int | None, ...]]:
        """Return the shapes of its parameters; None: any length."""
        return {name: np.shape(value) for name, value in self.parameters.items()}

    def check(self) -> None:
        """Check options and parameters, as read from a file.

        Raises:
            ValueError: They do not fit; the reader says where.
        """
        name = type(self).__name__
        self._check_types()
        for option, allowed in {"gate": GATES, **self.choices}.items():
            found = getattr(self, option)
            if found not in allowed:
                raise ValueError(f"{name}: {option} is {found!r}; allowed are {', '.join(allowed)}")
        if self.timesteps < 1:
            raise ValueError(f"{name}: timesteps {self.timesteps}; expected timesteps >= 1")
        expected = self.expected()
        if sorted(self.parameters) != sorted(expected):
            raise ValueError(f"{name}: parameters {sorted(self.parameters)}; expected {sorted(expected)}")
        for key, shape in expected.items():
            actual = np.shape(self.parameters[key])
            if len(actual) != len(shape) or any(e not in (None, a) for a, e in zip(actual, shape, strict=True)):
                wanted = "(" + ", ".join("n" if e is None else str(e) for e in shape) + ")"
                raise ValueError(f"{name}: {key} has shape {actual}; expected {wanted}")

    def _check_types(self) -> None:
        for option in own_fields(type(self)):
            value = getattr(self, option.name)
            wanted, what = _TYPES.get(str(getattr(option.type, "__name__", option.type)), (str, "text"))
            if isinstance(value, bool) or not isinstance(value, wanted):
                raise ValueError(f"{type(self).__name__}: {option.name} is {value!r}; expected {what}")

    def shape_of(self, operands: list[Shape]) -> Shape:
        """Return the shape of what it sends, from those of its operands, and check them.

        Raises:
            VerifyError: The shapes do not fit the block.
        """
        for found in operands:
            if found != self.reads and not (prod(found) == prod(self.reads) and 1 in (len(found), len(self.reads))):
                raise self.misfit(found, self.reads, "give the neurons the shape of their current")
        return self.shape

    def misfit(self, found: object, allowed: object, help: str) -> VerifyError:
        """Make the error for an operand of a wrong shape."""
        what = f"{type(self).__name__} reads shape {found}; it takes {allowed}"
        return VerifyError(what, where=f"op {self.name!r}", help=help)

    # ------------------------------------------------------------------------------------------ its meaning
    @abstractmethod
    def evaluate(self, operands: list[Array]) -> tuple[Array, Array | None]:
        """Return what it sends, and its neuron's membranes after reset, (T, B, *shape), from operands (T, B, ...)."""

    @abstractmethod
    def gates_on(self, operands: list[Array]) -> dict[str, Array]:
        """Return the gates it applies to operands, by dimension: (T or 1, B, *gate shape)."""

    @abstractmethod
    def gate_shapes(self) -> dict[str, Shape]:
        """Return the shape of each of its gates, by dimension."""

    def need_timesteps(self, T: int) -> None:
        """Refuse an input of another number of steps than it was made for.

        Raises:
            VerifyError: The input has another number of steps.
        """
        if self.timesteps != T:
            raise VerifyError(
                f"its weights are for T = {self.timesteps} steps; the input has {T}",
                where=f"op {self.name!r}",
                help=f"run with --timesteps {self.timesteps}, or train a net for T = {T}",
            )

    # -------------------------------------------------------------------------------------------- lowerings
    def lowerings(self) -> Mapping[str, Lowering]:
        """Return the lowerings it has, by strategy; ``host`` is none (the pass split-host cuts in front of the chip)."""
        return {}

    def refusal(self, strategy: str) -> str:
        """Return why it cannot be lowered by a strategy; "" where it can."""
        if self.on_host:
            return "" if strategy == "host" else IN_FRONT
        if strategy == "host":
            return BEHIND
        if strategy == "barrier" and not self.pools_membranes:
            return NOTHING_TO_WAIT_FOR
        if strategy == "replay" and not self.looks_ahead and (self.pools_membranes or not self.refusal("causal")):
            return NOTHING_AHEAD
        own = self.lowerings()
        return "" if strategy in own else f"it has no such lowering; it has {', '.join(own) or 'none'}"

    def gated_from(self, graph: Graph, source: GateSource, before: Sequence[Op] = ()) -> Graph:
        """Return the graph without the block, its gates from ops that ``source`` makes, behind the ops ``before``."""
        raise NotImplementedError

    def lower_static(self, graph: Graph, gates: Gates) -> Graph:
        """Put constants in the place of the gates."""

        def table(name: str, dim: str) -> Op:
            return GateTable(name=name, block=self.block, table=gates[dim])

        return self.gated_from(graph, table)

    def lower_replay(self, graph: Graph, gates: Gates) -> Graph:
        """Read what the gates are made of to the host, which computes them for the run that follows."""
        taps, shapes = self.taps(graph), self.gate_shapes()
        reads = tuple(op.name for op in taps if isinstance(op, Accumulator))

        def replayed(name: str, dim: str) -> Op:
            return Replayed(name=name, inputs=reads, block=self.block, of=self, dim=dim, shape=shapes[dim])

        return self.gated_from(graph, replayed, taps)

    def taps(self, graph: Graph) -> list[Op]:
        """Return read-outs on the cores of what its gates are made of: of its own current, where nothing smaller does."""
        return [self.tap(*self.inputs)]

    def tap(self, *reads: str, shape: Shape | None = None) -> Accumulator:
        """Return neurons that hold the sum of what they read in one step, and send nothing."""
        of = self.reads if shape is None else shape
        return Accumulator(name=f"{self.name}.read", inputs=reads, block=self.block, shape=of, decay=0.0, rectify=False)

    @property
    def pools_membranes(self) -> bool:
        """Whether a gate reads membranes between integrating and firing."""
        return False

    @property
    def looks_ahead(self) -> bool:
        """Whether a gate needs later steps."""
        return False

    @property
    def own_strategy(self) -> str:
        """Its exact lowering where it has one, else ``static``."""
        if self.on_host:
            return "host"
        return "static" if self.refusal("causal") else "causal"

    def misread(self, graph: Graph) -> Op | None:
        """Return an operand's producer that a lowering cannot read from, if any."""
        return None

    def behind_pool(self, graph: Graph, pool: MaxPool) -> Graph | None:
        """Return the graph with a max pool moved from behind the block to in front of it; None where that is not exact."""
        return None

    def operators(self, make: Operators, operands: list[str]) -> str:
        """Write the block with a runtime's operators; return what it sends, (T, B, *shape).

        Asked only where it has no exact causal lowering.
        """
        raise UnsupportedNodeError(
            f"{type(self).__name__} has no ONNX form",
            where=f"op {self.name!r}",
            help="give its class a method operators, or an exact causal lowering, which is written instead",
        )

    # ------------------------------------------------------------------------------- its cost, the checker's rule
    @abstractmethod
    def cost(self, spikes: float | None = None) -> AttentionOps:
        """Count its operations per sample, as published.

        Args:
            spikes: Spikes per sample that a squeeze counts, where it counts events; None: every one.
        """

    @property
    def macs_per_step(self) -> int:
        """MACs of making the gates in one step; those of gates for all T are divided by T."""
        cost = self.cost()
        return ceil(cost.made_once / self.timesteps + cost.sca)

    @property
    def note(self) -> str:
        """Say where the gates of an exact lowering come from."""
        return "gates from its own spikes"

    def judge(self, operands: list[Signal], ctx: Context) -> Judgement | None:
        """Judge the block as published; None: by the checker's rule, that it computes dense gates in every step.

        Asked only where no lowering makes events of it; a lowered block is judged op by op.
        """
        return None


_TYPES: Mapping[str, tuple[type, str]] = {"int": (Integral, "a whole number"), "float": (Real, "a number")}
_SHARED = frozenset(f.name for f in fields(AttentionBlock)) - {"gate"}


def own_fields(block: type[AttentionBlock]) -> list[Field[Any]]:
    """Return the options of a block's class: the fields that not every block has, and the gate function."""
    return [f for f in fields(block) if f.name not in _SHARED]


def replayed(op: Replayed | IntReplay, operands: list[Array]) -> Array:
    """Return the gates that a host computes of read-outs (T, B, ...): (T, B, *shape)."""
    assert isinstance(op.of, AttentionBlock)
    steps = operands[0].shape[:2]
    found = op.of.gates_on(operands)[op.dim]
    return np.broadcast_to(found.reshape((-1, steps[1], *op.shape)), (*steps, *op.shape))
