"""``spikewright nir``: write a model as standard NIR, which every tool that speaks NIR reads; batch norms folded."""

from __future__ import annotations

from argparse import Namespace, _SubParsersAction
from pathlib import Path
from typing import Any

from spikewright.toolchain import nirx
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.cli.outputs import check_outputs
from spikewright.toolchain.cli.parser import add_declared, add_folder_option, values
from spikewright.toolchain.diagnostics import lines, plain
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.options import Options, Reading, declared, with_options
from spikewright.toolchain.to_nir import to_nir

OPTIONS = tuple(
    one for one in declared(Options) if one.name in {"timesteps", "dt_s"} | {o.name for o in declared(Reading)}
)


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("nir", help="write a model as standard NIR, batch norms folded")
    parser.add_argument("model", metavar="MODEL", help="a model as deploy takes it")
    parser.add_argument("--out", type=Path, metavar="FILE.nir", help="where to; replaced if it exists")
    add_declared(parser, OPTIONS)
    add_folder_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> Outcome:
    """Write the file; a net that standard NIR has no nodes for is refused by the name of the op.

    Raises:
        InputError: The file does not end in ``.nir``.
    """
    out: Path | None = arguments.out
    if out is None or out.suffix != ".nir":
        raise InputError(f"{out}; a .nir file is expected", where="--out", help="give --out FILE.nir")
    check_outputs({"--out": out}, arguments)
    given = values(arguments, OPTIONS)
    imported = load_model(arguments.model, data=arguments.data)
    options = with_options(Options, given, "the verb nir")
    imported.refuse_folder(arguments.data)
    graph = imported.float_graph(dt_s=options.dt_s, timesteps=options.timesteps, reading=options)
    source = imported.nir_graph
    made = to_nir(graph, {} if source is None else source.metadata)
    nirx.write(out, made)
    told = imported.assumed(dt_s=options.dt_s, reading=options)
    text = [f"{imported.name}: {len(made.nodes)} standard nodes, T = {graph.timesteps}: {out}", *lines(told)]
    return Outcome(
        text="\n  ".join(text),
        data={"out": str(out), "nodes": len(made.nodes), "diagnostics": plain(told)},
    )
