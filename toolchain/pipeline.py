"""From a captured float graph to a deployment: a tuple of named stages, each verified, with a golden check that raises."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spikewright.hw_sim import Chip
from spikewright.hw_sim.chip import load_chip
from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.auto import Judges, choose
from spikewright.toolchain.backends import IntArray
from spikewright.toolchain.budget import CALIBRATED_BYTES, GOLDEN_BYTES, blocks
from spikewright.toolchain.calibration import (
    Data,
    Seen,
    answers,
    drift,
    gates_on,
    looked_at,
    observe,
    sample_bytes,
    sent_by,
    spread_over,
    to_units,
)
from spikewright.toolchain.coding import INPUT_BITS_MAX, payloads, saturated
from spikewright.toolchain.deployment import (
    Deployment,
    Drift,
    PassRecord,
    check_data,
    check_labels,
)
from spikewright.toolchain.diagnostics import Diagnostic, refuse_losses
from spikewright.toolchain.errors import InputError, PassError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import COUNT_LIMIT, COUNTS_ROOM, MENDS, OUTLIER_LIMIT
from spikewright.toolchain.losses import losses, second_projections, to_refine
from spikewright.toolchain.mapping import map_graph, strategy_called
from spikewright.toolchain.ops import Array, Input, Neuron, Op
from spikewright.toolchain.options import Options, refuse_unfit
from spikewright.toolchain.passes import scales as sc
from spikewright.toolchain.passes.align import Align
from spikewright.toolchain.passes.base import Check, Pass, installed
from spikewright.toolchain.passes.early_delay import EarlyDelay
from spikewright.toolchain.passes.fan_in import FanIn, check_counters
from spikewright.toolchain.passes.long_delay import LongDelay
from spikewright.toolchain.passes.lower_bias import LowerBias
from spikewright.toolchain.passes.lower_gates import LowerGates, by_block, mean_gates, strategies_for
from spikewright.toolchain.passes.lower_max_pool import LowerMaxPool
from spikewright.toolchain.passes.normal_form import NormalForm
from spikewright.toolchain.passes.quantize import InputCode, Quantize
from spikewright.toolchain.passes.relay import Relays
from spikewright.toolchain.passes.split_host import HostPart, first_blocks, is_still, split_host, too_large
from spikewright.toolchain.passes.streams import Streams, measured, sums, travelling
from spikewright.toolchain.samples import Samples, first
from spikewright.toolchain.shapes import shapes
from spikewright.toolchain.stage import GOLDEN_SAMPLES, Context, Memory, Note, Stage, Walk, passed, position
from spikewright.toolchain.structure import refuse_structure
from spikewright.toolchain.verify import Level, verify


# -------------------------------------------------------------------------------------------- the stages
def _paragraph(text: str | None) -> str:
    """Return the first paragraph in one line, without its marks of code."""
    return (text or "").strip().split("\n\n")[0].replace("\n", " ").replace("``", "")


def _about(step: type[Pass] | Callable[..., Any]) -> str:
    """Return what the module of a pass says it does: one file, one pass."""
    return _paragraph(sys.modules[step.__module__].__doc__)


def _stage(
    kind: type[Pass],
    make: Callable[[Context], Pass] | None = None,
    *,
    again: int = 0,
    needs: tuple[str, ...] = (),
    level: Level = "float",
) -> Stage:
    """Return the stage of one of our passes, whose module documents it; ``again``: its number where it comes once more."""
    name = f"{kind.name}-{again}" if again else kind.name

    def run(context: Context) -> Context:
        step = kind() if make is None else make(context)
        return passed(context, name, step(context.graph), kind.check, level)

    return Stage(name, _about(kind), kind.check, run, needs, level)


def _split_host(context: Context) -> Context:
    """Cut where the input is not spikes, or the host is asked for; from here on calibration data is what the host sends."""
    pool = too_large(context.graph)
    asked = any(context.strategies.get(op.block) == "host" for op in first_blocks(context.graph))
    if context.code.kind != "dense" and not asked and pool is None:
        return replace(context, graph=context.graph.map(_counted)) if context.code.kind == "counts" else context
    graph, host = split_host(context.graph)
    hosted = {op.block: "host" for op in host.graph if isinstance(op, AttentionBlock)}
    context = replace(context, strategies=context.strategies | hosted)
    if pool is not None:
        context = replace(context, diagnostics=(*context.diagnostics, _pooled_on_host(pool, host.boundary)))
    host = replace(host, still=is_still(context.data))
    if host.current:
        context = replace(context, diagnostics=(*context.diagnostics, _current_sent(host, graph)))
    bits = context.options.input_bits
    if bits is not None and not host.counted:
        raise InputError(
            "real values reach the chip as the host sends them, not as counts",
            where="--input-bits",
            help="leave it out, or give event counts",
        )
    sent = sent_by(host, context.data)
    code = _sent_code(host, sent, bits)
    return passed(replace(context, host=host, x=sent, code=code), "split-host", graph, "cut", "float")


def _split_blind(context: Context) -> Context:
    """Cut as ``_split_host`` does, with nothing to send."""
    graph = context.graph
    asked = any(context.strategies.get(op.block) == "host" for op in first_blocks(graph))
    cut = context.code.kind == "dense" or asked or too_large(graph) is not None
    return replace(context, graph=split_host(graph)[0]) if cut else context


def _sent_code(host: HostPart, sent: Data, bits: int | None) -> InputCode:
    """Return how the chip is sent what the host computes: spikes, spikes counted (with room), or graded ones."""
    most = float(sent.max(initial=0.0))
    if host.counted:
        return InputCode("counts", COUNTS_ROOM * max(1.0, most) if bits is None else float((1 << bits) - 1))
    if host.current:
        return InputCode("current", COUNTS_ROOM * max(most, -float(sent.min(initial=0.0))), signed=True)
    return InputCode("graded", max(1.0, most)) if host.graded else InputCode("binary")


def _pooled_on_host(pool: Op, boundary: str) -> Diagnostic:
    what = (
        f"the pool {pool.name!r} is uneven, and with the map behind it too large for listed synapses: the host pools the "
        f"input, and computes what stands in front of the spikes of {boundary!r}"
    )
    return Diagnostic("pool-on-host", f"layer {pool.name!r}", what, "pool the input beforehand", "note")


def _current_sent(host: HostPart, graph: Graph) -> Diagnostic:
    what = (
        f"what the input brings also goes round the first neurons, to a sum behind them: the host sends the current "
        f"{host.boundary!r}, {math.prod(graph.input.shape):,} signed values in every step, event or not"
    )
    help = "put spiking neurons into the stem, in front of the first shortcut (and retrain)"
    return Diagnostic("current-sent", "what the host sends", what, help, "note")


def _counted(op: Op) -> Op:
    return replace(op, binary=False) if isinstance(op, Input) else op


def _lower_gates(context: Context) -> Context:
    """Lower the gates; a constant one is its mean over the calibration data, which is drift."""
    means: dict[str, dict[str, Array]] = {}
    check: Check = "exact"
    if "static" in context.strategies.values():
        means, reference = gates_on(context.graph, context.data)
        context, check = replace(context, reference=reference), "drift"
    step = LowerGates(context.gates, means, context.strategies)
    return passed(context, step.name, step(context.graph), check, "float")


def _gates_blind(context: Context) -> Context:
    """Lower the gates; constant ones have the right shapes, as spikes drawn at random give them."""
    graph, means = context.graph, {}
    if "static" in context.strategies.values():
        rng, sizes = np.random.default_rng(0), shapes(graph)
        read = {name for op in graph if isinstance(op, AttentionBlock) for name in op.inputs}
        drawn = {name: (rng.random((graph.timesteps, 1, *sizes[name])) < 0.5).astype(np.float64) for name in read}
        means = mean_gates(graph, drawn)
    step = LowerGates(context.gates, means, context.strategies)
    return passed(context, step.name, step(graph), "exact", "float")


def _relay_blind(context: Context) -> Context | None:
    """Go on where there is no stream; which of them travel by relays depends on the data."""
    return None if context.options.streams != "distribute" and sums(context.graph) else context


def _relay(context: Context) -> Context:
    """Let the streams that ``--streams`` asks for, or that pay, travel by relays."""
    graph, how = context.graph, context.options.streams
    found = sums(graph)
    if not found and how != "auto":
        held = travelling(graph)
        if not held:
            what = f"there is no residual stream of membranes in {context.name!r}"
            raise InputError(what, where="--streams", help="leave it out")
        if how == "relay":
            raise InputError(
                f"no relay can send {held[0]!r} or another sum of {context.name!r}: its constant differs from place to place, "
                "or a reader cannot add it again",
                where="--streams",
                help="deploy with --streams distribute (or auto)",
            )
    if not found or how == "distribute":
        return passed(context, Relays.name, graph, "exact", "float")
    streams = Streams(graph, found, measured(graph, found, context.golden), context.chip)
    chosen, said = streams.choice(how)
    context = replace(context, diagnostics=(*context.diagnostics, *said))
    return passed(context, Relays.name, Relays(chosen)(graph), "exact", "float")


def _fan_in(context: Context) -> Context:
    """Split what reads more neurons than a core of the chip has axons for, or takes synapses of one neuron."""
    core = context.chip.core
    most = min(core.max_axons_in, core.max_fan_in)
    graph = FanIn(most)(context.graph)
    relays = [op for op in graph if op.name not in context.graph and isinstance(op, Neuron)]
    if relays:
        where = ", ".join(dict.fromkeys(op.block or op.name for op in relays))
        what = (
            f"more neurons are added up than the {most:,} axons of a core of {context.chip.name!r}: in two levels, "
            f"{sum(math.prod(op.shape) for op in relays):,} neurons send partial sums, which arrive one synapse later"
        )
        said = Diagnostic("added-in-two-levels", where, what, severity="note")
        context = replace(context, diagnostics=(*context.diagnostics, said))
    return passed(context, FanIn.name, graph, "exact", "float")


def _long_delay(context: Context) -> Context:
    """Send what is delayed for longer than the chip can over relays."""
    longest = context.chip.core.max_delay
    graph = LongDelay(longest)(context.graph)
    relays = [op for op in graph if op.name not in context.graph and isinstance(op, Neuron)]
    if relays:
        where = ", ".join(dict.fromkeys(op.block for op in relays))
        neurons = sum(math.prod(op.shape) for op in relays)
        what = f"delays beyond the {longest} steps of chip {context.chip.name!r}: {neurons:,} neurons send on what comes late"
        said = Diagnostic("delays-by-relays", where, what, severity="note")
        context = replace(context, diagnostics=(*context.diagnostics, said))
    return passed(context, LongDelay.name, graph, "exact", "float")


def quantizer(
    options: Options, chip: Chip, code: InputCode, seen: Seen, refine: Mapping[str, float] | None = None
) -> Quantize:
    """Return the pass that turns a lowered graph into a chip's integers, by what the graph did on calibration data."""
    return Quantize(
        sc.ChipGrid.of(chip.core, chip_bits(options, chip)),
        options.payload_bits,
        input=code,
        reach=seen.reach,
        peak=seen.peak,
        reached=seen.reached,
        headroom=options.headroom,
        refine=refine or {},
    )


