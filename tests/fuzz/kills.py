"""Kills: verbs that write are killed (SIGKILL) at random moments; what they replace is then the old one whole, or the new.

deploy (a bundle), report (JSON, HTML, CSV), run (a trace), train (checkpoint, card). A last run without a kill must work and
leave nothing of the killed ones behind.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from command_line import linear, spikes

from spikewright.hw_sim import load_trace
from spikewright.models import zoo
from spikewright.toolchain import bundle, nirx

COMMAND = Path(sys.executable).with_name("spikewright")


def words(verb: str, home: Path) -> list[str]:
    """Return the command of a verb."""
    b = str(home / "b")
    return {
        "deploy": ["deploy", str(home / "n.nir"), "--calibrate", str(home / "x.npz"), "--timesteps", "4", "--dt", "1e-3",
                   "--out", b],
        "report": ["report", b, "--json", str(home / "r.json"), "--html", str(home / "r.html"), "--csv", str(home / "r.csv")],
        "run": ["run", b, "--trace", str(home / "t.npz")],
        "train": ["train", "ma-digits", "--epochs", "1", "--out", str(home / "net")],
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
        case "train":
            zoo.build(home / "net" / "ma-digits.safetensors")
            json.loads((home / "net" / "ma-digits.json").read_text())


def left(home: Path) -> list[str]:
    """Return what lies about of unfinished work."""
    return [str(path.relative_to(home)) for path in home.rglob(".spikewright-*")]


def run(verb: str, home: Path, after_s: float | None) -> bool:
    """Run a verb, kill it after so long (None: never), and say whether it was killed."""
    child = subprocess.Popen(
        [str(COMMAND), *words(verb, home)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        child.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return True
    if child.returncode != 0:
        raise AssertionError(f"{verb} ends with {child.returncode}")
    return False


def main() -> int:
    """Kill, look, and repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="+", default=["deploy", "report", "run", "train"])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    options = parser.parse_args()
    rng, home, begin = np.random.default_rng(options.seed), Path(tempfile.mkdtemp(prefix="kills-")), time.monotonic()
    nirx.write(home / "n.nir", linear())
    spikes(home / "x.npz")
    table: Counter[tuple[str, str]] = Counter()
    share = -(-options.kills // len(options.verbs))
    for verb in options.verbs:
        start = time.monotonic()
        run(verb, home, None)
        whole(verb, home)
        takes = time.monotonic() - start
        done = 0
        while done < share and time.monotonic() - begin < options.seconds:
            done += run(verb, home, float(rng.uniform(0.05, 1.02)) * takes)
            try:
                whole(verb, home)
                table[verb, "whole"] += 1
            except Exception as error:
                table[verb, "BROKEN"] += 1
                print(f"{verb}: {type(error).__name__}: {error}", flush=True)
        table[verb, "killed"] = done
        rests = len(left(home))
        run(verb, home, None)
        whole(verb, home)
        table[verb, "rests"], table[verb, "rests after the next run"] = rests, len(left(home))
    for verb in options.verbs:
        print(f"{verb:8}" + ", ".join(f"{what} {n}" for (of, what), n in table.items() if of == verb))
    print(f"seed {options.seed}, {time.monotonic() - begin:.0f} s")
    shutil.rmtree(home)
    return int(any(n for (_, what), n in table.items() if what in ("BROKEN", "rests after the next run")))


if __name__ == "__main__":
    sys.exit(main())
