"""Progress on stderr: bars on a terminal, silence elsewhere; stdout is for answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from spikewright.toolchain.backends import Progress as Callback
from spikewright.toolchain.escaping import visible


@contextmanager
def stages(title: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner with the name of the stage; yields the function that names it."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        title = visible(title)
        task = bar.add_task(title)
        yield lambda stage: bar.update(task, description=f"{title}: {visible(stage)}")


@contextmanager
def bars() -> Iterator[Callable[[str], Callback]]:
    """Show one bar per title; yields the function that makes a (done, all) callback."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def make(title: str) -> Callback:
            task = bar.add_task(visible(title), total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield make


@contextmanager
def estimated(title: str) -> Iterator[tuple[Callable[[str], None], Callback]]:
    """Show a bar with the time that is left; yields what names the stage, and the (done, all) callback."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal, speed_estimate_period=3600
    ) as bar:
        title = visible(title)
        task = bar.add_task(title, total=None)
        begun: list[int] = []

        def progress(done: int, total: int) -> None:
            if not begun:  # what was done before says nothing about the speed
                begun.append(done)
                bar.reset(task, total=total, completed=done, description=title)
            bar.update(task, completed=done, total=total)

        yield lambda stage: bar.update(task, description=f"{title}: {visible(stage)}"), progress


def note(text: str) -> None:
    """Say on stderr what happens now."""
    Console(stderr=True, highlight=False, markup=False).print(visible(text))
