"""Explore a net: read it once, evaluate what the store does not know yet, and return the table.

The configurations are a grid (``space``), their results rows of a file keyed by content (``store``), and who evaluates them is
a crew: this process, processes of this machine, or a cluster. Whatever the crew, the table is the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spikewright.hw_sim import Chip
from spikewright.hw_sim.chip import load_chip
from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain.api import Net, read_model
from spikewright.toolchain.auto import LOOKS
from spikewright.toolchain.backends import Progress
from spikewright.toolchain.content import code
from spikewright.toolchain.deployment import Data, check_data
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.exploration.crew import Alone, Crew, Lost, Outcome, cluster_at
from spikewright.toolchain.exploration.job import Job, groups
from spikewright.toolchain.exploration.processes import Processes
from spikewright.toolchain.exploration.result import OBJECTIVES, Exploration
from spikewright.toolchain.exploration.space import (
    Configuration,
    attention,
    checked_axes,
    configurations,
    default_axes,
    read_axes,
)
from spikewright.toolchain.exploration.store import Store
from spikewright.toolchain.options import Options, declared, option, with_options
from spikewright.toolchain.passes.lower_gates import by_block
from spikewright.toolchain.pipeline import chip_bits
from spikewright.toolchain.samples import first

ENDING = ".explore.sqlite"
"""Of the file that holds the results, where none is named."""
Note = Callable[[str], None]


@dataclass(frozen=True)
class Exploring:
    """How a net is explored."""

    axis: Any = option(
        None,
        "what is varied: NAME=VALUE,...; may be given again. gates.BLOCK (lowering of one block), gates, gate_kind, "
        "weight_bits, payload_bits, input_bits, headroom, mapping (default: lowerings that exist, gate kinds, bits, mapping)",
        metavar="NAME=VALUE,...",
        many=True,
    )
    objectives: str = option(
        "drop,energy",
        f"what the front makes small, joined by commas: {', '.join(OBJECTIVES)}; the first two are drawn",
        metavar="NAME,...",
    )
    limit: int = option(200, "test samples that every configuration runs", kind=int, metavar="N")
    workers: int = option(1, "processes on this machine", kind=int, metavar="N")
    scheduler: str | None = option(
        None, "address of a Dask scheduler whose workers evaluate instead, e.g. tcp://host:8786", metavar="ADDRESS"
    )

    def check(self) -> None:
        """Refuse numbers below 1, and objectives that are none.

        Raises:
            InputError: With what is allowed.
        """
        for flag, value in (("--limit", self.limit), ("--workers", self.workers)):
            if value < 1:
                raise InputError(f"{value}; at least 1 is allowed", where=flag, help=f"leave {flag} out")
        if self.scheduler is not None and self.workers != 1:
            raise InputError(
                "the cluster has its own workers", where="--workers, --scheduler", help="leave one of the two out"
            )
        for name in self.goals:
            if name not in OBJECTIVES:
                raise InputError(
                    f"{name!r}; {', '.join(OBJECTIVES)} are allowed",
                    where="--objectives",
                    help=f"{did_you_mean(name, OBJECTIVES)}choose some of these",
                )

    @property
    def goals(self) -> tuple[str, ...]:
        """Names of the objectives."""
        return tuple(dict.fromkeys(name.strip() for name in self.objectives.split(",")))

    def crew(self) -> Crew:
        """Return who evaluates.

        Raises:
            BackendError: Nobody answers at the scheduler's address, or what it needs is not installed.
        """
        if self.scheduler is not None:
            return cluster_at(self.scheduler)
        return Alone() if self.workers == 1 else Processes(self.workers)


def explore(
    model: Any,
    example: Any = None,
    *,
    axes: Mapping[str, Sequence[Any]] | None = None,
    out: str | Path | None = None,
    options: Options | None = None,
    calibration: Data | None = None,
    samples: Data | None = None,
    data: str | Path | None = None,
    name: str | None = None,
    note: Note = lambda _: None,
    progress: Progress = lambda _done, _all: None,
    **changes: Any,
) -> Exploration:
    """Deploy, run and check a net under every configuration of a grid; what the store knows is not done again.

    Args:
        model: As in ``deploy``.
        example: As in ``deploy``.
        axes: Values by axis, e.g. ``{"weight_bits": (8, 4), "gates.1": ("causal", "static"), "gate_kind": ("trained",)}``;
            None: lowerings that exist, gate functions, bits, mapping.
        out: File of the results (SQLite); None: ``NAME.explore.sqlite`` here. The same call goes on where one ended.
        options: What all configurations share; or as keywords, as in ``deploy``.
        calibration: As in ``deploy``.
        samples: Test data that is run, as in ``deploy``; the first ``limit`` of it.
        data: As in ``deploy``.
        name: As in ``deploy``.
        note: Told what happens.
        progress: Told how many configurations of how many are done.
        changes: Fields of ``Exploring`` (``limit``, ``workers``, ``scheduler``, ``objectives``) and of ``Options``.

    Raises:
        ToolchainError: The model, the data, an axis or an option is refused; a configuration that is refused is a row.
    """
    how, base = _chosen(options, changes)
    crew = how.crew() if how.scheduler is not None else None
    note("import")
    net = read_model(model, example, options=base, calibration=calibration, samples=samples, data=data, name=name)
    asked = dict(axes or {}) | dict(read_axes(how.axis or ()))
    chosen = checked_axes(asked, net.graph, base)
    path = Path(out) if out is not None else Path(f"{Path(net.imported.name).name}{ENDING}")
    chip = load_chip(base.chip)
    chosen = chosen or default_axes(net.graph, base, chip_bits(base, chip))
    grid = configurations(chosen)
    job = _job(
        net, base, chip, how.limit, judged=any("auto" in by_block(one.options(base).gates).values() for one in grid)
    )
    with Store(path) as store:
        outcomes = _evaluated(job, grid, store, crew or how.crew(), progress)
    return Exploration(job.name, job.chip.name, job.samples.source, chosen, grid, outcomes, how.goals, str(path))


def _chosen(options: Options | None, changes: Mapping[str, Any]) -> tuple[Exploring, Options]:
    """Return what keywords say, each where it belongs."""
    own = {one.name for one in declared(Exploring)}
    plain = {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in changes.items()}
    how = with_options(Exploring, {key: value for key, value in plain.items() if key in own}, "an exploration")
    how.check()
    rest = {key: value for key, value in plain.items() if key not in own}
    return how, with_options(Options, asdict(options or Options()) | rest, "an exploration")


def _job(net: Net, base: Options, chip: Chip, limit: int, *, judged: bool) -> Job:
    """Read the data, and return what the configurations share; ``judged``: some leave the gates to ``auto``.

    Raises:
        InputError: There are no samples to run, or they do not fit the net.
    """
    imported = net.imported
    if net.samples is None:
        raise InputError(
            "there is no data to run",
            where=imported.name,
            help="give it with --samples FILE.npz, or samples= in Python",
        )
    samples, calibration = first(net.samples(), limit), None
    graph = net.graph
    if graph is None:
        assert imported.integer is not None
        graph = imported.integer_graph(dt_s=base.dt_s, timesteps=base.timesteps)
    else:
        calibration = net.calibration()
        check_data(calibration.x, graph.timesteps, graph.input.shape, where="calibration data")
    check_data(samples.x, graph.timesteps, graph.input.shape, where="samples data")
    return Job(
        imported.name,
        graph,
        chip,
        base,
        calibration,
        samples,
        dict(imported.card),
        net.diagnostics,
        held_out=net.held_out(LOOKS[-1]) if judged and attention(net.graph) else None,
        integer=net.graph is None,
        code=code(),
    )


def _evaluated(
    job: Job, grid: Sequence[Configuration], store: Store, crew: Crew, progress: Progress
) -> tuple[Outcome, ...]:
    """Return every configuration's outcome; new ones are kept as they come."""
    keys = [job.key_of(one) for one in grid]
    known = store.known(keys)
    found: dict[int, Outcome] = {i: known[key] for i, key in enumerate(keys) if key in known}
    missing = [(i, one) for i, one in enumerate(grid) if i not in found]
    progress(len(found), len(grid))
    for number, outcome in crew.outcomes(job, groups(missing)) if missing else ():
        if not isinstance(outcome, Lost):
            store.keep(keys[number], job.name, str(dict(grid[number].values)), outcome)
        found[number] = outcome
        progress(len(found), len(grid))
    return tuple(found[i] for i in range(len(grid)))
