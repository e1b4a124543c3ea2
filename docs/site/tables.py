"""Tables of README and docs/, made from what runs have written: ``docs/results/*.json``, and the tables of foreign classes.

    python -m docs.site.tables                        writes every table between its markers
    python -m docs.site.tables --check                only says which are stale; exit code 1 then
    python -m docs.site.tables --run NAME [--data D]  runs the benchmark NAME again, keeps its JSON, then writes the tables

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. Tests run the benchmarks again; a stale JSON fails.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikewright.export.foreign.page import brief
from spikewright.toolchain.lowerings import Cell, Lowerings

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
SIZES = ROOT / "benchmarks" / "published_sizes.jsonl"
MARKED = re.compile(r"<!-- (table: ([\w-]+)|spikewright lowerings --markdown) -->\n(.*?)\n?<!-- end -->", re.DOTALL)
RUNS: dict[str, tuple[str, ...]] = {
    "accuracy": ("benchmarks.accuracy", "--json"),
    "lowerings": ("spikewright.toolchain.cli.main", "lowerings", "--json"),
    "mapping_search": ("benchmarks.mapping_search", "--json"),
    "peers": ("benchmarks.peers", "--json"),
    "silicon": ("benchmarks.silicon", "--steps", "1000", "--repeats", "1", "--json"),
}
"""Benchmarks whose JSON is kept, as ``python -m`` runs them."""
DATA = ("accuracy", "mapping_search", "silicon")
"""Those that read data."""
WALL = ("seconds", "seconds_for_10000_steps", "seconds_for_10000_random_steps")
"""Wall times: they differ from run to run, and no table has them but as a ratio of two that were taken in turns."""


def kept(name: str) -> Any:
    """Return what a benchmark wrote when it was run last."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def written(name: str, found: Any) -> str:
    """Return what is kept of a benchmark's JSON: all but wall times."""
    return json.dumps(rounded(found), indent=1, sort_keys=True) + "\n"


def rounded(value: Any) -> Any:
    """Return a value without wall times, and floats with six digits: the rest differs between processors."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case dict():
            return {key: rounded(item) for key, item in value.items() if key not in WALL}
        case list():
            return [rounded(item) for item in value]
    return value


def run(name: str, data: Path | None) -> None:
    """Run a benchmark and keep its JSON."""
    words = [sys.executable, "-m", *RUNS[name], *(["--data", str(data)] if name in DATA and data else [])]
    done = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(written(name, json.loads(done.stdout)), encoding="utf-8")


# ------------------------------------------------------------------------------------------------ tables
def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def lowerings() -> str:
    """Return family x variant x lowering."""
    return Lowerings(tuple(Cell(**row) for row in kept("lowerings"))).markdown()


def _runs() -> list[dict[str, Any]]:
    return [row for row in kept("silicon")["runs"] if row["ours"] is not None]


def _what(row: dict[str, Any]) -> str:
    return ", ".join(word for word in (row["what"], row["unit"]) if word)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    inside = "yes" if row["inside_repeat"] else "no"
    return (
        row["run"], _what(row), f"{row['silicon']:.4g}", f"{row['ours']:.4g}",
        f"{100 * row['error']:+.1f} %", f"{100 * row['repeat']:.1f} %", inside, row["kind"],
    )  # fmt: skip


SILICON = ("run", "figure", "silicon", "ours", "error", "silicon repeats within", "inside", "")


def silicon() -> str:
    """Return every public run that is modelled."""
    return table(SILICON, [_row(row) for row in _runs()])


def silicon_short() -> str:
    """Return one row a figure: how far from silicon, over how many runs."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in _runs():
        net = re.split(r",|\d{4}|counters| \d", row["run"])[0].strip()
        groups.setdefault((net, _what(row), row["kind"]), []).append(row)
    rows = []
    for (net, what, kind), found in groups.items():
        errors = sorted(100 * row["error"] for row in found)
        inside = sum(bool(row["inside_repeat"]) for row in found)
        span = f"{errors[0]:+.1f} %" if len(found) == 1 else f"{errors[0]:+.1f} … {errors[-1]:+.1f} %"
        rows.append((net, what, span, f"{inside} of {len(found)}", kind))
    return table(
        ("net, measured by its publishers", "figure", "ours against silicon", "as near as silicon repeats", ""), rows
    )


