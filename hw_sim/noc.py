"""The mesh: where a logical core is, which links an XY route takes, and how many messages each link carries.

Logical core k is core ``k % usable`` of chip ``k // usable``; tiles are numbered row by row on a chip, chips row by row on the
board, and the tiles of all chips form one grid. A route goes along x first, then along y. Links: each core has one into its
router and one out of it, each router has one to every neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.chip import Mesh

Index = NDArray[np.int64]

EAST, WEST, NORTH, SOUTH = range(4)
DIRECTIONS = ("east", "west", "north", "south")
ROUTES = 1 << 16
"""Routes that are walked at once: links of 64 bits, some ten times over, take little room so."""


def coordinates(mesh: Mesh, cores: Index) -> tuple[Index, Index]:
    """Return the x and y of the routers of logical cores on the board's grid.

    From (n,) core numbers to two (n,), in routers.
    """
    chip, local = np.divmod(np.asarray(cores, np.int64), mesh.usable_cores_per_chip)
    tile = local // mesh.cores_per_tile
    x = (chip % mesh.chips_x) * mesh.tiles_x + tile % mesh.tiles_x
    y = (chip // mesh.chips_x) * mesh.tiles_y + tile // mesh.tiles_x
    return x, y


def hops(mesh: Mesh, source: Index, target: Index) -> tuple[Index, Index]:
    """Return the east-west and the north-south link crossings between cores.

    From (n,) sources and targets to two (n,); a message goes along x first, then along y.
    """
    (x0, y0), (x1, y1) = coordinates(mesh, source), coordinates(mesh, target)
    return np.abs(x1 - x0), np.abs(y1 - y0)


@dataclass(frozen=True)
class Links:
    """Numbers the links of a mesh: router links first, then core-to-router, then router-to-core."""

    mesh: Mesh

    @property
    def columns(self) -> int:
        """Routers in a row of the board's grid."""
        return self.mesh.chips_x * self.mesh.tiles_x

    @property
    def routers(self) -> int:
        """Routers on the board."""
        return self.columns * self.mesh.chips_y * self.mesh.tiles_y

    @property
    def count(self) -> int:
        """All links."""
        return 4 * self.routers + 2 * self.mesh.cores

    def router(self, x: Index, y: Index, direction: Index) -> Index:
        """Return the links that leave routers (x, y) in directions; all (n,)."""
        return 4 * (y * self.columns + x) + direction

    def into(self, core: int) -> int:
        """Return the link from a core into its router."""
        return 4 * self.routers + core

    def out_of(self, core: int) -> int:
        """Return the link from a router to its core."""
        return 4 * self.routers + self.mesh.cores + core

    def name(self, link: int) -> str:
        """Return a readable name, e.g. ``router (3, 1) east`` or ``core 7 out``."""
        inner = link - 4 * self.routers
        if inner >= self.mesh.cores:
            return f"core {inner - self.mesh.cores} in"
        if inner >= 0:
            return f"core {inner} out"
        tile, direction = divmod(link, 4)
        return f"router ({tile % self.columns}, {tile // self.columns}) {DIRECTIONS[direction]}"

    def is_north_south(self, links: Index) -> NDArray[np.bool_]:
        """Return which links run north-south. From (n,) links to (n,)."""
        return (links < 4 * self.routers) & (links % 4 >= NORTH)

    def between_chips(self, links: Index) -> NDArray[np.bool_]:
        """Return which links cross from one chip to the next. From (n,) links to (n,)."""
        tile, direction = np.divmod(np.asarray(links, np.int64), 4)
        x, y = tile % self.columns % self.mesh.tiles_x, tile // self.columns % self.mesh.tiles_y
        edge = np.choose(direction, (x == self.mesh.tiles_x - 1, x == 0, y == 0, y == self.mesh.tiles_y - 1))
        return np.asarray((links < 4 * self.routers) & edge, bool)

    def route(self, source: int, target: int) -> list[int]:
        """Return the links of the XY route between two cores, core links included."""
        found: list[int] = self.routes(np.array([source]), np.array([target]))[1].tolist()
        return found

    def routes(self, source: Index, target: Index) -> tuple[Index, NDArray[np.int32]]:
        """Return the links of XY routes behind each other: route k has ``start[k] : start[k + 1]``.

        From two (n,) of cores to start (n + 1,) and links (L,), core links included.
        """
        across, along = hops(self.mesh, source, target)
        start = np.concatenate([np.zeros(1, np.int64), np.cumsum(across + along + 2)])
        links = np.empty(start[-1], np.int32)
        for first in range(0, source.size, ROUTES):
            part = slice(first, min(first + ROUTES, source.size))
            links[start[part.start] : start[part.stop]] = self._walked(source[part], target[part])
        return start, links

    def numbered(self, links: NDArray[np.int32]) -> tuple[Index, NDArray[np.int32]]:
        """Return the links that are there, ascending, and which of them each is: from (L,) to (used,) and (L,)."""
        taken = np.zeros(self.count, bool)
        taken[links] = True
        return np.flatnonzero(taken), (np.cumsum(taken, dtype=np.int32) - 1)[links]

    def _walked(self, source: Index, target: Index) -> Index:
        (x0, y0), (x1, y1) = coordinates(self.mesh, source), coordinates(self.mesh, target)
        across, along = np.abs(x1 - x0), np.abs(y1 - y0)
        lengths = across + along + 2
        of = np.repeat(np.arange(source.size), lengths)
        step = np.arange(of.size) - np.repeat(np.cumsum(lengths) - lengths, lengths) - 1  # -1: into the router
        right, down = np.sign(x1 - x0), np.sign(y1 - y0)
        on_row = step < across[of]
        x = np.where(on_row, x0[of] + right[of] * step, x1[of])
        y = np.where(on_row, y0[of], y0[of] + down[of] * (step - across[of]))
        direction = np.where(on_row, np.where(right > 0, EAST, WEST)[of], np.where(down > 0, SOUTH, NORTH)[of])
        links = self.router(x, y, direction)
        ends = np.cumsum(lengths)
        links[ends - lengths] = self.into(0) + source
        links[ends - 1] = self.out_of(0) + target
        return links
