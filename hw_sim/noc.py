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

    def router(self, x: int, y: int, direction: int) -> int:
        """Return the link that leaves router (x, y) in a direction."""
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
        (x, y), (x1, y1) = ((int(a), int(b)) for a, b in (_at(self.mesh, source), _at(self.mesh, target)))
        path = [self.into(source)]
        while x != x1:
            path.append(self.router(x, y, EAST if x1 > x else WEST))
            x += 1 if x1 > x else -1
        while y != y1:
            path.append(self.router(x, y, SOUTH if y1 > y else NORTH))
            y += 1 if y1 > y else -1
        return [*path, self.out_of(target)]


def _at(mesh: Mesh, core: int) -> tuple[int, int]:
    x, y = coordinates(mesh, np.array([core]))
    return int(x[0]), int(y[0])
