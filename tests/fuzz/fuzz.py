"""Fuzzing: seeded cases of every format, run by watched workers; prints a table of format and outcome.

A case is refused (exit 2 with where, what, help), or accepted, and then it runs. Everything else is a fault: an error that
calls itself one of ours, a traceback, another exit code, a hang, a process that dies, memory beyond the limit, and what is
accepted but does not run. ``--seed S --first N`` repeats the cases from N on; ``--keep DIR`` keeps the files of faults;
``--results FILE`` gets a line of JSON a case, and a run that finds its cases there goes on behind them.

A worker is a fork of this process, which has loaded everything: it runs a batch of cases and is replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from formats import FORMATS, RUN, WEIGHTS, Answer, Format, cli

from spikewright.toolchain.nirx import hdf5

LIMIT_S, WALL_S, LIMIT_BYTES, BATCH = 30.0, 300.0, 2 << 30, 100
GOOD, AGAIN = ("refused", "accepted"), ("hang", "died", "memory")
WORDS = (*GOOD, "no help", "fault", "memory", "exit code", "nonsense", "hang", "died")
Case = tuple[int, str]
"""Number and format."""


def classed(format: Format, work: Path) -> tuple[str, str]:
    """Run a case's commands and return the outcome, and what was said."""
    said = ""
    for number, words in enumerate(format.commands(work)):
        answer: Answer = RUN[str(words[0])](*words[1:]) if words[0] in RUN else cli(*words)
        said = f"{' '.join(map(str, words))}: exit {answer.code}: {answer.error[-800:]}"
        if "a fault of spikewright" in answer.error or "Traceback" in answer.error:
            return "fault", said
        if answer.error.startswith("memory:"):
            return "memory", said
        good = answer.code == 0 or (answer.code == 1 and words[0] == "check")
        if not good and number > 0:
            return "nonsense", said
        if not good:
            if answer.code != 2:
                return "exit code", said
            return ("refused" if "\n  help: " in answer.error else "no help"), said
    return "accepted", said


def child(names: list[Case], formats: dict[str, Format], seed: int, pipe: int, keep: Path | None) -> None:
    """Run a batch of cases and write one line each into the pipe."""
    here = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (here + LIMIT_BYTES, here + LIMIT_BYTES))
    for number, name in names:
        rng = np.random.default_rng((seed, number))
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=formats[name].home.parent) as folder:
            work = Path(folder)
            os.write(pipe, (json.dumps([number, "", folder]) + "\n").encode())
            try:
                formats[name].change(rng, work)
                outcome, said = classed(formats[name], work)
            except Exception as error:
                outcome, said = "fault", f"the fuzzer's own: {type(error).__name__}: {error}"
            if outcome not in GOOD and keep is not None:
                shutil.copytree(work, keep / f"{name}-{number}", symlinks=True, dirs_exist_ok=True,
                                ignore=lambda at, found: [f for f in found if os.path.exists(p := os.path.join(at, f)) and
                                                          not (os.path.isfile(p) or os.path.isdir(p))])  # fmt: skip
            os.write(pipe, (json.dumps([number, outcome, said[:2000]]) + "\n").encode())


@dataclass
class Worker:
    """A fork that runs cases; what it says is read as it comes.

    Args:
        cases: What it was given.
        pid: The process.
        pipe: Where it writes a line as a case begins, and one as it ends.
        since: Monotonic and CPU seconds at which its case began.
    """

    cases: list[Case]
    pid: int
    pipe: int
    since: tuple[float, float]
    found: dict[int, tuple[str, str]] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)
    begun: int = -1
    held: bytes = b""

    def listen(self) -> bool:
        """Take in what it wrote; say whether it goes on."""
        part = os.read(self.pipe, 1 << 16)
        *lines, self.held = (self.held + part).split(b"\n")
        for line in lines:
            self.begun, outcome, said = json.loads(line)
            self.since = (time.monotonic(), cpu_s(self.pid))
            if outcome:
                self.found[self.begun] = (outcome, said)
        return bool(part)

    def hangs(self) -> bool:
        """Say whether its case has taken too long: by CPU time, which other work does not lengthen; or it waits for ever."""
        wall, cpu = self.since
        return cpu_s(self.pid) - cpu > LIMIT_S or time.monotonic() - wall > WALL_S

    def new(self) -> list[tuple[int, tuple[str, str]]]:
        """Return what came in since this was last asked."""
        new = [(number, said) for number, said in self.found.items() if number not in self.told]
        self.told.update(self.found)
        return new

    def end(self, how: str) -> None:
        """End the process; the case that it was at ended ``how``."""
        os.close(self.pipe)
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        left = [number for number, _ in self.cases if number not in self.found]
        if left:
            self.found[self.begun if self.begun in left else left[0]] = (how, f"status {status}")


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its children, those that live and those that it has waited for."""
    try:
        spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK") + sum(cpu_s(int(child)) for child in children)


def fork(todo: list[Case], formats: dict[str, Format], seed: int, keep: Path | None) -> Worker:
    """Start a worker."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        try:
            child(todo, formats, seed, write, keep)
        finally:
            os._exit(0)
    os.close(write)
    return Worker(todo, pid, read, (time.monotonic(), cpu_s(pid)))


