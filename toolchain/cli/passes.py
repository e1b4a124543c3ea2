"""``spikewright passes``: the compiler's passes in order, with one line each."""

from __future__ import annotations

import inspect
from argparse import Namespace, _SubParsersAction
from typing import Any

from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.passes import (
    align,
    distribute,
    fold_pool,
    fold_scale,
    lower_bias,
    lower_gates,
    lower_max_pool,
    lower_pool,
    quantize,
    split_host,
)

PASSES: tuple[tuple[str, object], ...] = (
    (fold_scale.FoldScale.name, fold_scale),
    (fold_pool.FoldPool.name, fold_pool),
    (fold_pool.DropFlatten.name, fold_pool.DropFlatten),
    ("split-host", split_host),
    (fold_scale.LowerScale.name, fold_scale.LowerScale),
    (lower_max_pool.LowerMaxPool.name, lower_max_pool),
    (lower_gates.LowerGates.name, lower_gates),
    (distribute.Distribute.name, distribute),
    (lower_pool.LowerPool.name, lower_pool),
    (lower_bias.LowerBias.name, lower_bias),
    (quantize.Quantize.name, quantize),
    (align.Align.name, align),
)
"""Name, and what documents the pass: its module, whose first paragraph holds the equation."""


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("passes", help="list the compiler's passes in order")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(_arguments: Namespace) -> Outcome:
    """List the passes."""
    rows = [
        {"name": name, "what": (inspect.getdoc(about) or "").split("\n\n")[0].replace("\n", " ")}
        for name, about in PASSES
    ]
    width = max(len(row["name"]) for row in rows)
    return Outcome(text="\n".join(f"{row['name']:{width}}  {row['what']}" for row in rows), data=rows)
