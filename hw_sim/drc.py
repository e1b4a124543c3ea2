"""The design rule check: a list of named rules, Program against Chip; each yields what it finds as a ready-made error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Chip
from spikewright.hw_sim.engine.compiled import check_references, largest_payload
from spikewright.hw_sim.engine.synapses import prepare
from spikewright.hw_sim.errors import CapacityError, ProgramError, SpikewrightError
from spikewright.hw_sim.fixed_point import DECAY_ONE
from spikewright.hw_sim.program import (
    DeltaRelu,
    Gate,
    GateLink,
    GateTable,
    IdentitySynapses,
    Lif,
    Population,
    Program,
    Projection,
    Source,
    sends,
)
from spikewright.hw_sim.utilization import Use as Use
from spikewright.hw_sim.utilization import utilization as utilization

Int = NDArray[np.int64]
Found = Iterator[SpikewrightError]
S = TypeVar("S")


def check(program: Program, chip: Chip) -> None:
    """Raise the first thing that is wrong with a program for a chip.

    Raises:
        ProgramError: A number, shape or reference the chip cannot hold.
        CapacityError: A core that is too full.
    """
    for rule in RULES:
        for error in rule(program, chip):
            raise error


def violations(program: Program, chip: Chip) -> list[SpikewrightError]:
    """Return everything that is wrong; wrong references hide the rest."""
    found = list(references(program, chip))
    return found or [error for rule in RULES[1:] for error in rule(program, chip)]


def references(program: Program, chip: Chip) -> Found:
    """Names are unique, projections end at populations, lags and steps are possible, synapses fit the shapes."""
    try:
        check_references(program)
        for p in program.projections:
            if not isinstance(p.synapses, GateLink):
                prepare(p, program.population(p.source), program.population(p.target))
    except ProgramError as error:
        yield error


def lengths(program: Program, chip: Chip) -> Found:
    """Every parameter has one value, or one for each neuron."""
    for population, name, values in _parameters(program):
        if values.size not in (1, population.size):
            yield _wrong(
                population,
                f"{name} has {values.size} values; allowed 1 or {population.size}",
                "give one for each neuron",
            )


def decays(program: Program, chip: Chip) -> Found:
    """Decays have 12 bits; 4096 forgets everything."""
    for population, name, values in _parameters(program):
        if name.startswith("decay"):
            yield from _range(population, name, values, 0, DECAY_ONE, "round the decay to 12 bits")


def thresholds(program: Program, chip: Chip) -> Found:
    """Thresholds and reset values lie in the chip's range."""
    high = (1 << (chip.core.threshold_bits - 1)) - 1
    for population, name, values in _parameters(program):
        if name in ("threshold", "v_reset"):
            yield from _range(
                population, name, values, -high - 1, high, "scale weights, bias and threshold down together"
            )


def biases(program: Program, chip: Chip) -> Found:
    """Biases of spiking neurons fit the chip's bias (mantissa and exponent together)."""
    high = (1 << (chip.core.bias_bits - 1)) - 1
    for population, soma in _somas(program, Lif):
        yield from _range(population, "bias", soma.bias, -high, high, "scale weights, bias and threshold down together")


def periodic_resets(program: Program, chip: Chip) -> Found:
    """A periodic reset has an interval of 0 (none) or more, and a phase inside it."""
    for population, soma in _somas(program, Lif):
        if not (soma.reset_interval == soma.reset_phase == 0 or 0 <= soma.reset_phase < soma.reset_interval):
            what = f"reset_interval {soma.reset_interval}, reset_phase {soma.reset_phase}; the phase must be 0 .. interval - 1"
            yield _wrong(population, what, "take the phase modulo the interval; 0, 0 is no periodic reset")


def refractory_periods(program: Program, chip: Chip) -> Found:
    """A refractory period is 1 (none) to 64 steps: Loihi 1's 6-bit field (brian2-loihi 0.5.2 allows the same)."""
    for population, soma in _somas(program, Lif):
        yield from _range(population, "refractory", np.array([soma.refractory]), 1, 64, "take 1 for none, at most 64")


