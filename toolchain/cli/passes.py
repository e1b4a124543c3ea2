"""``spikewright passes``: the compiler's stages in order, those of other packages among them, with one line each."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from typing import Any

from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.pipeline import PIPELINE, pipeline


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("passes", help="list the compiler's passes in order")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(_arguments: Namespace) -> Outcome:
    """List the stages: number, name, how its answer is checked, what it does, and whose it is where it is not ours."""
    stages = pipeline()
    rows = [
        {"name": s.name, "what": s.what, "check": s.check, "needs": list(s.needs), "origin": s.origin} for s in stages
    ]
    width = max(len(stage.name) for stage in stages)
    lines = [
        f"{number:02d}  {s.name:{width}}  {s.check:5}  {s.what}" + ("" if s in PIPELINE else f" ({s.origin})")
        for number, s in enumerate(stages, 1)
    ]
    return Outcome(text="\n".join(lines), data=rows)
