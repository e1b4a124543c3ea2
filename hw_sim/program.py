"""What a chip is loaded with: populations of neurons, projections of synapses, and which core holds which neuron.

Local time: a population starts at chip step ``start`` with zero state and lives for ``T`` steps; outside this window it
is silent. A message of ``source`` at its local step ``t`` reaches ``target`` at local step ``t + lag`` where
``lag = source.start + delay - target.start >= 0``. A chip that is halted after chip step ``stop`` cuts the windows short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import io, somas, synapses
from spikewright.hw_sim.errors import ProgramError
from spikewright.hw_sim.names import did_you_mean
from spikewright.hw_sim.somas import HostGate, Soma, Source
from spikewright.hw_sim.synapses import GateLink, MisfitError, Shape, Synapses, gate_axes
from spikewright.hw_sim.text import text

FORMAT = 2
"""Version of the files of a program; one of another version is refused."""


def lag_of(source_start: int, delay: int, target_start: int) -> int:
    """Return the local steps between sending and arriving: the one rule of how starts, delay and lag belong together.

    All are counted in steps.
    """
    return source_start + delay - target_start


def lived(start: int, steps: int, stop: int) -> int:
    """Return how many of ``steps`` local steps fit between chip step ``start`` and the halt at ``stop`` (0: never)."""
    return max(0, min(steps, stop - start)) if stop else steps


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one shape and one soma model.

    Args:
        name: Unique.
        shape: Neuron grid, e.g. ``(C, H, W)`` or ``(N,)``; flat order is C order.
        soma: The neuron model and its integers.
        start: Chip step of local step 0.
        core: ``(n,)`` logical core of each neuron; -1 is outside the cores (host: ``Source``, ``GateTable``, ``HostGate``).
        kind: What is sent: ``binary``, ``graded`` or ``gate``, as ``soma.sends`` says; ``none`` for a silent read-out.
    """

    name: str
    shape: Shape
    soma: Soma
    start: int = 0
    core: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    kind: str = "binary"

    @property
    def size(self) -> int:
        """Number of neurons of its shape (C, H, W) or (n,)."""
        return int(np.prod(self.shape))

    @property
    def cores(self) -> NDArray[np.int64]:
        """Logical core of each neuron, (n,); -1 where none is given."""
        return np.broadcast_to(self.core.astype(np.int64) if self.core.size else np.int64(-1), (self.size,))


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses between two populations: ``a_target += (W x_source) << exponent``, ``delay`` chip steps later (>= 1)."""

    name: str
    source: str
    target: str
    synapses: Synapses
    exponent: int = 0
    delay: int = 1


@dataclass(frozen=True, eq=False)
class Program:
    """Everything a chip needs to run: integers only.

    Args:
        populations: In evaluation order: a projection with lag 0 goes from an earlier to a later population; only a projection
            with lag >= 1 may go backwards (recurrence).
        projections: All synapses.
        chip: Name of the chip it was mapped for.
        steps: Default number of local steps T.
        readout: Name of the population whose result is the answer.
        readout_kind: ``membrane`` (v after its last step) or ``spikes`` (count over its steps).
        stop: Chip steps after which the chip is halted, every population where it is; 0: each lives its T steps.
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    chip: str
    steps: int
    readout: str
    readout_kind: Literal["membrane", "spikes"] = "membrane"
    stop: int = 0

    def population(self, name: str) -> Population:
        """Return the population called ``name``.

        Raises:
            ProgramError: There is none.
        """
        found = next((p for p in self.populations if p.name == name), None)
        if found is None:
            names = [p.name for p in self.populations]
            raise ProgramError(
                f"no population is called {name!r}; there are {', '.join(names) or 'none'}",
                where="program",
                help=f"{did_you_mean(name, names)}name one of these",
            )
        return found

    @property
    def sources(self) -> dict[str, Source]:
        """The populations that take payloads from the host, by name."""
        return {p.name: p.soma for p in self.populations if isinstance(p.soma, Source)}

    @property
    def host_gates(self) -> dict[str, HostGate]:
        """The populations that take gate levels from the host, by name."""
        return {p.name: p.soma for p in self.populations if isinstance(p.soma, HostGate)}

    def lag(self, projection: Projection) -> int:
        """Time between sending and arriving, in steps."""
        source, target = self.population(projection.source), self.population(projection.target)
        return lag_of(source.start, projection.delay, target.start)

    def life(self, population: Population, steps: int) -> int:
        """Return how many of ``steps`` local steps a population lives: fewer, where the chip is halted before.

        All are counted in steps.
        """
        return lived(population.start, steps, self.stop)

    def chip_steps(self, steps: int) -> int:
        """Return the chip steps of a sample of ``steps`` local steps."""
        last = steps + max(p.start for p in self.populations)
        return min(last, self.stop) if self.stop else last

    def gate_links(self, population: str) -> list[int]:
        """Return the gate ports of a population that links end at."""
        links = (p.synapses for p in self.projections if p.target == population)
        return [link.port for link in links if isinstance(link, GateLink)]

    def check(self) -> None:
        """Raise unless names are unique, every projection ends at populations that it fits, and lags fit the order.

        Raises:
            ProgramError: Names what was found, and what is allowed.
        """
        for error in (*_names(self), *(e for p in self.projections for e in _ends(self, p))):
            raise error
        if self.readout not in {p.name for p in self.populations}:
            raise ProgramError(f"no population is called {self.readout!r}", where="readout", help="name a population")
        if self.steps < 1:
            raise ProgramError(f"{self.steps} steps; at least 1 is needed", where="program", help="set steps >= 1")
        start = self.population(self.readout).start
        if self.stop < 0 or (self.stop and self.stop <= start):
            raise ProgramError(
                f"the chip is halted after chip step {self.stop}, and the read-out starts at {start}",
                where="program",
                help="let it run longer, or set stop = 0",
            )

    def save(self, path: str | Path) -> None:
        """Write ``path`` with the suffixes ``.npz`` and ``.json``; see ``hw_sim.io``."""
        io.save(self, path, FORMAT, KINDS)

    def __str__(self) -> str:
        return text(self)


