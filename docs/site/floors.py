"""The picture of the house, drawn from the import floors that the linter enforces (.importlinter): it cannot be wrong."""

from __future__ import annotations

import ast
import configparser
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
WIDTH, ROW, GAP, LEFT = 1000, 26, 5, 12
CHARACTER = 8.1
"""Width of a letter, px."""
DOES = {
    "export": "the border: torch capture, NIR, Lava, netx, ONNX",
    "models": "the networks, in torch: neurons, attention, training, zoo",
    "toolchain": "the compiler: graph, passes, checker, mapping, report; no torch",
    "hw_sim": "the machine: chips, integer neurons and synapses, engine, timing, counters",
}


def packages() -> list[str]:
    """Return the four packages, the highest first."""
    return [line.removeprefix("spikewright.") for line in _contract("floors", "layers")]


def layers(package: str) -> list[list[str]]:
    """Return the modules of a package floor by floor, the highest first; those without inner floors on one."""
    if package in ("toolchain", "hw_sim"):
        return [line.replace("|", " ").replace(":", " ").split() for line in _contract(package, "layers")]
    found = {p.stem for p in (ROOT / package).iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    return [sorted(found - {"__init__", "__main__", "errors"})]


def floors() -> str:
    """Return the picture as inline SVG: four packages, their floors, a module's first sentence as its tooltip."""
    parts: list[str] = []
    y = 10
    for package in packages():
        rows = [part for floor in layers(package) for part in _broken(floor)]
        height = 34 + len(rows) * (ROW + GAP) + 6
        parts.append(f'<rect class="package" x="2" y="{y}" width="{WIDTH - 4}" height="{height}" rx="8"/>')
        parts.append(f'<text class="name" x="{LEFT}" y="{y + 22}">{package}</text>')
        parts.append(f'<text class="small" x="{LEFT + 110}" y="{y + 22}">{escape(DOES[package])}</text>')
        for k, row in enumerate(rows):
            parts += _row(package, row, y + 34 + k * (ROW + GAP))
        y += height + 14
    return f'<svg class="floors" viewBox="0 0 {WIDTH} {y}" role="img" aria-label="packages and floors">{"".join(parts)}</svg>'


def _contract(name: str, key: str) -> list[str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return [line.strip() for line in parser[f"importlinter:contract:{name}"][key].splitlines() if line.strip()]


def _width(name: str) -> float:
    return len(name) * CHARACTER + 16


def _broken(floor: list[str]) -> list[list[str]]:
    """Return a floor in as many rows as it takes."""
    rows: list[list[str]] = [[]]
    for name in floor:
        if sum(_width(n) + GAP for n in (*rows[-1], name)) > WIDTH - 2 * LEFT:
            rows.append([])
        rows[-1].append(name)
    return rows


def _row(package: str, names: list[str], y: float) -> list[str]:
    parts, x = [], float(LEFT)
    for name in names:
        wide = _width(name)
        parts.append(
            f'<g><title>{escape(_sentence(package, name))}</title><rect x="{x:.0f}" y="{y}" width="{wide:.0f}" '
            f'height="{ROW}" rx="4"/><text x="{x + 8:.0f}" y="{y + 17}">{name}</text></g>'
        )
        x += wide + GAP
    return parts


def _sentence(package: str, name: str) -> str:
    """Return the first sentence of a module's docstring."""
    path = ROOT / package / f"{name}.py"
    path = path if path.is_file() else ROOT / package / name / "__init__.py"
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].replace("\n", " ")