def _quantize(context: Context) -> Context:
    """Quantize between one run of the lowered net on the calibration data and one of the integer net; mend what loses."""
    lowered, options, golden = context.graph, context.options, context.golden.shape[1]
    verify(lowered, level="lowered")
    seen = observe(lowered, context.data)
    step = quantizer(options, context.chip, context.code, seen)
    tried = _mended(context, step, seen)
    record = PassRecord(step.name, len(lowered), len(tried.integer), tried.drift.answer_error, "drift")
    return replace(
        context,
        graph=tried.integer,
        lowered=lowered,
        answer=to_units(tried.integer, tried.answers[:golden]),
        reference=seen.answers if context.reference is None else context.reference,
        integer_answers=tried.answers,
        drift=tried.drift,
        records=(*context.records, record),
        diagnostics=(*context.diagnostics, *tried.found),
    )


@dataclass(frozen=True, eq=False)
class _Tried:
    """One way to quantize: the integer graph, its answers (B, n) to the calibration data, and what it lost there."""

    integer: Graph
    answers: IntArray
    drift: Drift
    found: tuple[Diagnostic, ...]

    @property
    def losses(self) -> int:
        """How many losses are beyond their limits."""
        return sum(one.severity == "warning" for one in self.found)

    @property
    def lost(self) -> float:
        """Spikes that differ, as a share, summed over the layers."""
        return sum(self.drift.spike_mismatch.values())


