"""What stands around the code: the docstrings' floor, citation, issue templates, changelog, README's length."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from doc_blocks import ROOT


@pytest.fixture(scope="module")
def lint() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / ".ci" / "docstrings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_fewer_docstrings_tell_than_once_did(lint: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint.main([]) == 0, capsys.readouterr()


def test_the_floor_rises_and_never_sinks(lint: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    floor = tmp_path / "docstrings.txt"
    monkeypatch.setattr(lint, "FLOOR", floor)
    floor.write_text("100000\n")

    assert lint.main(["--raise"]) == 1
    assert floor.read_text() == "100000\n"
    floor.write_text("1\n")
    assert lint.main(["--raise"]) == 0
    assert int(floor.read_text()) > 500


def test_what_the_door_does_not_say_is_named(lint: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "toolchain").mkdir()
    (tmp_path / "toolchain" / "api.py").write_text('def load(folder):\n    """Return a deployment."""\n')

    assert lint.lacking(tmp_path) == [
        "toolchain/api.py: load: says nothing of folder",
        "toolchain/api.py: load: says nothing of what it raises",
    ]


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(cited)
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert f"\n## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_issue_templates_are_forms() -> None:
    forms = [p for p in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml"]

    assert len(forms) >= 3
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(form)
        assert all(part["type"] in ("textarea", "input", "dropdown", "markdown") for part in form["body"])


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= 150
    targets = [part.split(")")[0].split("#")[0] for part in text.split("](")[1:]]
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []
