"""The JSON Schemas of docs/reference/schemas hold for what a bundle has and ``--json`` prints, and they can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import pytest
from command_line import linear, spikes
from doc_blocks import ROOT
from jsonschema import Draft202012Validator
from tiny import tiny_bundle

from spikewright.toolchain.cli import main

FOLDER = ROOT / "docs" / "reference" / "schemas"
NAMES = {path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.schema.json")}


def faults(name: str, data: Any) -> list[str]:
    """Return what of some data does not fit a schema."""
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    found = Draft202012Validator(schema).iter_errors(data)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("schemas") / "tiny")


def asked(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    assert main([str(word) for word in words]) in (0, 1)
    return json.loads(capsys.readouterr().out)


def test_the_schemas_are_schemas_and_listed() -> None:
    assert {"manifest", "check", "run", "report", "lowerings", "explore"} == NAMES
    page = (ROOT / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    for name in NAMES:
        Draft202012Validator.check_schema(json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8")))
        assert f"schemas/{name}.schema.json" in page


def test_a_manifest_fits(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))

    assert faults("manifest", manifest) == []
    assert faults("manifest", {**manifest, "seal": "x"}) == ["seal: 'x' does not match '^[0-9a-f]{64}$'"]
    assert faults("manifest", {key: value for key, value in manifest.items() if key != "strategies"}) != []


@pytest.mark.parametrize("backend", ["interpreter", "hw_sim"])
def test_a_run_fits(bundle: Path, backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, "run", bundle, "--backend", backend, "--json")

    assert faults("run", found) == []
    assert faults("run", {**found, "samples": "many"}) == ["samples: 'many' is not of type 'integer'"]


def test_a_check_of_a_bundle_and_of_a_model_fits(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nir.write(tmp_path / "net.nir", linear())
    found = asked(capsys, "check", bundle, "--json")

    assert faults("check", found) == []
    assert (
        faults("check", asked(capsys, "check", tmp_path / "net.nir", "--dt", "1e-3", "--timesteps", 4, "--json")) == []
    )
    found["blocks"][0]["cost_class"] = "E"
    assert any("'E' is not one of" in fault for fault in faults("check", found))


def test_a_report_fits(bundle: Path, tmp_path: Path) -> None:
    assert main(["report", str(bundle), "--json", str(tmp_path / "report.json")]) == 0

    found = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert faults("report", found) == []
    found["energy_per_sample"]["total"]["basis"] = "guessed"
    assert any("'guessed' is not one of" in fault for fault in faults("report", found))


def test_an_exploration_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nir.write(tmp_path / "net.nir", linear())
    data = spikes(tmp_path / "data.npz")
    words = ("--dt", "1e-3", "--timesteps", 4, "--calibrate", data, "--samples", data, "--axis", "weight_bits=8,6,99")
    found = asked(capsys, "explore", tmp_path / "net.nir", *words, "--out", tmp_path / "found.sqlite", "--json")

    assert faults("explore", found) == []
    assert faults("explore", {**found, "front": ["first"]}) == ["front/0: 'first' is not of type 'integer'"]


def test_the_table_of_lowerings_fits() -> None:
    found = json.loads((ROOT / "docs" / "results" / "lowerings.json").read_text(encoding="utf-8"))

    assert faults("lowerings", found) == []
    assert faults("lowerings", [{**found[0], "strategy": "hope"}]) != []
