"""What a contributor is told is true: the files that CONTRIBUTING names are there, hooks and hosted CI call what exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import files_to_change
import pytest
import yaml

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HOSTED = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"


def named_files() -> list[str]:
    """Return the paths in CONTRIBUTING; of one with a NAME to be chosen, its folder."""
    found = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", TEXT)) | set(re.findall(r"\]\(([\w./]+)\)", TEXT))
    found.remove("spikewright/")  # in the wheel
    return sorted(str(Path(path).parent) if "NAME" in path else path for path in found)


@pytest.mark.parametrize("path", named_files())
def test_every_file_contributing_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("kind", ["neuron model", "synapse kind"])
def test_every_file_that_must_change_is_listed(kind: str) -> None:
    listed = re.findall(r"`((?:\w+/)+\w+\.py)`", TEXT.partition(f"### A {kind}\n")[2].partition("\n### ")[0])
    counted = {count.kind: count.files for count in files_to_change.counts(files_to_change.read())}

    assert [file for file in counted[kind] if file not in listed] == []


def test_every_entry_point_group_contributing_names_is_looked_for() -> None:
    groups = set(re.findall(r"`(spikewright\.\w+s)`", TEXT))
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "toolchain").rglob("*.py"))

    assert {"spikewright.backends", "spikewright.blocks", "spikewright.datasets", "spikewright.passes"} <= groups
    assert [group for group in sorted(groups) if f'"{group}"' not in source] == []


def commands() -> Iterator[str]:
    """Yield the commands of the hooks and of hosted CI."""
    hooks: Any = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    for repo in hooks["repos"]:
        assert repo["repo"] == "local"
        yield from (hook["entry"] for hook in repo["hooks"])
    for file in HOSTED:
        for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values():
            yield from (step["run"] for step in job["steps"] if "run" in step)


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_hooks_and_hosted_ci_call_what_is_there(command: str) -> None:
    words = command.split()
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)

    if words[0] == "make":
        assert set(words[1:]) <= set(targets)
    else:
        assert words[0].startswith((".venv/bin/", ".ci/"))
        assert [word for word in words[1:] if word.endswith(".py") and not (ROOT / word).is_file()] == []


@pytest.mark.parametrize("file", [HOOKS, *HOSTED], ids=lambda file: file.name)
def test_no_host_is_written_down(file: Path) -> None:
    assert "://" not in file.read_text(encoding="utf-8")
