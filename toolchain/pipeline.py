"""The road from a captured float graph to a deployment: ordered passes, each verified, with a golden check that raises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Program
from spikewright.hw_sim.chip import load_chip
from spikewright.toolchain.blocks.base import AttentionBlock
from spikewright.toolchain.calibration import Labels, drift, float_answers, gates_on, int_answers, reach, sent_by
from spikewright.toolchain.deployment import Deployment, Options, PassRecord, Samples, encode
from spikewright.toolchain.errors import GateLoweringError, InputError, PassError
from spikewright.toolchain.interpret import answer, run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import map_graph, strategy_called
from spikewright.toolchain.ops import Array, Input
from spikewright.toolchain.passes.align import Align
from spikewright.toolchain.passes.base import Pass
from spikewright.toolchain.passes.distribute import Distribute
from spikewright.toolchain.passes.fold_pool import DropFlatten, FoldPool
from spikewright.toolchain.passes.fold_scale import FoldScale, LowerScale
from spikewright.toolchain.passes.lower_bias import LowerBias
from spikewright.toolchain.passes.lower_gates import LowerGates, strategies_for
from spikewright.toolchain.passes.lower_max_pool import LowerMaxPool
from spikewright.toolchain.passes.lower_pool import LowerPool
from spikewright.toolchain.passes.quantize import InputCode, Quantize
from spikewright.toolchain.passes.split_host import HostPart, is_still, split_host
from spikewright.toolchain.verify import verify

GOLDEN_SAMPLES = 8
"""Samples of the golden input that every pass is checked on."""
EXACT = 1e-6
"""Largest change of a float answer that rounding may make; a pass that changes it more is wrong."""
COUNT_LIMIT = 1 << 16
"""Whole numbers below this are taken for event counts."""

Note = Callable[[str], None]


def input_code(x: Array) -> InputCode:
    """Infer how data is coded: binary spikes, event counts (whole numbers), or real values.

    Args:
        x: (T, B, *shape).
    """
    whole = bool((x == np.round(x)).all())
    low, high = float(x.min(initial=0.0)), float(x.max(initial=0.0))
    if whole and low >= 0 and high <= 1:
        return InputCode("binary")
    if whole and max(abs(low), high) < COUNT_LIMIT:
        return InputCode("counts", max(abs(low), high), low < 0)
    return InputCode("dense", high, low < 0)


@dataclass
class _Road:
    """The graph on its way, and what each pass did to it."""

    graph: Graph
    x: Array
    note: Note
    records: list[PassRecord] = field(default_factory=list)

    def answer(self, graph: Graph) -> Array:
        return answer(graph, run_float(graph, self.x))

    def take(self, step: Pass, check: str = "exact") -> None:
        """Apply a pass, verify the result, and compare its answer with the one before."""
        self.note(step.name)
        before = self.graph
        after = step(before)
        verify(after, level="float")
        error = 0.0
        if after is not before:
            error = float(np.abs(self.answer(after) - self.answer(before)).max(initial=0.0))
        if check == "exact" and error > EXACT:
            raise PassError(
                f"changes the answer by {error:.3g} on the golden input; at most {EXACT:g} is rounding",
                where=f"pass {step.name!r}",
                help="this is a fault of the pass: please report it with the model",
            )
        self.records.append(PassRecord(step.name, len(before), len(after), error, check))
        self.graph = after


def deploy_graph(
    graph: Graph,
    options: Options,
    calibration: Samples,
    *,
    name: str,
    card: dict[str, Any] | None = None,
    samples: Samples | None = None,
    note: Note = lambda _: None,
) -> Deployment:
    """Compile a captured float graph for a chip.

    Args:
        graph: As captured or imported.
        options: What was asked for.
        calibration: Data in the net's own coding; it decides the input's coding, static gates and ``auto``.
        name: Name of the model.
        card: Model card.
        samples: Test samples that travel with the deployment.
        note: Told the name of each stage as it starts.

    Raises:
        ToolchainError: A stage refuses the net; nothing is written.
    """
    check_options(options, graph)
    verify(graph, level="float")
    chip = load_chip(options.chip)
    x = np.asarray(calibration.x, np.float64)
    check_data(graph, x)
    if samples is not None:
        check_data(graph, samples.x, "samples")
    code = input_code(x)
    if options.gates == "auto" and any(isinstance(op, AttentionBlock) for op in graph):
        return _auto(graph, options, calibration, name, card or {}, samples, note, chip, code)
    return _compile(graph, options, x, name, card or {}, samples, note, chip, code)


def check_data(graph: Graph, x: NDArray[Any], what: Literal["calibration", "samples"] = "calibration") -> None:
    """Refuse calibration data, or samples that are to travel with the bundle, that do not fit the net."""
    shape = next(op.shape for op in graph if isinstance(op, Input))
    wanted = (graph.timesteps, "samples", *shape)
    if x.ndim != len(shape) + 2 or x.shape[0] != graph.timesteps or x.shape[2:] != shape or x.shape[1] < 1:
        raise InputError(
            f"x has shape {x.shape}; the net takes ({', '.join(map(str, wanted))})",
            where=f"{what} data",
            help=f"give data as (T, B, C, H, W) with --{_FLAGS[what]} FILE.npz",
        )
    if not np.isfinite(x).all():
        raise InputError(
            "x holds values that are not finite (NaN or infinity)", where=f"{what} data", help="clean the data"
        )


_FLAGS = {"calibration": "calibrate", "samples": "samples"}


def check_options(options: Options, graph: Graph) -> None:
    """Refuse options out of range."""
    ranges = (
        ("--weight-bits", options.weight_bits, 2, 8),
        ("--payload-bits", options.payload_bits, 1, 16),
        ("--timesteps", graph.timesteps, 1, 1 << 20),
        ("--seed", options.seed, 0, (1 << 63) - 1),
    )
    for flag, value, low, high in ranges:
        if not low <= value <= high:
            raise InputError(
                f"{value}; {low} .. {high} is allowed", where=flag, help=f"choose {flag} in {low} .. {high}"
            )
    if math.isnan(options.tolerance):
        raise InputError("nan is no number", where="--tolerance", help="give a share of 1, e.g. 0.01 for one point")
    if options.timesteps is not None and options.timesteps != graph.timesteps:
        raise InputError(
            f"{options.timesteps} steps asked for; the net was trained for T = {graph.timesteps}",
            where="--timesteps",
            help=f"leave --timesteps out, or train the net for T = {options.timesteps}",
        )


def _auto(
    graph: Graph,
    options: Options,
    calibration: Samples,
    name: str,
    card: dict[str, Any],
    samples: Samples | None,
    note: Note,
    chip: Chip,
    code: InputCode,
) -> Deployment:
    """Try the strategies from cheap to dear; keep the first whose accuracy loss on the calibration data is in tolerance."""
    x = np.asarray(calibration.x, np.float64)
    wanted = _float_accuracy(graph, x, calibration.y)
    losses = []
    for strategy in _candidates(graph):
        note(f"trying gates: {strategy}")
        made = _compile(graph, replace(options, gates=strategy), x, name, card, samples, note, chip, code)
        got = _int_accuracy(made, x, calibration.y, graph)
        if wanted - got <= options.tolerance:
            return replace(made, options=options)
        losses.append(f"{strategy} loses {100 * (wanted - got):.1f} points")
    raise GateLoweringError(
        f"no spike-driven lowering stays within {100 * options.tolerance:.1f} points on the calibration data: "
        + ", ".join(losses)
        + _why_not_exactly(graph),
        where=f"{name}, --gates auto",
        help="allow more with --tolerance, choose --gates yourself (static: constant gates), or train the causal variant",
    )


def _why_not_exactly(graph: Graph) -> str:
    """Say why the first block that no exact lowering takes has none; "" where there is no such block."""
    for op in _on_chip(graph):
        if reason := op.refusal("causal"):
            return f"; for block {op.block!r}, {op.title}, no other is exact: {reason}"
    return ""


def _on_chip(graph: Graph) -> list[AttentionBlock]:
    """Return the attention blocks behind the first spike."""
    return [op for op in graph if isinstance(op, AttentionBlock) and not op.on_host]


def _candidates(graph: Graph) -> list[Any]:
    """Return the strategies to try, cheapest first."""
    blocks = _on_chip(graph)
    if not blocks:
        return ["host"]
    return ["static", "causal"] if all(op.own_strategy == "causal" for op in blocks) else ["static"]


def _float_accuracy(graph: Graph, x: Array, y: Labels | None) -> float:
    """Return the float net's accuracy, or 1.0 where there are no labels (agreement with itself)."""
    return 1.0 if y is None else float((float_answers(graph, x).argmax(axis=1) == y).mean())


