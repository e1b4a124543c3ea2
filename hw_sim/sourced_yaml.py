"""YAML in which no number goes without unit, basis and source; a reader that names the line of everything it refuses."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import yaml

from spikewright.hw_sim.costs import BASES, Price
from spikewright.hw_sim.errors import SpikewrightError

HIGHEST = 1e15
"""Above every price, latency, power and limit, in any unit."""
LONGEST = 1 << 18
"""Characters of a file at most, and values in it."""
DEEPEST = 20
"""Lists in lists, and mappings in mappings, at most."""
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?")
"""A number as people read it: YAML 1.1 also takes 010 for 8, and 1:30 for 90."""
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it: 20 times as fast."""


def compose(text: str) -> yaml.Node | None:
    """Return the node of a text.

    Raises:
        yaml.YAMLError, ValueError: It is no YAML.
        RecursionError: It nests deeper than ``DEEPEST``; seen in the stream of events, which takes no stack.
    """
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise RecursionError
    return yaml.compose(text, Loader=LOADER)


class SourcedYaml:
    """Turns YAML nodes into numbers with their origin; ``error``: what it raises; ``sources``: the keys a number may name."""

    def __init__(self, where: str, error: type[SpikewrightError]) -> None:
        self.where = where
        self.error = error
        self.sources: dict[str, str] = {}
        self.seen = 0

    def fail(self, node: yaml.Node | None, what: str, help: str) -> SpikewrightError:
        """Return the error of a node."""
        line = f", line {node.start_mark.line + 1}" if node is not None else ""
        return self.error(what, where=f"{self.where}{line}", help=help)

    def root(self, text: str) -> yaml.Node | None:
        """Return the node of a whole file.

        Raises:
            SpikewrightError: It is too long, no YAML, or nested too deeply.
        """
        if len(text) > LONGEST:
            raise self.error(f"has {len(text):,} characters; {LONGEST:,} are read", where=self.where, help="shorten it")
        try:
            root = compose(text)
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(f"not readable as YAML: {error}", where=self.where, help="mend the syntax") from error
        except RecursionError as error:
            raise self.error(
                "is nested too deeply", where=self.where, help="write it as the files that ship"
            ) from error
        self._check_plain(root, 0)
        return root

    def _check_plain(self, node: yaml.Node | None, depth: int) -> None:
        """Refuse keys that are no texts, and aliases that hold themselves, or double what they name again and again."""
        self.seen += 1
        if depth > DEEPEST or self.seen > LONGEST:
            raise self.fail(node, "is nested too deeply", "write it as the files that ship")
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._check_plain(item, depth + 1)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise self.fail(key, "a key that is a list or a mapping", "write keys as plain words")
                self._check_plain(value, depth + 1)

    def mapping(
        self, node: yaml.Node | None, wanted: tuple[str, ...] | None, optional: str = ""
    ) -> dict[str, yaml.Node]:
        """Return the entries of a mapping node; ``wanted`` names all that must be there, and no other may be.

        Raises:
            SpikewrightError: It is no mapping, or a key is missing, unknown, or given twice; with its line.
        """
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(node, "found no mapping here", "write it as `key: value` lines")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self.text(key)
            if name in found:
                raise self.fail(key, f"{name!r} is given twice", "keep one of them")
            if wanted is not None and name not in (*wanted, optional):
                raise self.fail(key, f"unknown key {name!r}; allowed: {', '.join(wanted)}", "remove or rename it")
            found[name] = value
        missing = [key for key in wanted or () if key not in found]
        if missing:
            raise self.fail(
                node, f"missing: {', '.join(missing)}", "add it; no number goes without unit, basis and source"
            )
        return found

    def text(self, node: yaml.Node) -> str:
        """Return one text.

        Raises:
            SpikewrightError: It is a mapping or a list; with its line.
        """
        if not isinstance(node, yaml.ScalarNode):
            raise self.fail(node, "expected one text here", "write it on one line")
        return str(node.value)

    def line(self, node: yaml.Node) -> str:
        """Return one text that can stand in a line: it is a name.

        Raises:
            SpikewrightError: It is empty, or holds a line break or control character.
        """
        text = self.text(node)
        if not text.isprintable() or not text.strip():
            raise self.fail(
                node, f"the name {text!r} is empty, or holds a line break or control character", "rename it"
            )
        return text

    def number(self, node: yaml.Node) -> float:
        """Return one finite number.

        Raises:
            SpikewrightError: It is no number, not finite, or an exponent without a point, which YAML takes for a text.
        """
        value: Any = None
        if isinstance(node, yaml.ScalarNode) and DECIMAL.fullmatch(node.value):
            with suppress(yaml.YAMLError, ValueError, LookupError, AttributeError):  # tags, dates, too many digits
                value = yaml.SafeLoader("").construct_object(node)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= HIGHEST:
            what = f"expected a finite number, up to {HIGHEST:g}"
            raise self.fail(node, what, "write digits; exponents need a point, as in 1.0e+3")
        return value

    def origin(self, entries: dict[str, yaml.Node], unit: str | None) -> dict[str, Any]:
        """Return unit, basis, source and note.

        Raises:
            SpikewrightError: The basis is unknown, the source is not listed in the file, or the unit is not the
                expected one.
        """
        found: dict[str, Any] = {
            key: self.text(entries[key]) for key in ("unit", "basis", "source", "note") if key in entries
        }
        if found["basis"] not in BASES:
            raise self.fail(entries["basis"], f"basis {found['basis']!r}; allowed: {', '.join(BASES)}", "choose one")
        if found["source"] not in self.sources:
            raise self.fail(
                entries["source"],
                f"source {found['source']!r} is not listed under sources",
                "list it there, with where the number can be found",
            )
        if unit is not None and found["unit"] != unit:
            raise self.fail(
                entries["unit"], f"unit {found['unit']!r}; expected {unit!r}", f"convert the number to {unit}"
            )
        return found

    def price(self, node: yaml.Node, unit: str) -> Price:
        """Return a price with its band.

        Raises:
            SpikewrightError: Low, nominal and high are not in order from 0 up.
        """
        entries = self.mapping(node, ("low", "nominal", "high", "unit", "basis", "source"), optional="note")
        low, nominal, high = (self.number(entries[key]) for key in ("low", "nominal", "high"))
        if not 0 <= low <= nominal <= high:
            raise self.fail(node, f"low {low}, nominal {nominal}, high {high} are not in order from 0 up", "sort them")
        return Price(low, nominal, high, **self.origin(entries, unit))
