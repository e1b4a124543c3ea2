"""Does the chip run the net that was trained? Program against captured net: structure, every layer of a run, the answers.

captured net  =  lowered net (same answers)  =  integer graph (same edges)  =  program (same integers)
every layer of a run  =  the lowered net's equation, within the rounding of its integers (see ``oracle``)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.backends import IntArray, Recording
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.interpret import float_answers, run_float, run_int
from spikewright.toolchain.ops import Array
from spikewright.toolchain.pipeline import chip_bits
from spikewright.toolchain.results import Result, Row
from spikewright.toolchain.spike_driven.integers import other_integers
from spikewright.toolchain.spike_driven.loaded import Misfit, misfits
from spikewright.toolchain.spike_driven.oracle import Layer, layers
from spikewright.toolchain.stage import EXACT

STATED = 5.0
"""Times the largest change of the golden answers, which a pass that is not exact stated, that other samples may show."""


@dataclass(frozen=True)
class Lowering:
    """How the lowered float net answers beside the captured one.

    Args:
        error: Largest difference of an answer.
        allowed: Largest that rounding, or the drift that static gates stated, explains.
        differ: Samples with a larger one, of
        samples: all. A tie that rounding breaks otherwise may change one; more than half is another net.
    """

    error: float
    allowed: float
    differ: int
    samples: int

    @property
    def ok(self) -> bool:
        """Whether it is the same net."""
        return 2 * self.differ <= self.samples


@dataclass(frozen=True, repr=False)
class Faithful(Result):
    """What stands between the captured net and the chip.

    Args:
        misfits: Ops that are loaded, or wired, otherwise than they should be.
        layers: Every layer of a run beside its equation; () without samples.
        lowering: The lowered net's answers; None without samples, or for a model that came as integers.
        samples: Samples of the run.
    """

    misfits: tuple[Misfit, ...]
    layers: tuple[Layer, ...] = ()
    lowering: Lowering | None = None
    samples: int = 0

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, the first layer first."""
        found = [str(misfit) for misfit in self.misfits] + [str(layer) for layer in self.layers if not layer.ok]
        if self.lowering is not None and not self.lowering.ok:
            one = self.lowering
            found.append(
                f"the lowered net answers {one.differ} of {one.samples} samples otherwise than the captured one, by up to "
                f"{one.error:.3g}; {one.allowed:.3g} is allowed"
            )
        return tuple(found)

    @property
    def ok(self) -> bool:
        """Whether the chip runs the captured net."""
        return not self.faults

    def headline(self) -> str:
        """Return the outcome in one line."""
        if not self.ok:
            return f"NOT the captured net: {len(self.faults)} fault{'s' if len(self.faults) > 1 else ''}"
        if not self.layers:
            return "wired as the captured net"
        values, differ = sum(layer.values for layer in self.layers), sum(layer.differ for layer in self.layers)
        return (
            f"runs the captured net: {values:,} values of {len(self.layers)} layers ({self.samples} samples) are within the "
            f"rounding of their integers; {differ:,} messages differ, each at its threshold"
        )

    def text(self) -> str:
        """Return the outcome, and what is wrong below it."""
        return "\n".join([self.headline(), *(f"  {fault}" for fault in self.faults)])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "ok": self.ok,
            "faults": list(self.faults),
            "samples": self.samples,
            "layers": self.rows(),
            "lowering": None if self.lowering is None else asdict(self.lowering),
        }

    def rows(self) -> list[Row]:
        """Return one row a layer."""
        return [asdict(layer) | {"reads": list(layer.reads), "ok": layer.ok} for layer in self.layers]


def faithful(made: Deployment, x: NDArray[Any] | None = None, run: Mapping[str, Recording] | None = None) -> Faithful:
    """Compare a deployment, and a recorded run of it, with the net that was captured.

    Args:
        made: The deployment.
        x: What ran, (T, B, *shape), in the net's own coding; None: only what structure shows.
        run: What the machine recorded of every population.
    """
    integers = made.drift is None
    bits = chip_bits(made.options, made.chip)
    wrong = misfits(made.integer, made.program, None if integers else made.lowered)
    if not integers and not wrong:
        wrong = tuple(other_integers(made.integer, made.lowered, bits))
    if x is None or run is None:
        return Faithful(wrong)
    payload = made.encode(x)
    if integers:
        return Faithful(wrong, _interpreted(made, payload, run), None, x.shape[1])
    found = layers(made.integer, made.lowered, payload, dict(run), bits)
    return Faithful(wrong, found, _lowering(made, np.asarray(x, np.float64)), x.shape[1])


def _interpreted(made: Deployment, x: IntArray, run: Mapping[str, Recording]) -> tuple[Layer, ...]:
    """Compare a run with the integer graph as it was imported, value by value."""
    wanted = run_int(made.integer, x).recordings
    found = []
    for op in made.integer:
        if isinstance(op, IntNeuron) and op.name in wanted and op.name in run:
            due, got = wanted[op.name], run[op.name]
            bad = (due.out != got.out) | (due.v != got.v)
            at = tuple(np.argwhere(bad)[0]) if bad.any() else ()
            first = (
                f"neuron {at[2:]} of sample {at[1]} in step {at[0]} holds {got.v[at]}, where {due.v[at]} is due"
                if at
                else ""
            )
            found.append(Layer(op.name, op.block, op.currents + op.links, bad.size, 0, int(bad.sum()), first))
    return tuple(found)


def _lowering(made: Deployment, x: Array) -> Lowering:
    """Compare the answers of the lowered net with the captured one's."""
    sent = x if made.host is None else run_float(made.host.graph, x)[made.host.boundary]
    wanted, got = float_answers(made.captured, x), float_answers(made.lowered, sent)
    names = [record.name for record in made.passes]
    before = made.passes[: names.index("quantize")] if "quantize" in names else made.passes
    stated = sum(record.answer_error for record in before if record.check == "drift")
    rounding = EXACT * max(1, len(before))
    allowed = max(rounding, STATED * stated)
    off = np.abs(wanted - got).max(axis=1)
    return Lowering(float(off.max(initial=0.0)), allowed, int((off > allowed).sum()), x.shape[1])
