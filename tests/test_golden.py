"""Golden texts: graphs and programs of six small nets verbatim; ``models/test_zoo_deploys.py`` has the answers of the zoo.

A refactor leaves ``tests/golden`` unchanged; a change that means to alter it runs ``python tests/test_golden.py [--data DIR]``
and says in its commit why a line changes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden_nets import NETS, counted, golden_deployment

GOLDEN = Path(__file__).parent / "golden"


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


if __name__ == "__main__":
    import sys

    from zoo_nets import classifying, zoo_answers

    folder = Path(sys.argv[sys.argv.index("--data") + 1]) if "--data" in sys.argv else None
    GOLDEN.mkdir(exist_ok=True)
    for net in NETS:
        (GOLDEN / f"{net}.txt").write_text(text_of(net))
    if folder is not None:
        answers = {name: zoo_answers(name, folder) for name in classifying()}
        lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in answers.items()]
        (GOLDEN / "zoo.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
