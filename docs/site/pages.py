"""What mkdocs asks while it builds: parts of pages that are made from the code, root files as pages, links that leave docs/.

A line ``<!-- made: NAME -->`` in a page is replaced by what ``MADE[NAME]`` returns.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs.site.floors import floors  # noqa: E402 (the root is no installed package)

from spikewright.hw_sim.chip import list_chips  # noqa: E402
from spikewright.toolchain.cli import build_parser  # noqa: E402
from spikewright.toolchain.report.texts import BASES, CLASSES, GLOSSARY, MODELLED, NOT_MODELLED  # noqa: E402

OUTSIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "examples/README.md": "examples.md",
           "README.md": "index.md"}  # fmt: skip
"""Files of the root that are pages of the site too."""
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the files of the root."""
    for source, page in OUTSIDE.items():
        if page != "index.md":
            moved = partial(_moved, folder=posixpath.dirname(source), page=page)
            text = LINK.sub(moved, (ROOT / source).read_text(encoding="utf-8"))
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Make what is made, and mend links that leave docs/."""
    text = re.sub(r"^<!-- made: ([\w-]+) -->$", lambda m: MADE[m[1]](), markdown, flags=re.MULTILINE)
    at = page.file.src_uri
    if at in OUTSIDE.values() and at != "index.md":
        return text
    return LINK.sub(lambda m: _moved(m, posixpath.dirname(f"docs/{at}"), at), text)


def _moved(match: re.Match[str], folder: str, page: str) -> str:
    """Return a link as the site has it; one to a file that is no page becomes its name."""
    target = posixpath.normpath(posixpath.join(folder, match[2]))
    if target.startswith("docs/"):
        inside = target.removeprefix("docs/")
    elif target in OUTSIDE:
        inside = OUTSIDE[target]
    else:
        if not (ROOT / target).exists():
            raise FileNotFoundError(f"{page}: {match[2]} does not exist")
        return match[1] if match[1].startswith("`") else f"{match[1]} (`{target}`)"
    return f"[{match[1]}]({posixpath.relpath(inside, posixpath.dirname(page) or '.')}{match[3] or ''})"


# ------------------------------------------------------------------------------------------------ made from the code
def command_line() -> str:
    """Return every verb with its help, from the parser itself."""
    parser = build_parser()
    (verbs,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    said = {choice.dest: choice.help or "" for choice in verbs._choices_actions}
    parts = ["| verb | |\n|---|---|"]
    parts += ["\n".join(f"| [`{name}`](#{name}) | {said.get(name, '')} |" for name in verbs.choices)]
    for name, verb in verbs.choices.items():
        late = getattr(verb, "late", None)
        if late is not None:
            late(verb)
            verb.late = None
        parts += ["", f"## {name}", "", said.get(name, ""), "", f"```text\n{_usage(verb)}\n```", *_options(verb)]
    return "\n".join(parts)


def _usage(verb: argparse.ArgumentParser) -> str:
    return " ".join(verb.format_usage().split()).removeprefix("usage: ")


def _options(verb: argparse.ArgumentParser) -> list[str]:
    lines = ["", "| argument | what it does |", "|---|---|"]
    formatter = verb._get_formatter()
    for action in verb._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        words = action.option_strings or [str(action.metavar or action.dest)]
        value = (
            ""
            if not action.option_strings or action.nargs == 0
            else f" {formatter._format_args(action, action.dest.upper())}"
        )
        help = formatter._expand_help(action) if action.help else ""
        lines.append(f"| `{_cell(', '.join(words) + value)}` | {_cell(help)} |")
    return lines


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _items(texts: Any) -> str:
    return "\n".join(f"- {text}" for text in texts)


MADE: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "floors": floors,
    "glossary": lambda: "\n\n".join(f"**{word}**\n:   {text}" for word, text in GLOSSARY),
    "classes": lambda: "| class | what |\n|---|---|\n" + "\n".join(f"| {k} | {v} |" for k, v in CLASSES.items()),
    "bases": lambda: "| basis | what it means |\n|---|---|\n" + "\n".join(f"| {k} | {v} |" for k, v in BASES.items()),
    "modelled": lambda: _items(MODELLED),
    "not-modelled": lambda: _items(NOT_MODELLED),
    "chips": lambda: ", ".join(f"`{name}`" for name in list_chips()),
}
