"""What a run hands to its probes: a board, which holds the run once it is over; and Lava's two ways to attach to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from spikewright.export.lava.profiler.run import ProfilerError, SimulatedRun


@dataclass
class Board:
    """The simulated board; ``run`` is None until a net has run on it."""

    run: SimulatedRun | None = None


@dataclass(frozen=True)
class RunSteps:
    """How long to run; in place of ``lava.magma.core.run_conditions.RunSteps``. A run here always blocks."""

    num_steps: int
    blocking: bool = True


@dataclass(eq=False)
class Loihi2HwCfg:
    """In place of ``lava.magma.core.run_configs.Loihi2HwCfg``; the options about process models have nothing to act on.

    Args:
        custom_sync_domains, select_tag, select_sub_proc_model, exception_proc_model_map, loglevel: As in Lava; without effect.
        callback_fxs: Probes with ``pre_run_callback(board, variables)`` and ``post_run_callback(board, variables)``.
        embedded_allocation_order: As in Lava; without effect.
        pre_run_fxs: Called with the board before the run.
        post_run_fxs: Called with the board after the run.
    """

    custom_sync_domains: Sequence[Any] | None = None
    select_tag: str | None = None
    select_sub_proc_model: bool = False
    exception_proc_model_map: dict[Any, Any] | None = None
    loglevel: int = 30
    callback_fxs: list[Any] = field(default_factory=list)
    embedded_allocation_order: Any = None
    pre_run_fxs: Sequence[Callable[[Board], Any]] = ()
    post_run_fxs: Sequence[Callable[[Board], Any]] = ()


def attach(run_cfg: Any, probe: Any) -> None:
    """Let a run configuration, one of these or of Lava's, call ``probe`` before and after a run.

    Raises:
        ProfilerError: It is none.
    """
    if isinstance(getattr(run_cfg, "callback_fxs", None), list):
        run_cfg.callback_fxs.append(probe)
    elif hasattr(run_cfg, "select"):  # Lava's simulation configurations call nobody
        run_cfg.callback_fxs = [probe]
    else:
        raise ProfilerError(
            f"found {type(run_cfg).__name__}; allowed: a run configuration, a bundle's folder, a Deployment, a SimulatedRun",
            where="Profiler.init",
            help="give the run_cfg that net.run(...) gets, or the folder that `spikewright deploy` wrote",
        )


def execute(run_cfg: Any, simulated: Callable[[], SimulatedRun]) -> SimulatedRun:
    """Run between the calls that a run configuration asks for (None: none)."""
    board = Board()
    for call in getattr(run_cfg, "pre_run_fxs", ()):
        call(board)
    for probe in getattr(run_cfg, "callback_fxs", None) or ():
        probe.pre_run_callback(board, {})
    board.run = simulated()
    for call in getattr(run_cfg, "post_run_fxs", ()):
        call(board)
    for probe in getattr(run_cfg, "callback_fxs", None) or ():
        probe.post_run_callback(board, {})
    return board.run
