"""What a deployment tells: deploy, manifest, run and every form of the report say the same; --strict refuses losses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import tiny_deployment, tiny_graph, tiny_samples

from spikewright.toolchain import bundle, limits
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import PassError
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph

NOTED = Diagnostic("export-fails", "net.net", "is not written", severity="note")
LOST = Diagnostic("spikes-differ", "layer 'conv'", "4.0 % of its <spikes> differ", "give it more bits")
ASSUMED = Diagnostic("reset-assumed", "node 'lif'", "resets to 0", "say it with --reset", "assumption")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    folder = tmp_path_factory.mktemp("told") / "bundle"
    replace(tiny_deployment(), diagnostics=(NOTED, ASSUMED, LOST)).save(folder)
    return bundle.load(folder)


def test_losses_come_first_and_each_has_its_help(told: Deployment) -> None:
    assert told.diagnostics == (NOTED, ASSUMED, LOST)
    assert told.text().splitlines()[-5:] == [
        "  WARNING: layer 'conv': 4.0 % of its <spikes> differ",
        "    help: give it more bits",
        "  assumed: node 'lif': resets to 0",
        "    help: say it with --reset",
        "  note: net.net: is not written",
    ]
    assert [one["code"] for one in told.to_dict()["diagnostics"]] == ["export-fails", "reset-assumed", "spikes-differ"]


def test_run_and_report_say_the_same(told: Deployment) -> None:
    run, report = told.run(limit=1), told.report(limit=1)

    for text in (run.text(), report.text(), report.html()):
        assert "4.0 % of its " in text
    assert run.to_dict()["diagnostics"] == report.to_dict()["diagnostics"] == told.to_dict()["diagnostics"]
    assert "&lt;spikes&gt;" in report.html()


def test_strict_refuses_a_loss_and_nothing_else() -> None:
    def deploy(*found: Diagnostic) -> Deployment:
        options = Options(strict=True)
        return deploy_graph(tiny_graph(), options, tiny_samples(), name="tiny", diagnostics=found)

    assert deploy(ASSUMED, NOTED).diagnostics == (ASSUMED, NOTED)
    with pytest.raises(PassError, match="1 loss beyond the limits:"):
        deploy(ASSUMED, LOST)


def test_the_page_of_losses_shows_every_limit_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
    shown = dict(re.findall(r"^\| `([A-Z_]+)` \| ([0-9.]+) \|", page, re.MULTILINE))
    held = {name: value for name, value in vars(limits).items() if name.isupper()}

    assert {name: float(value) for name, value in shown.items()} == held
