"""The README's own network deploys with its own data, word by word as printed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from spikewright.toolchain.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
def test_the_readmes_own_network_goes_all_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()  # a user's own folder of this name must not hide ours
    (tmp_path / "models" / "__init__.py").write_text("raise RuntimeError('the wrong models')\n")
    program, library = blocks("python")
    (tmp_path / "my_net.py").write_text(program)
    (commands,) = [block for block in blocks("sh") if "my_net.py" in block]

    for line in commands.splitlines():
        words = shlex.split(line)
        if words[0] == "python":
            (tmp_path / "models").rename(tmp_path / "other")
            subprocess.run([sys.executable, *words[1:]], check=True, timeout=120)
            (tmp_path / "other").rename(tmp_path / "models")
        else:
            assert words[0] == "spikewright"
            assert main(words[1:]) == 0, capsys.readouterr().err

    capsys.readouterr()
    assert main(["run", "my_net", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["samples"] == 284
    assert numbers["accuracy"] > 0.9
    assert (tmp_path / "my_net.html").stat().st_size > 10_000
    (tmp_path / "models").rename(tmp_path / "other")  # my_net imports ours
    (tmp_path / "my_net.html").unlink()
    (tmp_path / "library.py").write_text(library)
    done = subprocess.run([sys.executable, "library.py"], check=True, timeout=300, capture_output=True, text=True)
    assert "equal, bit for bit" in done.stdout
    assert (tmp_path / "my_net.html").stat().st_size > 10_000


def test_every_verb_the_readme_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    named = {match for block in blocks("sh") for match in re.findall(r"^spikewright (\w+)", block, flags=re.MULTILINE)}

    assert main(["--help"]) == 0

    listing = capsys.readouterr().out
    assert named
    assert [verb for verb in sorted(named) if not re.search(rf"^\s+{verb}\s", listing, flags=re.MULTILINE)] == []
