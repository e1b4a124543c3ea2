"""Speed, memory and exactness of hw_sim beside other simulators; a table, or with --json a list of rows.

Usage: ``python -m benchmarks.peers [--workloads fc10 conv_s2 ...] [--peers sanafe lava ...] [--turns 3] [--json]``.
Both sides of a row run in turns in the same minute; steps per second are medians over the turns, ``best`` the fastest
single run. A simulator that cannot be installed is a row without numbers. The rows also go to
``build/benchmarks/peers.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.compare import compare, write
from benchmarks.peers.environments import ROOT, Missing, interpreter
from benchmarks.peers.worker import Worker, WorkerError, alternate
from benchmarks.workloads import STEPS, WORKLOADS, workload

OUT = ROOT / "build" / "benchmarks" / "peers.json"


@dataclass(frozen=True)
class Row:
    """One workload on one simulator and on ours; ``steps_per_s`` are timesteps a second, ``load_s`` is apart from them.

    ``best_*`` are the fastest single runs: what is nearest to an idle machine.
    """

    workload: str
    peer: str
    ours_steps_per_s: float | None = None
    peer_steps_per_s: float | None = None
    ratio: float | None = None
    ours_rss_mib: float | None = None
    peer_rss_mib: float | None = None
    exact: bool | None = None
    best_ours_steps_per_s: float | None = None
    best_peer_steps_per_s: float | None = None
    best_ratio: float | None = None
    ours_load_s: float | None = None
    peer_load_s: float | None = None
    peer_steps: int | None = None
    timing: str = "analytic"
    note: str = ""


def measure(name: str, peer: Peer, turns: int) -> Row:
    """Measure one workload on one simulator and on ours, in turns."""
    python = interpreter(peer.environment)
    if isinstance(python, Missing):
        return Row(name, peer.name, timing=peer.timing, note=f"not available: {python.reason}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _measure(name, peer, turns, python, Path(folder))
        except WorkerError as error:
            return Row(name, peer.name, timing=peer.timing, note=f"did not run: {error}")


def _measure(name: str, peer: Peer, turns: int, python: Path, folder: Path) -> Row:
    given = workload(name, even=peer.even)
    file, trains, steps = folder / "workload.npz", folder / "trains.npz", peer.steps[name]
    write(given, file)
    kind = "sparse" if name == "fc10" else "dense"
    words = [word.format(file=file, trains=trains, workload=name, steps=steps, kind=kind) for word in peer.arguments]
    mine = [name, "even" if peer.even else "raw", peer.timing, str(STEPS)]
    Worker(Path(sys.executable), "run_ours.py", mine, folder / "warm.txt").close()  # leaves the kernels on disk
    with (
        Worker(Path(sys.executable), "run_ours.py", mine, folder / "ours.txt") as ours,
        Worker(python, peer.script, words, folder / "peer.txt") as theirs,
    ):
        a, b = alternate(ours, theirs, turns)
    exact, note = compare(peer, given, b.last, trains)
    return Row(
        workload=name,
        peer=peer.name,
        ours_steps_per_s=round(a.steps_per_s, 1),
        peer_steps_per_s=round(b.steps_per_s, 2),
        ratio=round(a.steps_per_s / b.steps_per_s, 2),
        ours_rss_mib=round(a.rss_mib, 1),
        peer_rss_mib=round(b.rss_mib, 1),
        exact=exact,
        best_ours_steps_per_s=round(a.best_steps_per_s, 1),
        best_peer_steps_per_s=round(b.best_steps_per_s, 2),
        best_ratio=round(a.best_steps_per_s / b.best_steps_per_s, 2),
        ours_load_s=round(a.load_s, 2),
        peer_load_s=round(b.load_s, 2),
        peer_steps=steps,
        timing=peer.timing,
        note=note,
    )


def table(rows: list[Row]) -> str:
    """Return the rows as text."""
    head = (
        f"{'workload':9}{'peer':16}{'timing':10}{'ours':>10}{'peer':>10}{'ratio':>8}{'best':>8}"
        f"{'MiB ours':>10}{'peer':>8}{'load s':>8}{'peer':>7}  exact\n"
    )
    lines = [head.rstrip() + "   (ours, peer: timesteps/s, medians; best: ratio of the fastest runs)\n"]
    for r in rows:
        start = f"{r.workload:9}{r.peer:16}{r.timing:10}"
        if r.ratio is None:
            lines.append(f"{start}{r.note}\n")
            continue
        lines.append(
            f"{start}{r.ours_steps_per_s:>10,.0f}{r.peer_steps_per_s:>10,.1f}{r.ratio:>8.1f}{r.best_ratio:>8.1f}"
            f"{r.ours_rss_mib:>10,.0f}{r.peer_rss_mib:>8,.0f}{r.ours_load_s:>8.2f}{r.peer_load_s:>7.2f}"
            f"  {'yes' if r.exact else 'NO'}: {r.note}\n"
        )
    return "".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen pairs and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--peers", nargs="+", choices=names, default=names)
    parser.add_argument("--turns", type=int, default=3, help="runs of each side in a row (default %(default)s)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = []
    for name in options.workloads:
        for peer in PEERS:
            if peer.name in options.peers and name in peer.steps:
                sys.stderr.write(f"{name}: {peer.name}\n")
                rows.append(measure(name, peer, max(1, options.turns)))
    text = json.dumps([asdict(row) for row in rows], indent=2) + "\n"
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text)
    sys.stdout.write(text if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
