"""The order of evaluation: feed-forward populations whole, those on a cycle in blocks of its shortest feedback."""

from __future__ import annotations

from dataclasses import dataclass

from spikewright.hw_sim.program import Program


@dataclass(frozen=True)
class Group:
    """Populations evaluated together: one feed-forward population, or the members of one recurrent component.

    Args:
        names: Members in program order.
        block: Timesteps that may be evaluated at once; 0 is all of them.
    """

    names: tuple[str, ...]
    block: int


def groups(program: Program) -> tuple[Group, ...]:
    """Return the strongly connected components of the program, sources first."""
    position = {p.name: i for i, p in enumerate(program.populations)}
    found = []
    for members in _components(program):
        ordered = tuple(sorted(members, key=position.__getitem__))
        back = [
            program.lag(p)
            for p in program.projections
            if p.source in members and p.target in members and position[p.source] >= position[p.target]
        ]
        found.append(Group(ordered, min(back) if back else 0))
    return tuple(found)


def _components(program: Program) -> list[set[str]]:
    """Tarjan's algorithm without recursion; components come out in topological order of the condensed graph."""
    names = [p.name for p in program.populations]
    incoming: dict[str, list[str]] = {name: [] for name in names}
    for projection in program.projections:
        incoming[projection.target].append(projection.source)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[set[str]] = []
    for root in names:
        if root in index:
            continue
        work = [(root, iter(incoming[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            node, sources = work[-1]
            for source in sources:
                if source not in index:
                    index[source] = low[source] = len(index)
                    stack.append(source)
                    work.append((source, iter(incoming[source])))
                    break
                if source in stack:
                    low[node] = min(low[node], index[source])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    cut = stack.index(node)
                    components.append(set(stack[cut:]))
                    del stack[cut:]
    return components
