"""The fabric: the routes of a set of core pairs, the links they use, how long a message occupies each, and what feeds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Mesh
from spikewright.hw_sim.noc import Links

Int = NDArray[np.int64]
Index = NDArray[np.int32]
Records = NDArray[Any]

ALONG_X, ALONG_Y, AT_A_CORE = range(3)

LINK = np.dtype(
    [
        ("service", np.int64),  # cycles a message occupies it
        ("crossed", np.int64),  # messages it has started
        ("axis", np.int32),
        ("injects", np.int32),  # the core whose messages enter by it, else -1
        ("ejects", np.int32),  # the core it ends at, else -1
        ("feed_start", np.int32),  # the links before it: feed[feed_start : feed_start + feeders]
        ("feeders", np.int32),
        ("turn", np.int32),  # which of them is asked first
        ("busy", np.int32),
        ("serving", np.int32),  # the message it serves or served last
        ("came_from", np.int32),  # the link whose buffer that message was in, -1 for a core
        ("held", np.int32),  # places taken in the buffer at its end
        ("head", np.int32),  # first and last message waiting in that buffer, -1 if none
        ("tail", np.int32),
        ("listed", np.int32),
    ],
    align=True,
)
"""One link: what it is, and its state in a run."""


@dataclass(frozen=True, eq=False)
class Fabric:
    """Tables for the kernels; a link here is a position in ``link``, a pair a position in ``source``.

    Args:
        link: (L,) numbers as in ``noc.Links``, ascending.
        links: (L,) records, at rest.
        inlet: (cores,) the link of each core into the mesh, else -1.
        feed: The links before each link, ascending.
        source, target: (P,) cores.
        start: (P + 1,) where the route of each pair begins in ``route``, its links in order.
        slowest: (P,) the longest service on the route.
    """

    link: Int
    links: Records
    inlet: Index
    feed: Index
    source: Index
    target: Index
    start: Index
    route: Index
    slowest: Int

    def axon_service(self, cores: int) -> tuple[Int, Int]:
        """Return, per core, the cycles of one message on its link into the mesh and on the one out of it; 0 if unused."""
        into, out_of = np.zeros(cores, np.int64), np.zeros(cores, np.int64)
        for axon, field in ((into, "injects"), (out_of, "ejects")):
            used = self.links[self.links[field] >= 0]
            axon[used[field]] = used["service"]
        return into, out_of


def fabric(mesh: Mesh, source: Int, target: Int, cores: int, link_cycles: int, chip_link_cycles: int) -> Fabric:
    """Build the fabric for distinct pairs of cores; a message goes along x first, then along y (``noc.Links.routes``).

    ``source`` and ``target`` are (n,); link times are in cycles.
    """
    numbers = Links(mesh)
    start, walked = numbers.routes(np.asarray(source, np.int64), np.asarray(target, np.int64))
    used, flat = numbers.numbered(walked)
    route = flat.astype(np.int64)
    links = np.zeros(used.size, LINK)
    links["service"] = np.where(numbers.between_chips(used), chip_link_cycles, link_cycles)
    core = used - 4 * numbers.routers
    links["axis"] = np.where(core >= 0, AT_A_CORE, np.where(numbers.is_north_south(used), ALONG_Y, ALONG_X))
    links["injects"] = np.where((core >= 0) & (core < mesh.cores), core, -1)
    links["ejects"] = np.where(core >= mesh.cores, core - mesh.cores, -1)
    inlet = np.full(cores, -1, np.int32)
    entries = np.flatnonzero(links["injects"] >= 0)
    inlet[links["injects"][entries]] = entries
    feed_start, feed = _feeders(route, start, used.size)
    links["feed_start"], links["feeders"] = feed_start[:-1], np.diff(feed_start)
    slowest = np.maximum.reduceat(links["service"][route], start[:-1]) if route.size else np.zeros(0, np.int64)
    ends = (np.asarray(source, np.int32), np.asarray(target, np.int32))
    return Fabric(
        used, links, inlet, feed.astype(np.int32), *ends, start.astype(np.int32), route.astype(np.int32), slowest
    )


def _feeders(route: Int, start: Int, links: int) -> tuple[Int, Int]:
    """Return, for each link, the links that come right before it on some route, ascending."""
    inner = np.ones(route.size, bool)
    inner[start[:-1]] = False
    here = np.flatnonzero(inner)
    steps = np.unique(route[here] * links + route[here - 1])
    base = max(links, 1)
    return np.searchsorted(steps // base, np.arange(links + 1)), steps % base