def payloads(program: Program, chip: Chip) -> Found:
    """No message is wider than the chip's payload."""
    bits = chip.core.payload_bits
    for population in program.populations:
        need = largest_payload(population).bit_length()
        if need > bits:
            yield _wrong(
                population,
                f"sends payloads of up to {need} bits; chip {chip.name!r} carries {bits}",
                "lower payload_bits, raise the shift, or choose a chip with graded spikes",
            )


def kinds(program: Program, chip: Chip) -> Found:
    """The declared kind of a population's messages is what its soma sends."""
    for population in program.populations:
        kind = sends(population.soma)
        if population.kind not in (kind, "none"):
            yield _wrong(population, f"kind {population.kind!r}; its soma sends {kind!r}", f"declare {kind!r}")


def weights(program: Program, chip: Chip) -> Found:
    """Weights are 8-bit: 0 .. 255, -255 .. 0, or mixed: even, -256 .. 254 (for other widths alike)."""
    top = 1 << chip.core.weight_bits
    for projection in program.projections:
        if isinstance(projection.synapses, GateLink):
            continue
        raw = projection.synapses.weight
        w = np.array([raw]) if isinstance(projection.synapses, IdentitySynapses) else np.asarray(raw)
        low, high = int(w.min(initial=0)), int(w.max(initial=0))
        if low >= 0 or high <= 0:
            if max(-low, high) >= top:
                yield _wrong(projection, f"weights {low} .. {high}; allowed -{top - 1} .. 0 or 0 .. {top - 1}", _SCALE)
        elif low < -top or high > top - 2 or bool((w % 2).any()):
            odd = "" if not bool((w % 2).any()) else ", some odd"
            yield _wrong(projection, f"mixed weights {low} .. {high}{odd}; allowed even, -{top} .. {top - 2}", _SCALE)


_SCALE = "scale and round the weights, and move the factor into the exponent"


def exponents_and_delays(program: Program, chip: Chip) -> Found:
    """Weight exponents and delays fit their fields."""
    low, high = chip.core.weight_exponent_min, chip.core.weight_exponent_max
    for p in program.projections:
        if not low <= p.exponent <= high:
            yield _wrong(p, f"exponent {p.exponent}; allowed {low} .. {high}", _SCALE)
        if not 1 <= p.delay <= chip.core.max_delay:
            yield _wrong(
                p, f"delay {p.delay}; allowed 1 .. {chip.core.max_delay}", "split the delay over relay neurons"
            )


def gate_ports(program: Program, chip: Chip) -> Found:
    """Each gate port 0 .. gates - 1 of a neuron has exactly one link, of its own number of gate bits."""
    links: dict[str, list[Projection]] = {p.name: [] for p in program.populations}
    for p in program.projections:
        if isinstance(p.synapses, GateLink):
            links[p.target].append(p)
            source, target = program.population(p.source).soma, program.population(p.target).soma
            if not isinstance(source, (Gate, GateTable)) or not isinstance(target, Lif):
                yield _wrong(p, "a gate link must go from a Gate or GateTable to a Lif", "use synapses here")
            elif source.gate_bits != target.gate_bits:
                what = f"gate levels of {source.gate_bits} bits meet a neuron of {target.gate_bits}"
                yield _wrong(p, what, "use the same gate_bits on both sides")
    for population, soma in _somas(program, Lif):
        ports = sorted(p.synapses.port for p in links[population.name] if isinstance(p.synapses, GateLink))
        if ports != list(range(soma.gates)):
            what = f"gate links at ports {ports}; the neuron has ports 0 .. {soma.gates - 1}"
            yield _wrong(population, what, "give each port exactly one link")
        if soma.output_gate and not soma.gates:
            yield _wrong(population, "an output gate, but no gate port", "give it a gate port, or no output gate")