def _tried(context: Context, integer: Graph, seen: Seen) -> _Tried:
    verify(integer, level="integer")
    changed, got = drift(seen, integer, context.data)
    units = to_units(integer, got)
    found = losses(context.graph, integer, changed, seen.answers, units, context.y, context.options.tolerance)
    return _Tried(integer, got, changed, found)


def _mended(context: Context, step: Quantize, seen: Seen) -> _Tried:
    """Quantize; where that loses, with second projections of rows with outliers, then of all rows, where that mends it."""
    first = tried = _tried(context, step(context.graph), seen)
    for beyond in (OUTLIER_LIMIT, 0.0):
        layers = to_refine(tried.found, tried.drift, context.graph)
        if not layers:
            break
        finer = replace(step, refine={**step.refine, **dict.fromkeys(layers, beyond)})
        integer = finer(context.graph)
        if second_projections(integer) == second_projections(tried.integer):
            continue
        mended = _tried(context, integer, seen)
        if mended.losses < tried.losses or mended.lost < MENDS * tried.lost:
            step, tried = finer, mended
    return replace(tried, found=(*tried.found, *_costs(tried, first)))


def _costs(tried: _Tried, first: _Tried) -> Iterator[Diagnostic]:
    """Yield what second projections cost, and what they mended."""
    for one in second_projections(tried.integer):
        shares = [100 * drift.spike_mismatch.get(one.layer, 0.0) for drift in (tried.drift, first.drift)]
        mended = "{:.2g} % of its spikes differ instead of {:.2g} %".format(*shares)
        what = (
            f"second projections of {one.rows:,} of {one.all_rows:,} rows hold the bits that 8-bit weights lose: "
            f"{mended if one.layer in tried.drift.spike_mismatch else 'they would add up over the steps'}; they cost "
            f"{one.added:,} synapses beside {one.first:,}, and the SOPs of these"
        )
        yield Diagnostic("second-projection", f"layer {one.layer!r}", what, "", "note")


