"""How many source files must change for a new block, neuron model, synapse kind, pass, chip or backend; fails above the limits.

A file must change for a new thing of a kind if it names the one that stands for the kind: as an identifier, or as a string of
one word (a dispatch by name). Prose and comments do not count; the four packages do, tests do not.

    python tests/support/files_to_change.py     prints the counts and the files; exit 1 if one is above its limit
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("hw_sim", "toolchain", "models", "export")
GROUP = "spikewright"

NEURON = ("DeltaRelu", "delta_relu", "Accumulator")
"""Stands for a neuron model: its soma and kernel, and the float op that becomes it."""
USERS = ("toolchain/blocks/", "toolchain/attention_block.py", "toolchain/from_nir/integrators.py")
"""Papers, and what their blocks share, need neurons of certain models, as NIR's integrators do that are brought to where a chip
has them; a new model changes none of them."""
SYNAPSES = ("ConvSynapses", "ConvKernel")
"""Stands for a synapse kind: the machine's class, and its form in the engine."""
WRITERS = ("toolchain/to_nir.py", "export/onnx/")
"""What writes a net in a standard's own vocabulary: what that has no word for is refused there by name."""
TRAINERS = ("models/lowered/",)
"""Where a lowered net is trained: a neuron without a gradient is refused there by name, synapses are taken as a list."""
REUSED = ("toolchain/passes/", "toolchain/to_nir.py")
"""A pass may be a step of another, or of a writer; a new one changes none of them."""
CLOSED = ("export/netx/", "toolchain/vendor/")
"""A foreign format, and the vendor's memory format, have a vocabulary of their own: a new kind is refused there by name."""
NEURON_OUTSIDE, SYNAPSES_OUTSIDE = (*USERS, *WRITERS, *TRAINERS), (*CLOSED, *TRAINERS)
CHIP = "kapoho-point"
"""Stands for a chip: one that ships and is nobody's default."""
FAMILIES = ("malif", "gac", "tcja", "staa", "staalif", "AttentiveLif", "GatedCoding", "JointGate", "StaaLif")
"""Names of attention blocks, whole or as a part of an identifier (``lower_staa``); those of the entry points come on top."""

PAPERS = ("toolchain/blocks/", "models/", "export/foreign/")
"""Where papers are named: the blocks, the torch modules, and the tables from the authors' classes to those."""

Names = Mapping[str, frozenset[str]]
"""What each source file names, by its path from the root."""


@dataclass(frozen=True)
class Count:
    """What a new thing of a kind takes: files outside its own, files of its own, and the limit for both together."""

    kind: str
    own: int
    limit: int
    files: tuple[str, ...] = field(default=())
    outside: tuple[str, ...] = field(default=())
    """Folders that are not counted; why, stands where they are listed."""

    @property
    def total(self) -> int:
        """How many files must change or come."""
        return self.own + len(self.files)

    def __str__(self) -> str:
        """One line, and the files."""
        verdict = "" if self.total <= self.limit else "  TOO MANY"
        without = f", without {', '.join(self.outside)}" if self.outside else ""
        head = f"{self.kind}: {self.total} of at most {self.limit}{without}{verdict}"
        return head + "".join(f"\n    {file}" for file in self.files)


def names_in(path: Path) -> frozenset[str]:
    """Return the identifiers of a file, and its strings of one word."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found.add(name)
            case ast.ImportFrom(module=str(name)) | ast.alias(name=name):
                found.update(name.split("."))
            case ast.Constant(value=str(word)) if re.fullmatch(r"[\w-]+", word):
                found.add(word)
    return frozenset(found)


def read(root: Path = ROOT) -> Names:
    """Return what every source file of the packages names."""
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    return {path.relative_to(root).as_posix(): names_in(path) for path in paths}


def naming(names: Names, words: Iterable[str], outside: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the files that name one of the words, but for those under the paths ``outside``."""
    wanted = set(words)
    return tuple(file for file, found in names.items() if found & wanted and not file.startswith(outside))


def parts(name: str) -> set[str]:
    """Return a name and the words it is made of: ``lower_staa`` names ``staa``, ``StaaRule`` too; a net of the zoo does not."""
    if "-" in name:
        return {name}
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {name, *(word.lower() for word in words)}


def entry_points(group: str, root: Path = ROOT) -> dict[str, str]:
    """Return the entry points of a group, name to ``module:attribute``, as pyproject.toml lists them."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, str] = project["entry-points"].get(f"{GROUP}.{group}", {})
    return found


def block(names: Names) -> Count:
    """A torch module and a block file; nobody else in the compiler, the machine and the exporters names a family."""
    classes = [point.partition(":")[2] for point in entry_points("blocks").values()]
    families = {*FAMILIES, *classes, *(name.lower() for name in classes)}
    split = {file: frozenset().union(*map(parts, found)) for file, found in names.items()}
    return Count("block", 2, 2, naming(split, families, outside=PAPERS))


def compiler_pass(names: Names) -> Count:
    """A file, and the line that registers it (an entry point, or the pipeline's tuple); of all passes, the worst."""
    defined = [
        (file, node.name)
        for file in names
        if file.startswith("toolchain/passes/")
        for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Pass" for base in node.bases)
    ]
    outside = [naming(names, (name,), outside=(file, *REUSED)) for file, name in defined]
    return Count("pass", 1, 2, max(outside, key=len), REUSED)


def backend(names: Names) -> Count:
    """A file and its entry point; of all backends, the worst."""
    outside = []
    for point in entry_points("backends").values():
        module, _, attribute = point.removeprefix(f"{GROUP}.").partition(":")
        outside.append(naming(names, (attribute,), outside=(module.replace(".", "/"),)))
    return Count("backend", 1, 1, max(outside, key=len))


def counts(names: Names) -> tuple[Count, ...]:
    """Count every kind."""
    return (
        block(names),
        Count("neuron model", 0, 14, naming(names, NEURON, outside=NEURON_OUTSIDE), NEURON_OUTSIDE),
        Count("synapse kind", 0, 8, naming(names, SYNAPSES, outside=SYNAPSES_OUTSIDE), SYNAPSES_OUTSIDE),
        compiler_pass(names),
        Count("chip", 1, 1, naming(names, (CHIP,))),
        backend(names),
    )


def main() -> int:
    """Print the counts; return the exit code."""
    found = counts(read())
    print("files that change for a new ...")
    for count in found:
        print(count)
    return 1 if any(count.total > count.limit for count in found) else 0


if __name__ == "__main__":
    sys.exit(main())