def not_modelled() -> str:
    """Return the public runs that are not modelled, with the reason."""
    left = [row for row in kept("silicon")["runs"] if row["ours"] is None]
    return table(("run", "figure", "silicon", "why not"), [
        (row["run"], _what(row), f"{row['silicon']:.4g}", row["note"]) for row in left
    ])  # fmt: skip


def compiler() -> str:
    """Return how often the twin of the vendor's compiler prints what the compiler printed."""
    found = kept("silicon")
    cores = ", ".join(f"{net} {ours} / {theirs}" for net, (ours, theirs) in found["core_counts"].items())
    wrong = sum(wrong for _, wrong, _ in found["compiler_cells"].values())
    exact = sum(exact for exact, _, _ in found["compiler_cells"].values())
    unknown = sum(n for _, _, n in found["compiler_cells"].values())
    return table(("what the vendor's compiler prints", "the twin"), [
        ("synapse memory of a layer", f"{found['compiler_rows_exact']} of {found['compiler_rows']} exact"),
        ("Total of a layer", f"{found['totals_exact']} of {found['totals']} exact"),
        ("other cells of its tables", f"{exact} exact, {wrong} wrong, {unknown} not known (`n/a`)"),
        ("cores of a net, ours / theirs", cores),
        ("memory bar of a core, PilotNet LIF", f"at most {abs(100 * found['memory_bar_error_max']):.2f} points off"),
    ])  # fmt: skip


def mapping() -> str:
    """Return every strategy beside the vendor's on the same net: cores, time of a step, energy times delay."""
    rows, first = [], {}
    for row in kept("mapping_search"):
        if row["why"]:
            rows.append((row["net"], row["mapping"], "does not fit", "", ""))
            continue
        base = first.setdefault(row["net"], row)
        less = [f"{row[key] / base[key] - 1:+.0%}" if row is not base else "" for key in ("step_us", "edp_js")]
        rows.append(
            (
                row["net"],
                row["mapping"],
                str(row["cores"]),
                f"{row['step_us']:.1f} µs {less[0]}",
                f"{row['edp_js']:.2g} Js {less[1]}",
            )
        )
    return table(("net", "mapping", "cores", "a step", "energy × delay"), rows)


def peers() -> str:
    """Return hw_sim beside other simulators: how many times as many steps a second, memory of both processes, counts."""
    head = ("net", "simulator", "ours is faster by", "in the fastest runs by", "memory of ours / theirs, MiB", "counts")
    return table(head, [_peer(row) for row in kept("peers") if row["ratio"] is not None])


def _peer(row: dict[str, Any]) -> tuple[str, ...]:
    memory = f"{row['ours_rss_mib']:,.0f} / {row['peer_rss_mib']:,.0f}"
    faster = (f"{float(f'{row[key]:.2g}'):,.6g} ×" for key in ("ratio", "best_ratio"))
    return (row["workload"], row["peer"], *faster, memory, "equal" if row["exact"] else "differ")


def sizes() -> str:
    """Return the networks of published size at their published width: neurons, chips, cores, time, memory, verdict."""
    return table(
        (
            "net",
            "gates",
            "neurons",
            "chips",
            "cores",
            "decided by",
            "deploy, CPU s",
            "a sample, CPU s",
            "peak MiB",
            "verdict",
        ),
        [_size(row) for row in _sizes() if row["width"] == 1],
    )


def _sizes() -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in SIZES.read_text(encoding="utf-8").splitlines()]
    return sorted(rows, key=lambda row: (str(row["net"]), row["width"]))


def _size(row: dict[str, Any]) -> tuple[str, ...]:
    verdict = re.sub(r"(died within [\w ]+, in [\w-]+): .*", r"\1", row["verdict"].partition("\n")[0])
    split = re.search(r"decided by (\w+) = ([\d,]+) \[(\w+)\]", row["limit"])
    decided = "" if split is None else f"{split[1]} = {split[2]} [{split[3]}]"
    return (row["net"], _gates(row), *_numbers(row, "neurons", "chips", "cores"), decided, *_costs(row), verdict)


