"""The code of a page of documentation, run block by block in one folder, as a reader would.

Every fenced block of these languages is run, in the order of the page:

- ``python``: in one namespace a page; with ``title="NAME"`` it is written to that file instead.
- ``bash``: each command must end with 0, or with N where the line ends in ``# exit code N``.
- ``console``: lines after ``$ `` are commands; what follows is their output, in which ``...`` stands for anything.

A line ``--8<-- "FILE"`` stands for that file of the repository. A block is left out only where the line above it says
why: ``*Not run by the tests: REASON.*`` A page says when it is run with ``<!-- tests: slow -->`` (its first line) or
``<!-- tests: frameworks -->``.

    python tests/support/doc_blocks.py PAGE ...      writes into a page the outputs that its commands have now
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikewright.toolchain.cli import main

ROOT = Path(__file__).parents[2]
MARKS = {"", "slow", "frameworks"}
RUN, SHOWN = ("python", "bash", "console"), ("text", "yaml", "toml", "json")
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LEFT_OUT = re.compile(r"^\*Not run by the tests: (.+\S)\.\*$")
INCLUDED = re.compile(r'^--8<-- "([^"]+)"$', re.MULTILINE)
MARK = re.compile(r"^<!-- tests: (\w+) -->$", re.MULTILINE)
CODE = re.compile(r"\s+# exit code (\d+)$")
SHELL = set("|&;<>$`\\*?()")


@dataclass(frozen=True)
class Block:
    """One fenced block; ``title``: the file it is written to, or ""; ``left_out``: why it is not run, or ""."""

    language: str
    title: str
    text: str
    line: int
    left_out: str


def pages() -> list[Path]:
    """Return README and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def running() -> list[Path]:
    """Return the pages with a block that is run."""
    return [page for page in pages() if any(b.language in RUN and not b.left_out for b in blocks(page.read_text()))]


def name(page: Path) -> str:
    """Return what a page is called."""
    return str(page.relative_to(ROOT))


def when(page: Path) -> str:
    """Return how a page is marked."""
    found = MARK.search(page.read_text(encoding="utf-8"))
    return found[1] if found else ""


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page.

    Raises:
        ValueError: A block's language is none of those that are run or shown.
    """
    found = []
    for match in FENCE.finditer(text):
        words = shlex.split(match[1])
        line = text.count("\n", 0, match.start()) + 1
        if not words or words[0] not in (*RUN, *SHOWN):
            raise ValueError(f"line {line}: a block of {match[1]!r}; {', '.join((*RUN, *SHOWN))} are allowed")
        title = "".join(word.removeprefix("title=") for word in words[1:] if word.startswith("title="))
        above = text[: match.start()].rstrip("\n").rpartition("\n")[2]
        said = LEFT_OUT.match(above)
        inside = INCLUDED.sub(lambda m: (ROOT / m[1]).read_text(encoding="utf-8").rstrip("\n"), match[2])
        found.append(Block(words[0], title, inside, line, said[1] if said else ""))
    return found


class Reader:
    """Runs the blocks of a page in the working folder."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def run(self, block: Block) -> None:
        """Run one block.

        Raises:
            AssertionError: A command fails, or its output is another one than the page says.
        """
        if block.left_out or block.language in SHOWN:
            if block.title:
                Path(block.title).write_text(block.text)
            return
        if block.language == "python":
            if block.title:
                Path(block.title).parent.mkdir(parents=True, exist_ok=True)
                Path(block.title).write_text(block.text)
            else:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(block.text, f"line {block.line}", "exec"), self.names)
        elif block.language == "bash":
            for command in commands(block.text):
                self.said(command)
        else:
            for command, expected in exchanges(block.text):
                found = self.said(command)
                assert same(expected, found), f"{command}\n--- the page says\n{expected}\n--- it prints\n{found}"

    def said(self, command: str) -> str:
        """Run a command and return what it prints."""
        code = CODE.search(command)
        wanted, command = (int(code[1]), command[: code.start()]) if code else (0, command)
        command = re.sub(r"\s+# .*$", "", command)
        found, out, errors = self._ours(command) if _simple(command) else _shell(command)
        assert found == wanted, f"{command}: exit code {found}, not {wanted}\n{out}\n{errors}"
        return out if code is None or out else errors

    def _ours(self, command: str) -> tuple[int, str, str]:
        """Run a plain command of ours in this process."""
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = main(shlex.split(command)[1:])
        return code, out.getvalue(), errors.getvalue()


def _simple(command: str) -> bool:
    return (
        command.startswith("spikewright ") and not SHELL & set(command.replace("'*'", "")) and "--help" not in command
    )


def _shell(command: str) -> tuple[int, str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def commands(text: str) -> list[str]:
    """Return the commands of a block: one a line, or several lines joined by backslashes; comments apart."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def exchanges(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output below it."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = re.sub(r"\\\n\s*", " ", part).partition("\n")
        found.append((command.strip(), output))
    return found


def same(expected: str, found: str) -> bool:
    """Return whether an output is the one a page shows: a line ``...`` stands for any lines, in a line ``...`` for anything."""
    if not expected.strip():
        return True
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + r"[ ]*\n"
        for line in expected.strip("\n").splitlines()
    )
    return re.fullmatch(pattern, found.strip("\n") + "\n") is not None


def run_page(page: Path) -> int:
    """Run a page in the working folder; return how many blocks were run.

    Raises:
        AssertionError: With page and line of the block that fails.
    """
    reader, found = Reader(), blocks(page.read_text(encoding="utf-8"))
    for block in found:
        try:
            reader.run(block)
        except Exception as error:
            raise AssertionError(f"{page.relative_to(ROOT)}:{block.line}: {type(error).__name__}: {error}") from error
    return sum(block.language in RUN and not block.left_out for block in found)


def rewritten(page: Path) -> str:
    """Return a page with the outputs that its commands have now, where they differ."""
    text, reader, parts, end = page.read_text(encoding="utf-8"), Reader(), [], 0
    found = blocks(text)
    for match, block in zip(FENCE.finditer(text), found, strict=True):
        parts.append(text[end : match.start()])
        end = match.end()
        if block.language != "console" or block.left_out:
            reader.run(block)
            parts.append(match[0])
            continue
        lines = []
        for command, expected in exchanges(block.text):
            out = reader.said(command)
            lines.append(f"$ {command}\n{expected if same(expected, out) and expected.strip() else out}")
        parts.append(f"```{match[1]}\n{''.join(lines)}```")
    return "".join([*parts, text[end:]])


def rewrite(names: list[str]) -> int:
    """Write outputs into pages; return the exit code."""
    for name in names:
        page = Path(name).resolve()
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            made = rewritten(page)
        page.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(rewrite(sys.argv[1:]))