KINDS: io.Kinds = {
    **{kind.__name__: kind for kind in (Program, Population, Projection)},
    **somas.KINDS,
    **synapses.KINDS,
}
"""What the files of a program hold."""


def load_program(path: str | Path) -> Program:
    """Read what ``Program.save`` wrote.

    Raises:
        ProgramError: A file is missing, damaged, or of another format or program.
    """
    program: Program = io.load(path, FORMAT, KINDS)
    return program


def _names(program: Program) -> Iterator[ProgramError]:
    populations, projections = ([x.name for x in part] for part in (program.populations, program.projections))
    for kind, found in (("population", populations), ("projection", projections)):
        for twice in sorted({name for name in found if found.count(name) > 1}):
            yield ProgramError("this name is used twice", where=f"{kind} {twice!r}", help="rename one of them")


def _ends(program: Program, projection: Projection) -> Iterator[ProgramError]:
    """Yield what is wrong with the two ends of a projection: names, order, kinds, shapes."""
    names, where = [p.name for p in program.populations], f"projection {projection.name!r}"
    for end in (projection.source, projection.target):
        if end not in names:
            yield ProgramError(f"no population is called {end!r}", where=where, help=f"use one of {', '.join(names)}")
            return
    source, target = program.population(projection.source), program.population(projection.target)
    lag, forward = program.lag(projection), names.index(source.name) < names.index(target.name)
    if lag < (0 if forward else 1):
        yield ProgramError(
            f"lag {lag} (start {source.start} + delay {projection.delay} - start {target.start}); "
            f"at least {0 if forward else 1} is needed",
            where=where,
            help="start the target later, lengthen the delay, or put the source earlier in the program",
        )
    if projection.synapses.gate:
        yield from _gate_link(where, projection, source, target)
    elif source.soma.sends == "gate" or not target.soma.integrates:
        yield ProgramError(
            f"synapses from {type(source.soma).__name__} to {type(target.soma).__name__}",
            where=where,
            help="gate levels travel by GateLink; sources and gate tables take no input",
        )
    elif misfit := projection.synapses.misfit(source.shape, target.shape):
        help = "give the weight as (target neurons, source neurons), or mend the population shapes"
        yield ProgramError(misfit, where=where, help=help)


def _gate_link(where: str, projection: Projection, source: Population, target: Population) -> Iterator[ProgramError]:
    if source.soma.sends != "gate" or not target.soma.takes_gates:
        yield ProgramError(
            "a gate link must go from a gate to a neuron with gate ports", where=where, help="use synapses here"
        )
        return
    bits, wanted = vars(source.soma)["gate_bits"], vars(target.soma)["gate_bits"]
    if bits != wanted:
        yield ProgramError(
            f"gate levels of {bits} bits meet a neuron of {wanted}",
            where=where,
            help="use the same gate_bits on both sides",
        )
    try:
        gate_axes(source.shape, target.shape)
    except MisfitError:
        yield ProgramError(
            f"gate shape {source.shape} does not broadcast to {target.shape}",
            where=where,
            help="use (C,) or (C, 1, 1) for a channel gate, (1, H, W) for a spatial one",
        )