def gate_levels(program: Program, chip: Chip) -> Found:
    """Gate levels are 0 .. 2**gate_bits, gate thresholds ascend, tables are long enough."""
    for population, soma in _somas(program, Gate):
        yield from _range(population, "levels", soma.levels, 0, 1 << soma.gate_bits, "clip the levels")
        if soma.levels.size != soma.thresholds.size + 1 or bool((np.diff(soma.thresholds) < 0).any()):
            what = f"{soma.levels.size} levels for {soma.thresholds.size} thresholds; expected one more, thresholds ascending"
            yield _wrong(population, what, "sort the thresholds and give a level below, between and above them")
    for population, table in _somas(program, GateTable):
        yield from _range(population, "table", table.table, 0, 1 << table.gate_bits, "clip the levels")
        if table.table.shape[0] not in (1, program.steps) or table.table.shape[1] != population.size:
            what = f"a table of shape {table.table.shape}; expected (1 or {program.steps}, {population.size})"
            yield _wrong(population, what, "give one row for all steps, or one for each")


def placement(program: Program, chip: Chip) -> Found:
    """Every neuron but the host's has a core that the chip has."""
    for population in program.populations:
        core = population.core
        if core.size not in (0, population.size):
            yield _wrong(
                population, f"{core.size} core numbers for {population.size} neurons", "give one for each neuron"
            )
        elif not isinstance(population.soma, (Source, GateTable)) and (not core.size or int(core.min()) < 0):
            yield _wrong(population, "some of its neurons have no core", "map the program")
        elif core.size and int(core.max()) >= chip.mesh.cores:
            yield CapacityError(
                f"a neuron is on core {int(core.max())}; chip {chip.name!r} has {chip.mesh.cores} cores, "
                f"{int(core.max()) + 1 - chip.mesh.cores} too few",
                where=f"population {population.name!r}",
                help=f"map the program to cores 0 .. {chip.mesh.cores - 1}, or choose a larger chip",
            )


def core_limits(program: Program, chip: Chip) -> Found:
    """No core uses more neurons, synaptic memory or axons than it has, no neuron more synapses."""
    for use in utilization(program, chip):
        if use.used > use.limit:
            names = [p.name for p in program.populations if bool((p.core == use.core).any())]
            yield CapacityError(
                f"core {use.core} needs {use.used} of {use.resource}; chip {chip.name!r} has {use.limit} per neurocore, "
                f"{use.used - use.limit} too few",
                where=f"population {', '.join(map(repr, names))}",
                help=f"spread it over at least {-(-use.used // use.limit)} cores"
                if not use.resource.startswith("max_fan")
                else "split the neuron's synapses over several neurons",
            )


RULES: tuple[Callable[[Program, Chip], Found], ...] = (
    references,
    lengths,
    decays,
    thresholds,
    biases,
    periodic_resets,
    refractory_periods,
    payloads,
    kinds,
    weights,
    exponents_and_delays,
    gate_ports,
    gate_levels,
    placement,
    core_limits,
)
"""All rules, in the order they are checked."""


def _somas(program: Program, kind: type[S]) -> Iterator[tuple[Population, S]]:
    for population in program.populations:
        if isinstance(population.soma, kind):
            yield population, population.soma


def _parameters(program: Program) -> Iterator[tuple[Population, str, Int]]:
    """Yield every per-neuron parameter."""
    names: dict[type, tuple[str, ...]] = {
        Lif: ("decay_u", "decay_v", "bias", "threshold", "v_reset"),
        DeltaRelu: ("decay",),
        Gate: ("decay", "bias"),
    }
    for population in program.populations:
        for name in names.get(type(population.soma), ()):
            yield population, name, np.asarray(getattr(population.soma, name))


def _range(population: Population, name: str, values: Int, low: int, high: int, help: str) -> Found:
    values = np.asarray(values)
    if values.size and (int(values.min()) < low or int(values.max()) > high):
        what = f"{name} {int(values.min())} .. {int(values.max())}; allowed {low} .. {high}"
        yield _wrong(population, what, help)


def _wrong(at: Population | Projection, what: str, help: str) -> ProgramError:
    return ProgramError(what, where=f"{type(at).__name__.lower()} {at.name!r}", help=help)