def _int_accuracy(made: Deployment, x: Array, y: Labels | None, graph: Graph) -> float:
    got = int_answers(made.integer, made.host, x).argmax(axis=1)
    truth = float_answers(graph, x).argmax(axis=1) if y is None else y
    return float((got == truth).mean())


def _compile(
    graph: Graph,
    options: Options,
    x: Array,
    name: str,
    card: dict[str, Any],
    samples: Samples | None,
    note: Note,
    chip: Chip,
    code: InputCode,
) -> Deployment:
    """Take the road once, with one gate strategy."""
    attention = [op for op in graph if isinstance(op, AttentionBlock)]
    strategies = strategies_for(attention, options.gates)
    road = _Road(graph, x[:, :GOLDEN_SAMPLES], note)
    road.take(FoldScale())
    road.take(FoldPool())
    road.take(FoldScale())
    road.take(DropFlatten())
    host = None
    calibration = x
    if code.kind == "dense":
        note("split-host")
        chip_graph, host = split_host(road.graph)
        host = replace(host, still=is_still(x))
        calibration = sent_by(host, x)
        road.records.append(PassRecord("split-host", len(road.graph), len(chip_graph), 0.0, "cut"))
        road.graph, road.x = chip_graph, calibration[:, :GOLDEN_SAMPLES]
        code = _boundary_code(host, calibration)
    elif code.kind != "binary":
        road.graph = road.graph.map(lambda op: replace(op, binary=False) if isinstance(op, Input) else op)
    road.take(LowerScale())
    road.take(LowerMaxPool())
    means = gates_on(road.graph, calibration) if "static" in strategies.values() else {}
    static = any(s == "static" for s in strategies.values())
    road.take(LowerGates(options.gates, means), "drift" if static else "exact")
    road.take(Distribute())
    road.take(FoldPool())
    road.take(LowerPool())
    road.take(Distribute())
    road.take(LowerBias())
    lowered = road.graph
    verify(lowered, level="lowered")
    note("quantize")
    quantize = Quantize(options.weight_bits, options.payload_bits, input=code, reach=reach(lowered, calibration))
    integer = quantize(lowered)
    verify(integer, level="integer")
    changed = drift(lowered, integer, host, x, calibration)
    road.records.append(PassRecord("quantize", len(lowered), len(integer), changed.answer_error, "drift"))
    note("align")
    aligned = Align()(integer)
    verify(aligned, level="aligned")
    road.records.append(PassRecord("align", len(integer), len(aligned), 0.0, "exact"))
    note("map")
    payloads = encode(host, aligned, x[:, :GOLDEN_SAMPLES])
    program: Program = map_graph(aligned, chip, strategy_called(options.mapping, payloads))
    return Deployment(
        name=name,
        captured=graph,
        lowered=lowered,
        integer=aligned,
        host=host,
        program=program,
        chip=chip,
        options=options,
        strategies=strategies,
        input=code,
        card=card,
        passes=tuple(road.records),
        drift=changed,
        samples=samples,
    )


def _boundary_code(host: HostPart, sent: Array) -> InputCode:
    """Return the coding of what the host sends: binary spikes, or gains in [0, 1] on spikes."""
    if not host.graded:
        return InputCode("binary")
    return InputCode("graded", max(1.0, float(sent.max(initial=0.0))))
