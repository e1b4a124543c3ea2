"""Golden texts: graphs and programs of six small nets verbatim, and what every net of the zoo answers on 8 samples.

A refactor leaves ``tests/golden`` unchanged; a change that means to alter it runs ``python tests/test_golden.py [--data DIR]``
and says in its commit why a line changes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_nets import NETS, golden_deployment

from spikewright.hw_sim import simulate
from spikewright.hw_sim.compiled.stages import compile as compile_program
from spikewright.toolchain.deployment import Deployment

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = 8


def counted(made: Deployment, count: int = SAMPLES) -> dict[str, Any]:
    """Answers, spikes a layer and SOPs of the first samples on the machine."""
    assert made.samples is not None
    payload = made.encode(made.samples.x[:, :count])
    source = made.program.populations[0].name
    trace = simulate(compile_program(made.program, made.chip), {source: payload}, record=True)
    spikes = {name: int((out != 0).sum()) for name, out in sorted(trace.spikes.items())}
    return {
        "answers": np.asarray(trace.outputs).astype(int).tolist(),
        "spikes": spikes,
        "sops": int(trace.sops.sum()),
    }


def text_of(name: str) -> str:
    made = golden_deployment(name)
    run = counted(made, 4)
    parts = {
        "captured": str(made.captured),
        "lowered": str(made.lowered),
        "integer": str(made.integer),
        "program": str(made.program),
        "run on 4 samples": "\n".join(f"{key}: {value}" for key, value in run.items()),
    }
    if made.host is not None:
        parts["host"] = str(made.host.graph)
    return "\n\n".join(f"## {part}\n{body}" for part, body in parts.items()) + "\n"


@pytest.mark.parametrize("name", NETS)
def test_graphs_and_program_of_a_small_net_are_as_they_were(name: str) -> None:
    assert text_of(name) == (GOLDEN / f"{name}.txt").read_text()


def zoo_answers(name: str, data: Path | None) -> dict[str, Any]:
    """Deploy a net of the zoo, causal ones with causal gates, and count; or say how it is refused."""
    from zoo_nets import deployed, gates_of

    from spikewright.toolchain.errors import ToolchainError

    gates = gates_of(name)
    try:
        return {"gates": gates, **counted(deployed(name, gates, data))}
    except ToolchainError as error:
        return {"gates": gates, "refused": f"{type(error).__name__}: {error.where}"}


def zoo_names() -> list[str]:
    from spikewright.models import zoo

    return [name for name in zoo.names() if zoo.card(name).accuracy is not None]


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo_names())
def test_a_net_of_the_zoo_answers_as_it_did(name: str, request: pytest.FixtureRequest) -> None:
    from spikewright.models import zoo

    data = None if zoo.card(name).dataset == "digits" else request.getfixturevalue("data_dir")

    found = zoo_answers(name, data)

    assert found == json.loads((GOLDEN / "zoo.json").read_text())[name]


if __name__ == "__main__":
    import sys

    folder = Path(sys.argv[sys.argv.index("--data") + 1]) if "--data" in sys.argv else None
    GOLDEN.mkdir(exist_ok=True)
    for net in NETS:
        (GOLDEN / f"{net}.txt").write_text(text_of(net))
    if folder is not None:
        answers = {name: zoo_answers(name, folder) for name in zoo_names()}
        lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in answers.items()]
        (GOLDEN / "zoo.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
