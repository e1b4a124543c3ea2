"""The design rule check: a list of named rules, Program against Chip; each yields what it finds as a ready-made error."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from spikewright.hw_sim.chip import Chip
from spikewright.hw_sim.errors import CapacityError, ProgramError, SpikewrightError
from spikewright.hw_sim.program import Population, Program, Projection
from spikewright.hw_sim.ranges import Wrong, sizes
from spikewright.hw_sim.synapses import WEIGHT_HELP
from spikewright.hw_sim.utilization import Use as Use
from spikewright.hw_sim.utilization import utilization as utilization

Found = Iterator[SpikewrightError]
MAX_STEPS = 1 << 20
"""T at most."""


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
    found = list(forms(program, chip)) or list(references(program, chip))
    return found or [error for rule in RULES[2:] for error in rule(program, chip)]


def forms(program: Program, chip: Chip) -> Found:
    """Ranks, sizes and counts of all fields are such that everything else can be told from them."""
    if not 1 <= program.steps <= MAX_STEPS:
        yield ProgramError(f"{program.steps} steps; allowed 1 .. {MAX_STEPS}", where="program", help="deploy again")
    for p in program.populations:
        found = [*sizes("shape", p.shape, 1), *sizes("start", (p.start,), 0)] or [*sizes("neurons", (p.size,), 1)]
        found += [] if found else p.soma.malformed(p.size)
        found += (
            [Wrong(f"core has shape {p.core.shape}; expected one axis", "map it again")] if p.core.ndim != 1 else []
        )
        yield from (_wrong(p, *wrong) for wrong in found)
    for link in program.projections:
        found = [
            *link.synapses.malformed(),
            *sizes("delay", (link.delay,), 0),
            *sizes("exponent", (link.exponent,), -31, 31),
        ]
        yield from (_wrong(link, *wrong) for wrong in found)


def references(program: Program, chip: Chip) -> Found:
    """Names are unique, projections end at populations that they fit, lags and steps are possible."""
    try:
        program.check()
    except ProgramError as error:
        yield error


def payloads(program: Program, chip: Chip) -> Found:
    """No message is wider than the chip's payload."""
    bits = chip.core.payload_bits
    for population in program.populations:
        need = population.soma.largest_payload().bit_length()
        if need > bits and population.soma.sends != "gate":
            yield _wrong(
                population,
                f"sends payloads of up to {need} bits; chip {chip.name!r} carries {bits}",
                "lower payload_bits, raise the shift, or choose a chip with graded spikes",
            )


def kinds(program: Program, chip: Chip) -> Found:
    """The declared kind of a population's messages is what its soma sends."""
    for population in program.populations:
        kind = population.soma.sends
        if population.kind not in (kind, "none"):
            yield _wrong(population, f"kind {population.kind!r}; its soma sends {kind!r}", f"declare {kind!r}")


def somas(program: Program, chip: Chip) -> Found:
    """The integers of every neuron model are legal: decays, thresholds, biases, resets, gate levels; as the model says."""
    for population in program.populations:
        for wrong in population.soma.wrong(population.size, program.steps, chip.core):
            yield _wrong(population, *wrong)


def weights(program: Program, chip: Chip) -> Found:
    """The weights of every synapse kind are legal; as the kind says."""
    for projection in program.projections:
        for wrong in projection.synapses.wrong(chip.core):
            yield _wrong(projection, *wrong)


def exponents_and_delays(program: Program, chip: Chip) -> Found:
    """Weight exponents and delays fit their fields."""
    low, high = chip.core.weight_exponent_min, chip.core.weight_exponent_max
    for p in program.projections:
        if not low <= p.exponent <= high:
            yield _wrong(p, f"exponent {p.exponent}; allowed {low} .. {high}", WEIGHT_HELP)
        if not 1 <= p.delay <= chip.core.max_delay:
            yield _wrong(
                p, f"delay {p.delay}; allowed 1 .. {chip.core.max_delay}", "split the delay over relay neurons"
            )


def gate_ports(program: Program, chip: Chip) -> Found:
    """Each gate port of a neuron has exactly one link."""
    for population in program.populations:
        ports = sorted(program.gate_links(population.name))
        if population.soma.takes_gates and ports != list(range(population.soma.ports)):
            what = f"gate links at ports {ports}; the neuron has ports 0 .. {population.soma.ports - 1}"
            yield _wrong(population, what, "give each port exactly one link")


def placement(program: Program, chip: Chip) -> Found:
    """Every neuron but the host's has a core that the chip has."""
    for population in program.populations:
        core = population.core
        if core.size not in (0, population.size):
            yield _wrong(
                population, f"{core.size} core numbers for {population.size} neurons", "give one for each neuron"
            )
        elif not population.soma.on_host and (not core.size or int(core.min()) < 0):
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
    forms,
    references,
    payloads,
    kinds,
    somas,
    weights,
    exponents_and_delays,
    gate_ports,
    placement,
    core_limits,
)
"""All rules, in the order they are checked."""


def _wrong(at: Population | Projection, what: str, help: str) -> ProgramError:
    return ProgramError(what, where=f"{type(at).__name__.lower()} {at.name!r}", help=help)