def _gates(row: dict[str, Any]) -> str:
    late = row["gate_delay"]
    return row["gates"] if late is None else f"{row['gates']}, {late} steps late"


def _costs(row: dict[str, Any]) -> tuple[str, ...]:
    return _numbers(row, "deploy_cpu_s", "sample_cpu_s", "peak_mib")


def _numbers(row: dict[str, Any], *keys: str) -> tuple[str, ...]:
    return tuple("" if row[key] is None else f"{row[key]:,.0f}" for key in keys)


def widths() -> str:
    """Return what was measured of the nets whose channels are a part of the published ones, beside the whole."""
    rows = [row for row in _sizes() if row["cores"] is not None]
    several = {row["net"] for row in rows if row["width"] != 1}
    return table(
        ("net", "width", "gates", "neurons", "cores", "deploy, CPU s", "a sample, CPU s", "peak MiB"),
        [
            (row["net"], f"{row['width']:g}", _gates(row), *_numbers(row, "neurons", "cores"), *_costs(row))
            for row in rows
            if row["net"] in several
        ],
    )


def accuracy() -> str:
    """Return what each family loses on the chip against its published variant in float, whole test splits."""
    head = ("family / data", "published, float", "on the chip", "gates", "accuracy", "drop, points", "caused by input")
    return table(head, [_accuracy(row) for row in kept("accuracy")])


def _accuracy(row: dict[str, Any]) -> tuple[str, ...]:
    first = (row["pair"], f"{100 * row['published']:.2f} %", row["net"])
    if row["chip"] is None:
        why = re.search(r"(loses [\d.]+ points) .*; (at most [\d.]+) with", row["refused"])
        return (*first, f"refused: static {why[1]}, {why[2]}" if why else "refused", "", "", "")
    gates = row["gates"] if row["spike_driven"] else f"{row['gates']}, not spike-driven"
    events = "" if row["event_driven"] is None else f"{100 * row['event_driven']:.1f} %"
    return (*first, gates, f"{100 * row['chip']:.2f} %", f"{row['drop']:+.2f}", events)


def accuracy_compared() -> str:
    """Return on how many values the three backends were compared for the table of accuracies, and how many differ."""
    rows = [row for row in kept("accuracy") if row["compared"]]
    return (
        f"{sum(row['compared'] for row in rows):,} spikes and membranes of the {len(rows)} nets that deploy were compared "
        f"on interpreter, simulated chip and Lava: {sum(row['differ'] for row in rows)} differ."
    )


TABLES: dict[str, Callable[[], str]] = {
    "accuracy": accuracy,
    "accuracy-compared": accuracy_compared,
    "compiler": compiler,
    "frameworks": brief,
    "lowerings": lowerings,
    "mapping": mapping,
    "peers": peers,
    "silicon": silicon,
    "silicon-not-modelled": not_modelled,
    "silicon-short": silicon_short,
    "sizes": sizes,
    "sizes-widths": widths,
}


def marked() -> dict[Path, str]:
    """Return the pages with tables as they should be."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    made: dict[str, str] = {}

    def filled(match: re.Match[str]) -> str:
        name = match[2] or "lowerings"
        if name not in made:
            made[name] = TABLES[name]()
        return f"<!-- {match[1]} -->\n{made[name]}\n<!-- end -->"

    return {page: MARKED.sub(filled, page.read_text(encoding="utf-8")) for page in pages}


def stale() -> list[str]:
    """Return the pages whose tables are not what the JSON says."""
    return [str(p.relative_to(ROOT)) for p, text in marked().items() if p.read_text(encoding="utf-8") != text]


def main(arguments: list[str] | None = None) -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--run", action="append", default=[], choices=RUNS)
    parser.add_argument("--data", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    if options.check:
        for page in stale():
            print(f"{page}: a table is stale\n  help: python -m docs.site.tables", file=sys.stderr)
        return int(bool(stale()))
    for name in options.run:
        run(name, options.data)
    for page, text in marked().items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
