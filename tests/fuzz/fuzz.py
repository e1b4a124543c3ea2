"""Fuzzing: seeded cases of every format, each run in a watched fork; prints a table of format and outcome.

A case is refused (exit 2 with where, what, help), or accepted, and then it runs. Everything else is a fault: an error that
calls itself one of ours, a traceback, another exit code, a hang, a process that dies, memory beyond the limit, and what is
accepted but does not run. ``--seed S --first N`` repeats the cases from N on; ``--keep DIR`` keeps the files of faults.
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
from pathlib import Path

import numpy as np
import torch
from formats import FORMATS, RUN, WEIGHTS, Answer, Format, cli

from spikewright.toolchain.nirx import hdf5

LIMIT_S, LIMIT_BYTES, BATCH = 30.0, 2 << 30, 20
GOOD, AGAIN = ("refused", "accepted"), ("hang", "died")
WORDS = (*GOOD, "no help", "fault", "memory", "exit code", "nonsense", "hang", "died")


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


def child(names: list[tuple[int, str]], formats: dict[str, Format], seed: int, pipe: int, keep: Path | None) -> None:
    """Run a batch of cases and write one line each into the pipe."""
    here = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (here + LIMIT_BYTES, here + LIMIT_BYTES))
    for number, name in names:
        rng = np.random.default_rng((seed, number))
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            work = Path(folder)
            formats[name].change(rng, work)
            os.write(pipe, (json.dumps([number, "", folder]) + "\n").encode())
            outcome, said = classed(formats[name], work)
            if outcome not in GOOD and keep is not None:
                shutil.copytree(work, keep / f"{name}-{number}", symlinks=True, dirs_exist_ok=True,
                                ignore=lambda at, found: [f for f in found if os.path.exists(p := os.path.join(at, f)) and
                                                          not (os.path.isfile(p) or os.path.isdir(p))])  # fmt: skip
            os.write(pipe, (json.dumps([number, outcome, said[:2000]]) + "\n").encode())


def batch(
    names: list[tuple[int, str]], formats: dict[str, Format], seed: int, keep: Path | None
) -> dict[int, tuple[str, str]]:
    """Run a batch in a fork and return the outcomes; one that hangs or dies ends the batch behind itself."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            child(names, formats, seed, write, keep)
        finally:
            os._exit(0)
    os.close(write)
    found: dict[int, tuple[str, str]] = {}
    held, begun, how = b"", -1, "died"
    until = time.monotonic() + 2 * LIMIT_S
    while True:
        ready, _, _ = select.select([read], [], [], max(until - time.monotonic(), 0))
        if not ready:
            how = "hang"
            break
        part = os.read(read, 1 << 16)
        if not part:
            break
        held += part
        *lines, held = held.split(b"\n")
        for line in lines:
            number, outcome, said = json.loads(line)
            begun = number
            until = time.monotonic() + LIMIT_S
            if outcome:
                found[number] = (outcome, said)
    os.close(read)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    lost = begun if begun not in found and begun >= 0 else next((n for n, _ in names if n not in found), None)
    if len(found) < len(names) and lost is not None:
        found[lost] = (how, f"status {status}")
    return found


def cases(count: int, seed: int, chosen: list[str], first: int) -> list[tuple[int, str]]:
    """Return the number and format of every case."""
    weights = np.array([WEIGHTS[name] for name in chosen], float)
    drawn = np.random.default_rng((seed, 0, 0)).choice(len(chosen), first + count, p=weights / weights.sum())
    return [(number, chosen[int(index)]) for number, index in enumerate(drawn)][first:]


def main() -> int:
    """Run all cases; exit 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--formats", nargs="+", default=sorted(FORMATS), choices=sorted(FORMATS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    hdf5.LIMIT_S = 4.0
    torch.set_num_threads(1)  # threads of the parent's are not there in a fork
    begin, table, shown = time.monotonic(), Counter[tuple[str, str]](), 0
    with tempfile.TemporaryDirectory(prefix="fuzz-home-") as folder:
        formats = {name: FORMATS[name](Path(folder) / name) for name in options.formats}
        for format in formats.values():
            format.home.mkdir()
            format.prepare()
        todo = cases(options.cases, options.seed, options.formats, options.first)
        while todo and time.monotonic() - begin < options.seconds:
            now = todo[:BATCH]
            found = batch(now, formats, options.seed, options.keep)
            names = dict(now)
            for number in [
                n for n, (outcome, _) in found.items() if outcome in AGAIN
            ]:  # the machine may have been busy
                found |= batch([(number, names[number])], formats, options.seed, options.keep)
            for number, (outcome, said) in found.items():
                table[names[number], outcome] += 1
                if outcome not in GOOD:
                    shown += 1
                    print(f"case {number} {names[number]}: {outcome}: {said}\n", flush=True)
            todo = [case for case in todo if case[0] not in found]
    print(as_text(table, time.monotonic() - begin, len(todo), options))
    return int(shown > 0)


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