def _map(context: Context) -> Context:
    """Give every neuron a core, measured on the golden input."""
    golden = None if context.x is None else payloads(context.graph, context.x[:, :GOLDEN_SAMPLES], context.host is None)
    told: list[Diagnostic] = []
    mapping = strategy_called(context.options.mapping, golden, context.options.seed, told.append)
    program = map_graph(context.graph, context.chip, mapping)
    return replace(context, program=program, diagnostics=(*context.diagnostics, *told))


PIPELINE: tuple[Stage, ...] = (
    _stage(NormalForm),
    Stage("split-host", _about(split_host), "cut", _split_host, ("strategies", "code", "x"), blind=_split_blind),
    _stage(EarlyDelay),
    Stage(
        Relays.name,
        _about(Relays),
        "exact",
        _relay,
        ("options", "chip", "code", "x"),
        options=("streams",),
        blind=_relay_blind,
    ),
    _stage(LowerMaxPool),
    Stage(
        LowerGates.name,
        f"{_about(LowerGates)} Static is drift.",
        "exact",
        _lower_gates,
        ("gates", "strategies", "code", "x"),
        blind=_gates_blind,
    ),
    _stage(NormalForm, lambda _: NormalForm("all"), again=2),
    Stage(FanIn.name, _about(FanIn), "exact", _fan_in, ("chip",)),
    Stage(LongDelay.name, _about(LongDelay), "exact", _long_delay, ("chip",)),
    _stage(LowerBias),
    Stage(
        Quantize.name,
        _about(Quantize),
        "drift",
        _quantize,
        ("options", "code", "x"),
        "integer",
        options=("weight_bits", "payload_bits"),
    ),
    _stage(Align, level="aligned"),
    Stage(
        "map",
        "Give every neuron a neurocore.",
        "exact",
        _map,
        ("options", "chip", "x"),
        "aligned",
        options=("mapping",),
    ),
)
"""The stages in order. Their graphs are float, integer from ``quantize`` on, and have their delays from ``align`` on."""


