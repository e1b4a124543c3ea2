"""The plan of a Lava net: which processes, with which integers, connected how; plain data that two processes exchange."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikewright.hw_sim import io, somas

MAX_GATES = 4
"""Gate ports of our LIF process; Lava needs them by name."""


@dataclass(frozen=True, eq=False)
class Node:
    """One Lava process: ``kind`` is a key of ``export.lava.build.MAKERS``, ``parameters`` its arguments."""

    name: str
    kind: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Edge:
    """Messages of ``source`` go to ``port`` of ``target``."""

    source: str
    target: str
    port: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A net to build and how long to run it.

    Args:
        nodes: The processes.
        edges: Their connections.
        records: Array files (samples, T, n) that are written, per op: state name -> file name.
        steps: Chip steps until the last sample has left the last layer.
        period: Chip steps between two samples.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    records: Mapping[str, Mapping[str, str]]
    steps: int
    period: int

    def stock(self) -> dict[str, int]:
        """Count the processes by kind."""
        kinds = [node.kind for node in self.nodes]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def merge(plans: Sequence[Plan]) -> Plan:
    """Return several nets as one, side by side; recordings stay with the parts."""
    nodes = [
        Node(f"{i}/{node.name}", node.kind, node.parameters) for i, plan in enumerate(plans) for node in plan.nodes
    ]
    edges = [Edge(f"{i}/{e.source}", f"{i}/{e.target}", e.port) for i, plan in enumerate(plans) for e in plan.edges]
    if len(plans) > 1:
        edges += [Edge(node.name, "anchor", "together") for node in nodes if node.kind == "feed"]
        nodes.append(Node("anchor", "anchor", {}))
    return Plan(tuple(nodes), tuple(edges), {}, max(plan.steps for plan in plans), max(plan.period for plan in plans))


def save(plan: Plan, folder: Path) -> None:
    """Write ``plan.json`` and ``plan.npz``."""
    arrays: dict[str, np.ndarray] = {}
    nodes = [
        [node.name, node.kind, io.encode(dict(node.parameters), node.name, arrays, somas.KINDS)] for node in plan.nodes
    ]
    edges = [[edge.source, edge.target, edge.port] for edge in plan.edges]
    records = {name: dict(files) for name, files in plan.records.items()}
    text = {"nodes": nodes, "edges": edges, "records": records, "steps": plan.steps, "period": plan.period}
    (folder / "plan.json").write_text(json.dumps(text))
    np.savez(folder / "plan.npz", **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle


def load(folder: Path) -> Plan:
    """Read what ``save`` wrote."""
    text = json.loads((folder / "plan.json").read_text())
    with np.load(folder / "plan.npz", allow_pickle=False) as arrays:
        nodes = tuple(
            Node(name, kind, io.decode(parameters, arrays, somas.KINDS)) for name, kind, parameters in text["nodes"]
        )
    edges = tuple(Edge(*edge) for edge in text["edges"])
    return Plan(nodes, edges, text["records"], text["steps"], text["period"])
