"""Kills: verbs that write are killed (SIGKILL) at random moments; what they replace is then the old one whole, or the new.

deploy (a bundle), report (JSON, HTML, CSV), run (a trace, a recording, a timeline), train (checkpoint, card, kept state). A
last run without a kill must work and leave nothing of the killed ones behind. ``--results FILE`` gets a line of JSON a kill,
and a run that finds its kills there goes on behind them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from command_line import linear, spikes
from fuzz import cpu_s

from spikewright.hw_sim import load_trace
from spikewright.models import zoo
from spikewright.toolchain import RecordedRun, bundle, nirx
from spikewright.toolchain.cli import main


def words(verb: str, home: Path) -> list[str]:
    """Return the command of a verb."""
    b = str(home / "b")
    return {
        "deploy": ["deploy", str(home / "n.nir"), "--calibrate", str(home / "x.npz"), "--timesteps", "4", "--dt", "1e-3",
                   "--out", b],
        "report": ["report", b, "--json", str(home / "r.json"), "--html", str(home / "r.html"), "--csv", str(home / "r.csv")],
        "run": ["run", b, "--trace", str(home / "t.npz"), "--save", str(home / "s.npz"), "--record", "all",
                "--trace-events", str(home / "e.json")],
        "train": ["train", "ma-digits", "--epochs", "1", "--resume", "--out", str(home / "net")],
    }[verb]  # fmt: skip


def whole(verb: str, home: Path) -> None:
    """Raise unless what a verb writes is there, whole."""
    match verb:
        case "deploy":
            bundle.load(home / "b")
        case "report":
            json.loads((home / "r.json").read_text())
            assert (home / "r.html").read_text().rstrip().endswith("</html>")
            assert (home / "r.csv").read_text().endswith("\n")
        case "run":
            load_trace(home / "t.npz")
            json.loads((home / "e.json").read_text())
            run = RecordedRun(home / "s.npz")
            assert all(run.spikes(layer).shape[:2] == run.v(layer).shape[:2] == (4, 6) for layer in run.layers)
        case "train":
            zoo.build(home / "net" / "ma-digits.safetensors")
            json.loads((home / "net" / "ma-digits.json").read_text())
            if (state := home / "net" / "ma-digits-seed0.state").exists():  # while it trains
                torch.load(state, weights_only=True)


def left(home: Path) -> list[str]:
    """Return what lies about of unfinished work."""
    return [str(path.relative_to(home)) for path in home.rglob(".spikewright-*")]


def run(verb: str, home: Path, until: float | None) -> float | None:
    """Run a verb in a fork of this process, which has loaded everything; kill it at a moment of its CPU time (None: never).

    Returns:
        The CPU seconds that it took; None where it was killed.
    """
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        code = 70
        try:
            os.setpgid(0, 0)
            code = main([*words(verb, home)])
        finally:
            os._exit(code)
    killed = False
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if not killed and until is not None and cpu_s(child) >= until:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            killed = True
        time.sleep(0.002)
    spent = cpu_s(child)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    if os.WEXITSTATUS(status) != 0:
        raise AssertionError(f"{verb} ends with {os.WEXITSTATUS(status)}")
    return spent


def kills(verb: str, count: int, seed: int, home: Path, until: float) -> Iterator[str]:
    """Kill a verb so often, at moments drawn anew for every kill, and yield what stood there then: whole, or what is broken."""
    takes = run(verb, home, None) or 0.0
    whole(verb, home)
    rng = np.random.default_rng((seed, count))
    for _ in range(count):
        while run(verb, home, float(rng.uniform()) * takes) is not None:
            pass
        try:
            whole(verb, home)
            yield "whole"
        except Exception as error:
            yield f"{type(error).__name__}: {error}"
        if time.monotonic() > until:
            break
    run(verb, home, None)
    whole(verb, home)
    yield from (f"left behind: {name}" for name in left(home))


def killed() -> int:
    """Kill, look, and repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="+", default=["deploy", "report", "run", "train"])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--results", type=Path, help="a line of JSON a kill; go on behind those that are there")
    options = parser.parse_args()
    begin, table = time.monotonic(), Counter[tuple[str, str]]()
    if options.results is not None and options.results.exists():
        table.update(tuple(json.loads(line)) for line in options.results.read_text().split("\n")[:-1])
    share = -(-options.kills // len(options.verbs))
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        home = Path(folder)
        nirx.write(home / "n.nir", linear())
        spikes(home / "x.npz")
        torch.set_num_threads(1)  # threads of the parent's are not there in a fork
        for verb in ("deploy", *options.verbs):
            with redirect_stdout(StringIO()):
                if main(words(verb, home)) != 0:
                    raise AssertionError(f"{verb} fails without a kill")
        for verb in options.verbs:
            todo = share - sum(n for (of, _), n in table.items() if of == verb)
            if todo <= 0 or time.monotonic() - begin > options.seconds:
                continue
            for found in kills(verb, todo, options.seed, home, begin + options.seconds):
                table[verb, found] += 1
                if options.results is not None:
                    with options.results.open("a") as file:
                        file.write(json.dumps([verb, found]) + "\n")
    for verb in options.verbs:
        print(f"{verb:8}" + ", ".join(f"{what} {n}" for (of, what), n in table.items() if of == verb))
    print(f"seed {options.seed}, {sum(table.values())} kills, {time.monotonic() - begin:.0f} s")
    return int(any(what != "whole" for _, what in table))


if __name__ == "__main__":
    sys.exit(killed())