def pipeline() -> tuple[Stage, ...]:
    """Return the stages in order, those of other packages among them.

    Raises:
        PassError: A pass of another package has a name that is taken, or stands beside a stage that is not there.
    """
    stages, waiting = PIPELINE, installed()
    while waiting:
        ready = [own for own in waiting if _anchor(own[0]) in _names(stages)]
        stages = _joined(stages, *(ready or waiting)[0])
        waiting.remove(ready[0])
    return stages


def _names(stages: tuple[Stage, ...]) -> list[str]:
    return [stage.name for stage in stages]


def _anchor(step: Pass) -> str:
    return step.after or step.before


def _joined(stages: tuple[Stage, ...], step: Pass, origin: str) -> tuple[Stage, ...]:
    """Put another package's pass where it says."""
    names, where = _names(stages), f"pass {step.name!r} of {origin}"
    if step.name in names:
        other = stages[names.index(step.name)].origin
        raise PassError(f"{other} has a stage of this name", where=where, help="give the pass another name")
    if step.after == names[-1]:
        raise PassError(
            f"stands after {names[-1]!r}, which ends the graph", where=where, help="let it stand before that"
        )
    at = position(_anchor(step), names, where=where, error=PassError) + bool(step.after)
    level = stages[at - 1].level if at else "float"

    def run(context: Context) -> Context:
        return passed(context, step.name, step(context.graph), step.check, level)

    own = Stage(step.name, _paragraph(inspect.getdoc(step)), step.check, run, (), level, origin)
    return (*stages[:at], own, *stages[at:])


# ------------------------------------------------------------------------------------------- deployment
Lazily = Samples | Callable[[], Samples]
"""Data, or what reads it; that is asked when the options are known to be good."""


def deploy_graph(
    graph: Graph,
    options: Options,
    calibration: Lazily,
    *,
    name: str,
    card: dict[str, Any] | None = None,
    samples: Lazily | None = None,
    held_out: Judges = lambda _: None,
    note: Note = lambda _: None,
    stop_after: str | None = None,
    keep_stages: Path | None = None,
    diagnostics: tuple[Diagnostic, ...] = (),
    chip: Chip | None = None,
    memory: Memory | None = None,
) -> Deployment:
    """Compile a captured float graph for a chip.

    Args:
        graph: As captured or imported.
        options: What was asked for.
        calibration: Data in the net's own coding; it decides the input's coding, static gates and ``auto``.
        name: Name of the model.
        card: Model card.
        samples: Test samples that travel with the deployment.
        held_out: Reads samples that are neither these nor calibration data, on which ``auto`` judges constants: so many, or
            all. It is asked only where there are constants. None: the samples that travel, where there are any.
        note: Told the name of each stage as it starts.
        stop_after: End after this stage by raising ``Stopped``.
        keep_stages: Folder for each stage's result, as text and as file.
        diagnostics: What reading the model found.
        chip: The target; None: it is read, as the options name it.
        memory: Of the stages that other deployments took of the same net and data.

    Raises:
        ToolchainError: A stage refuses the net; nothing is written but the stages before it, where they are kept.
        Stopped: The stage ``stop_after`` is done.
    """
    walk = Walk(pipeline(), stop_after, keep_stages, note, memory=memory)
    chip = load_chip(options.chip) if chip is None else chip
    check_options(options, graph, chip)
    verify(graph, level="float")
    shape = graph.input.shape
    strategies = _strategies(graph, options)  # refused before data is read, as are gates that would come too late:
    check_counters([op for op in graph if isinstance(op, AttentionBlock)], graph, strategies, chip.core.max_axons_in)
    if stop_after is None and keep_stages is None:
        bare = Context(name, graph, graph, options, chip, options.gates, strategies, InputCode("binary"), None)
        refuse_structure(bare, walk.stages[: _names(walk.stages).index(Quantize.name)])
    calibration = calibration() if callable(calibration) else calibration
    check_data(calibration.x, graph.timesteps, shape, where="calibration data")
    check_labels(calibration.y, graph, where="calibration data")
    samples = samples() if callable(samples) else samples
    if samples is not None:
        check_data(samples.x, graph.timesteps, shape, where="samples data")
        check_labels(samples.y, graph, where="samples data")
    code = input_code(calibration.x)
    seen, said = _looked_at(graph, calibration)
    context = replace(_begun(graph, options, chip, code, seen.x, name), diagnostics=(*diagnostics, *said), y=seen.y)
    context = _walked(walk, walk.start(context), seen, _judges(held_out, samples))
    if samples is not None and context.host is None:
        found = saturated(context.graph, samples.x, "samples data")
        context = replace(context, diagnostics=(*context.diagnostics, *found))
        if options.strict:
            refuse_losses(found, name)
    few = f"{len(seen):,} of {calibration.source}, evenly spaced" if said else calibration.source
    return deployment_of(context, card or {}, samples, few)


