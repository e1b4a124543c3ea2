"""A chip: its mesh, the limits of its neurocores, its prices; loaded from one YAML file, every number with a source."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

import yaml

from spikewright.hw_sim.costs import EVENTS, Cost, Fact, Price
from spikewright.hw_sim.errors import ChipError
from spikewright.hw_sim.files import read_whole
from spikewright.hw_sim.fixed_point import DECAY_BITS, PAYLOAD_BITS, STATE_BITS, WEIGHT_BITS
from spikewright.hw_sim.names import did_you_mean
from spikewright.hw_sim.ranges import LARGEST
from spikewright.hw_sim.sourced_yaml import SourcedYaml, compose

MODELLED = {
    "weight_bits": (2, WEIGHT_BITS),
    "decay_bits": (DECAY_BITS, DECAY_BITS),
    "state_bits": (STATE_BITS, STATE_BITS),
    "threshold_bits": (2, STATE_BITS),
    "payload_bits": (1, PAYLOAD_BITS),
}
"""Widths that the arithmetic of the machine, its kernels and the other backends hold; other ones are refused by name."""
COUNTS = {
    "weight_exponent_min": (-31, 31),
    "weight_exponent_max": (-31, 31),
    "bias_bits": (2, STATE_BITS),
    "max_delay": (1, 1 << 20),
    "synapse_word_bits": (1, 1 << 16),
    "synapse_memory_bits": (1, 1 << 40),
    **dict.fromkeys(("chips_x", "chips_y", "tiles_x", "tiles_y", "cores_per_tile"), (1, 1 << 12)),
}
"""What other limits can be; those not named here count something: 1 .. 2^31 - 1."""
LONGEST = 1 << 18
"""Bytes of a chip file at most."""
BUFFERS = ("router_buffer", "axon_out_buffer")


@dataclass(frozen=True)
class Mesh:
    """Where the neurocores are: ``chips_x`` x ``chips_y`` chips of ``tiles_x`` x ``tiles_y`` routers, a few cores at each."""

    chips_x: int
    chips_y: int
    tiles_x: int
    tiles_y: int
    cores_per_tile: int
    usable_cores_per_chip: int

    @property
    def chips(self) -> int:
        """Number of chips."""
        return self.chips_x * self.chips_y

    @property
    def cores(self) -> int:
        """Number of usable cores on all chips; logical cores are numbered chip by chip."""
        return self.chips * self.usable_cores_per_chip


@dataclass(frozen=True)
class CoreLimits:
    """What one neurocore holds and which integers it takes.

    Delays are in timesteps, ``weight_exponent_*`` and ``*_bits`` in bits; ``synapse_word_bits`` is what one memory read
    fetches. ``fan_in`` and ``fan_out`` count synapses of one neuron.
    """

    max_neurons: int
    synapse_memory_bits: int
    synapse_word_bits: int
    max_axons_in: int
    max_axons_out: int
    max_fan_in: int
    max_fan_out: int
    max_delay: int
    weight_bits: int
    weight_exponent_min: int
    weight_exponent_max: int
    payload_bits: int
    decay_bits: int
    bias_bits: int
    state_bits: int
    threshold_bits: int


@dataclass(frozen=True)
class Timing:
    """What the ``cycle`` timing needs beside the latencies of ``costs``.

    Args:
        cycle_ns: The simulator's unit of time; every service time is a whole number of these.
        router_buffer: Messages that the input buffer at the end of a link holds.
        axon_out_buffer: Messages that wait between a core's neurons and its link into the mesh.
    """

    cycle_ns: float
    router_buffer: int
    axon_out_buffer: int


@dataclass(frozen=True, eq=False)
class Chip:
    """One target.

    Args:
        name: As in ``load_chip(name)``.
        description: One line.
        mesh: Geometry.
        core: Limits of one neurocore.
        costs: Price of each event of ``costs.EVENTS``.
        timing: Unit of time, buffers and chip-to-chip links.
        static_power: W per chip while it is on.
        facts: Every limit with unit, basis and source, by dotted name, e.g. ``core.max_neurons``.
        sources: What each source key stands for.
    """

    name: str
    description: str
    mesh: Mesh
    core: CoreLimits
    costs: dict[str, Cost]
    timing: Timing
    static_power: Price
    facts: dict[str, Fact]
    sources: dict[str, str]


def list_chips() -> tuple[str, ...]:
    """Return the names of the chips that ship."""
    folder = resources.files(__package__) / "chips"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_chip(name_or_path: str | Path) -> Chip:
    """Load a chip that ships by its name, or any chip file by its path.

    Raises:
        ChipError: No such chip; or the file has an unknown, missing, unsourced or unitless entry (named by line).
    """
    text, where = _read(str(name_or_path))
    return _Reader(where).chip(text)


def _read(name: str) -> tuple[str, str]:
    if name in list_chips():
        return (resources.files(__package__) / "chips" / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml"
    try:
        if not Path(name).exists():
            raise FileNotFoundError(2, "no such file can be read")
        return read_whole(name, LONGEST).decode("utf-8"), name
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ChipError(
            f"no chip of this name ships ({', '.join(list_chips())}), and {why}",
            where=f"chip {name!r}",
            help=f"{did_you_mean(name, list_chips())}use one of these names, or the path of a chip file",
        ) from error


class _Reader(SourcedYaml):
    """Turns YAML nodes into the dataclasses above."""

    def __init__(self, where: str) -> None:
        super().__init__(where, ChipError)
        self.facts: dict[str, Fact] = {}

    def chip(self, text: str) -> Chip:
        root = self.on_base(self.root(text))
        top = self.mapping(root, ("chip", "description", "mesh", "core", "power", "costs", "timing", "sources"))
        self.sources = {key: self.text(node) for key, node in self.mapping(top["sources"], None).items()}
        mesh = self.limits(top["mesh"], "mesh", Mesh)
        core = self.limits(top["core"], "core", CoreLimits)
        costs = {event: self.cost(node) for event, node in self.mapping(top["costs"], EVENTS).items()}
        power = self.mapping(top["power"], ("static",))
        self.check_together(top["mesh"], Mesh(**mesh), CoreLimits(**core))
        return Chip(
            name=self.line(top["chip"]),
            description=self.text(top["description"]),
            mesh=Mesh(**mesh),
            core=CoreLimits(**core),
            costs=costs,
            timing=self.timing(top["timing"]),
            static_power=self.price(power["static"], "W"),
            facts=self.facts,
            sources=self.sources,
        )

    def on_base(self, root: yaml.Node | None) -> yaml.Node | None:
        """Lay a file that says ``base: NAME`` over the file of that chip."""
        if not isinstance(root, yaml.MappingNode):
            return root
        named = [(key, value) for key, value in root.value if key.value == "base"]
        if not named:
            return root
        if len(named) > 1:
            raise self.fail(named[1][0], "'base' is given twice", "keep one of them")
        name = self.text(named[0][1])
        if name not in list_chips():
            raise self.fail(
                named[0][1], f"no chip called {name!r} ships ({', '.join(list_chips())})", "base it on one of these"
            )
        own = yaml.MappingNode(
            root.tag, [(k, v) for k, v in root.value if k.value != "base"], root.start_mark, root.end_mark
        )
        return _over(own, self.on_base(compose(_read(name)[0])))

    def limits(self, node: yaml.Node, part: str, kind: type[Mesh] | type[CoreLimits]) -> dict[str, int]:
        rows = self.mapping(node, tuple(f.name for f in fields(kind)))
        values = {}
        for key, row in rows.items():
            values[key] = self.whole(row, f"{part}.{key}", None)
            low, high = MODELLED.get(key) or COUNTS.get(key, (1, LARGEST))
            if not low <= values[key] <= high:
                allowed = f"{low}" if low == high else f"{low:,} .. {high:,}"
                word = "the machine computes with" if key in MODELLED else "allowed"
                help = ": neurons and weights of other widths are not modelled" if key in MODELLED else ""
                raise self.fail(row, f"{part}.{key} is {values[key]}; {word} {allowed}", f"write {allowed}{help}")
        return values

    def check_together(self, node: yaml.Node, mesh: Mesh, core: CoreLimits) -> None:
        """Refuse limits that each are possible, but not beside each other."""
        places = mesh.tiles_x * mesh.tiles_y * mesh.cores_per_tile
        if mesh.usable_cores_per_chip > places or mesh.cores > 1 << 20:
            what = f"{mesh.usable_cores_per_chip} usable cores on each of {mesh.chips} chips, which have {places} each"
            raise self.fail(node, what, "write no more than a chip has, and at most 2^20 in all")
        if core.weight_exponent_min > core.weight_exponent_max:
            what = (
                f"weight_exponent_min {core.weight_exponent_min} above weight_exponent_max {core.weight_exponent_max}"
            )
            raise self.fail(node, what, "exchange them")

    def whole(self, row: yaml.Node, name: str, unit: str | None) -> int:
        entries = self.mapping(row, ("value", "unit", "basis", "source"), optional="note")
        value = self.number(entries["value"])
        if not isinstance(value, int):
            raise self.fail(entries["value"], f"{name} is {value}; expected a whole number", "round it")
        self.facts[name] = Fact(value, **self.origin(entries, unit))
        return value

    def timing(self, node: yaml.Node) -> Timing:
        rows = self.mapping(node, tuple(f.name for f in fields(Timing)))
        entries = self.mapping(rows["cycle_ns"], ("value", "unit", "basis", "source"), optional="note")
        cycle_ns = self.number(entries["value"])
        buffers = {key: self.whole(rows[key], f"timing.{key}", "messages") for key in list(rows) if key in BUFFERS}
        for key, value in (("cycle_ns", cycle_ns), *buffers.items()):
            if value <= 0:
                raise self.fail(rows[key], f"timing.{key} is {value}; expected more than 0", "give a larger number")
        self.facts["timing.cycle_ns"] = Fact(cycle_ns, **self.origin(entries, "ns"))
        return Timing(cycle_ns=cycle_ns, **buffers)

    def cost(self, node: yaml.Node) -> Cost:
        entries = self.mapping(node, ("energy", "latency"))
        return Cost(energy=self.price(entries["energy"], "pJ"), latency=self.price(entries["latency"], "ns"))


def _over(top: yaml.Node, below: yaml.Node | None) -> yaml.Node:
    """Return ``below`` with the entries of ``top`` in their place; a number (it has a unit) is replaced whole."""
    if not isinstance(top, yaml.MappingNode) or not isinstance(below, yaml.MappingNode):
        return top
    if any(key.value == "unit" for key, _ in top.value):
        return top
    under = {key.value: value for key, value in below.value}
    own = {key.value for key, _ in top.value}
    merged = [(key, _over(value, under.get(key.value))) for key, value in top.value]
    kept = [(key, value) for key, value in below.value if key.value not in own]
    return yaml.MappingNode(top.tag, merged + kept, top.start_mark, top.end_mark)