def outcomes(
    todo: list[Case], start: Callable[[list[Case]], Worker], workers: int, until: float
) -> Iterator[tuple[int, str, str]]:
    """Yield number, outcome and what was said of every case; what hangs or dies is run once more, alone."""
    waiting, names, alone = list(todo), dict(todo), set[int]()
    busy: list[Worker] = []
    while waiting or busy:
        while waiting and len(busy) < workers and time.monotonic() < until:
            size = 1 if waiting[0][0] in alone else BATCH
            busy.append(start(waiting[:size]))
            del waiting[:size]
        if not busy:
            return
        ready, _, _ = select.select([worker.pipe for worker in busy], [], [], 1.0)
        for worker in list(busy):
            late = worker.pipe not in ready and worker.hangs()
            ended = late or (worker.pipe in ready and not worker.listen())
            if ended:
                worker.end("hang" if late else "died")
                busy.remove(worker)
            for number, (outcome, said) in worker.new():
                if outcome in AGAIN and number not in alone:
                    alone.add(number)
                    waiting.insert(0, (number, names[number]))
                else:
                    yield number, outcome, said
            if ended:
                waiting += [case for case in worker.cases if case[0] not in worker.found]


def cases(count: int, seed: int, chosen: list[str], first: int) -> list[tuple[int, str]]:
    """Return the number and format of every case."""
    weights = np.array([WEIGHTS[name] for name in chosen], float)
    drawn = np.random.default_rng((seed, 0, 0)).choice(len(chosen), first + count, p=weights / weights.sum())
    return [(number, chosen[int(index)]) for number, index in enumerate(drawn)][first:]


def earlier(path: Path | None, seed: int) -> dict[int, tuple[str, str]]:
    """Return format and outcome of the cases that a file of results holds for a seed; a last line that is cut is none."""
    if path is None or not path.exists():
        return {}
    lines = path.read_text().split("\n")[:-1]
    return {number: (name, outcome) for of, number, name, outcome in map(json.loads, lines) if of == seed}


def main() -> int:
    """Run all cases; exit 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--formats", nargs="+", default=sorted(FORMATS), choices=sorted(FORMATS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, help="a line of JSON a case; go on behind those that are there")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--home", type=Path, help="where the whole files stay for the next run")
    options = parser.parse_args()
    hdf5.LIMIT_S = 4
    command_line = sys.modules["spikewright.toolchain.cli.main"]
    command_line.build_parser = cache(command_line.build_parser)
    torch.set_num_threads(1)  # threads of the parent's are not there in a fork
    begin = time.monotonic()
    before = earlier(options.results, options.seed)
    todo = [
        case for case in cases(options.cases, options.seed, options.formats, options.first) if case[0] not in before
    ]
    table = Counter(before.values())
    with tempfile.TemporaryDirectory(prefix="fuzz-home-") as folder:
        formats = prepared(options.formats if todo else [], options.home or Path(folder))

        def start(batch: list[Case]) -> Worker:
            return fork(batch, formats, options.seed, options.keep)

        names, left = dict(todo), len(todo)
        for number, outcome, said in outcomes(todo, start, options.workers, begin + options.seconds):
            table[names[number], outcome] += 1
            left -= 1
            if options.results is not None:
                with options.results.open("a") as file:
                    file.write(json.dumps([options.seed, number, names[number], outcome]) + "\n")
            if outcome not in GOOD:
                print(f"case {number} {names[number]}: {outcome}: {said}\n", flush=True)
    print(as_text(table, time.monotonic() - begin, left, options))
    return int(any(outcome not in GOOD for _, outcome in table))


def prepared(names: list[str], home: Path) -> dict[str, Format]:
    """Write the whole files, and run what is done with them once, so that workers find everything loaded."""
    formats = {name: FORMATS[name](home / name) for name in names}
    for name, format in formats.items():
        done = home / f"{name}.done"
        if not done.exists():  # nor what a run that was stopped left half-made
            format.home.mkdir(parents=True, exist_ok=True)
            format.prepare()
            done.touch()
        with tempfile.TemporaryDirectory(dir=home) as work:
            format.whole(Path(work))
            outcome, said = classed(format, Path(work))
        if outcome != "accepted" and name != "checkpoint":
            raise AssertionError(f"{name}, as it is: {outcome}: {said}")
    return formats


def as_text(table: Counter[tuple[str, str]], seconds: float, left: int, options: argparse.Namespace) -> str:
    """Return the table format x outcome."""
    rows = [f"{'format':12}" + "".join(f"{word:>11}" for word in ("cases", *WORDS))]
    for name in options.formats:
        counts = [table[name, word] for word in WORDS]
        rows.append(f"{name:12}" + "".join(f"{n:>11,}" for n in (sum(counts), *counts)))
    total = [sum(table[name, word] for name in options.formats) for word in WORDS]
    rows.append(f"{'all':12}" + "".join(f"{n:>11,}" for n in (sum(total), *total)))
    rest = f", {left} not reached" if left else ""
    return "\n".join([*rows, f"seed {options.seed}, cases from {options.first} on, {seconds:.0f} s{rest}"])


if __name__ == "__main__":
    sys.exit(main())