def _looked_at(graph: Graph, calibration: Samples) -> tuple[Samples, tuple[Diagnostic, ...]]:
    """Return the calibration samples that are run, as many as ``CALIBRATED_BYTES`` allow, and say how many they are."""
    count = looked_at(graph, len(calibration), CALIBRATED_BYTES)
    if count == len(calibration):
        return calibration, ()
    what = (
        f"ranges and drift are of {count:,} of the {len(calibration):,} samples: all values of one take "
        f"{sample_bytes(graph) / 1e6:,.0f} MB, and {CALIBRATED_BYTES / 1e9:.1f} GB of them are looked at"
    )
    help = "--headroom leaves other data more room; run, check and report judge the samples they are given"
    return spread_over(calibration, count), (Diagnostic("calibrated-on-few", "calibration data", what, help, "note"),)


def _judges(held_out: Judges, samples: Samples | None) -> Judges:
    """Return what reads the samples that judge: those held out, else those that travel."""
    return lambda limit: held_out(limit) or (None if samples is None else first(samples, limit))


def _strategies(graph: Graph, options: Options) -> dict[str, str]:
    """Return the strategy of every attention block, or refuse what does not fit it or where it stands."""
    blocks = [op for op in graph if isinstance(op, AttentionBlock)]
    return strategies_for(blocks, options.gates, first_blocks(graph))


def _begun(graph: Graph, options: Options, chip: Chip, code: InputCode, x: Data, name: str) -> Context:
    """Return what the first stage takes; a strategy that does not fit the net's blocks is refused."""
    strategies, code = _strategies(graph, options), with_bits(code, options, name)
    if code.kind == "dense":
        split_host(graph)  # refused before anything is evaluated
    golden = answers(graph, x[:, : looked_at(graph, min(x.shape[1], GOLDEN_SAMPLES), GOLDEN_BYTES)])
    return Context(name, graph, graph, options, chip, options.gates, strategies, code, x, golden)


def _walked(walk: Walk, context: Context, calibration: Samples, held_out: Judges) -> Context:
    """Take all stages; what ``auto`` chose is judged before it is placed."""
    names, stages = _names(walk.stages), walk.stages[: walk.last + 1]
    fork, judged = names.index("lower-gates"), names.index("quantize") + 1
    context = walk.through(context, stages[:fork])
    host = context.host
    graded = host is not None and host.graded and not host.counted and not host.current
    if walk.last >= names.index("split-host"):
        refuse_unfit(context.options, {"graded": graded}, context.name)
    if "auto" in by_block(context.gates).values() and context.strategies and walk.last >= fork:
        lower = walk.stages[fork:judged]
        context = choose(context, calibration, lambda tried: walk.through(tried, lower), walk.note, held_out)
    else:
        context = walk.through(context, stages[fork:judged])
    if context.options.strict:
        refuse_losses(context.diagnostics, context.name)
    return walk.end(walk.through(context, stages[judged:]))


def deployment_of(context: Context, card: dict[str, Any], samples: Samples | None, calibrated: str = "") -> Deployment:
    """Return what the last stage left as a deployment."""
    assert context.lowered is not None
    assert context.program is not None
    return Deployment(
        name=context.name,
        captured=context.captured,
        lowered=context.lowered,
        integer=context.graph,
        host=context.host,
        program=context.program,
        chip=context.chip,
        options=context.options,
        strategies=context.strategies,
        input=context.code,
        card=card,
        passes=context.records,
        drift=context.drift,
        samples=samples,
        calibrated=calibrated,
        diagnostics=context.diagnostics,
    )


def input_code(x: Data) -> InputCode:
    """Infer how data is coded: binary spikes, event counts (whole numbers), or real values.

    Args:
        x: (T, B, *shape).
    """
    whole = x.dtype.kind != "f" or all(bool((part == np.round(part)).all()) for part in blocks(x))
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    if whole and low >= 0 and high <= 1:
        return InputCode("binary")
    if whole and max(abs(low), high) < COUNT_LIMIT:
        return InputCode("counts", max(abs(low), high), low < 0)
    return InputCode("dense", high, low < 0)


def with_bits(code: InputCode, options: Options, name: str) -> InputCode:
    """Return the coding of event counts with as many bits as asked for, or else room for twice the largest count seen.

    Raises:
        InputError: The data does not fit the bits.
    """
    bits = options.input_bits
    if bits is None:
        return replace(code, largest=COUNTS_ROOM * code.largest) if code.kind == "counts" else code
    if code.kind == "dense":
        return code  # what the host sends may be counts
    if code.kind == "counts" and code.largest >= 1 << bits:
        raise InputError(
            f"{bits} bits hold counts below {1 << bits}; the calibration data of {name!r} has {code.largest:.0f}",
            where="--input-bits",
            help=f"give at least {int(code.largest).bit_length()}",
        )
    return code if bits == 1 and code.kind == "binary" else InputCode("counts", float((1 << bits) - 1), code.signed)


def chip_bits(options: Options, chip: Chip) -> int:
    """Return the bits of a weight: as asked for, else all that the chip has."""
    return chip.core.weight_bits if options.weight_bits is None else options.weight_bits


def check_options(options: Options, graph: Graph, chip: Chip) -> None:
    """Refuse options out of range, and more bits than the chip has.

    Raises:
        InputError: The option, what was given, and what is allowed on this chip.
    """
    bits, most = options.input_bits, min(INPUT_BITS_MAX, chip.core.payload_bits)
    ranges = (
        ("--weight-bits", chip_bits(options, chip), 2, chip.core.weight_bits),
        ("--payload-bits", options.payload_bits, 1, 16),
        ("--timesteps", graph.timesteps, 1, 1 << 20),
        ("--input-bits", 1 if bits is None else bits, 1, most),
        ("--seed", options.seed, 0, (1 << 63) - 1),
    )
    for flag, value, low, high in ranges:
        if not low <= value <= high:
            of_chip = f", or leave it out: chip {chip.name!r} holds {high} bits" if flag == "--weight-bits" else ""
            raise InputError(
                f"{value}; {low} .. {high} is allowed", where=flag, help=f"choose {flag} in {low} .. {high}{of_chip}"
            )
    if not options.headroom >= 1:
        raise InputError(
            f"{options.headroom}; 1 or more is allowed",
            where="--headroom",
            help="leave it out for half more than data shows",
        )
    if math.isnan(options.tolerance):
        raise InputError("nan is no number", where="--tolerance", help="give a share of 1, e.g. 0.01 for one point")
    if options.timesteps is not None and options.timesteps != graph.timesteps:
        raise InputError(
            f"{options.timesteps} steps asked for; the net was trained for T = {graph.timesteps}",
            where="--timesteps",
            help=f"leave --timesteps out, or train the net for T = {options.timesteps}",
        )
