"""The mesh on its own: deliver a list of messages between cores, and say when each arrived and what every link carried."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikewright.hw_sim.chip import Mesh
from spikewright.hw_sim.errors import ProgramError
from spikewright.hw_sim.timing.cycle.fabric import Fabric, Records, fabric
from spikewright.hw_sim.timing.cycle.mesh_kernels import CORE, COUNTERS, DONE, HEAP_PER_LINK, MESSAGE, run

Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Delivery:
    """What became of M messages.

    Args:
        started: (M,) cycle in which each left its core.
        delivered: (M,) cycle in which its last link was through with it.
        core: (M,) where it came out.
        times: (M,) how often it came out; 1 for every message.
        links: (L,) links used, as numbered by ``noc.Links``.
        link_messages: (L,) messages over each.
        link_cycles: (L,) cycles each was busy.
        hops: (2, cores) router-to-router crossings, east-west and north-south, of the messages each core sent.
        cycles: Cycle of the last delivery.
    """

    started: Int
    delivered: Int
    core: Int
    times: Int
    links: Int
    link_messages: Int
    link_cycles: Int
    hops: Int
    cycles: int


def deliver(
    mesh: Mesh,
    source: ArrayLike,
    target: ArrayLike,
    release: ArrayLike | None = None,
    *,
    link_cycles: int = 1,
    chip_link_cycles: int | None = None,
    router_buffer: int = 4,
) -> Delivery:
    """Simulate the delivery of messages; those of one core leave in the order given.

    Args:
        mesh: Geometry.
        source: (M,) sending core of each message.
        target: (M,) receiving core.
        release: (M,) earliest cycle to leave, not decreasing for any one core; 0 if not given.
        link_cycles: Cycles for which one message occupies a link.
        chip_link_cycles: The same for a link between two chips; as ``link_cycles`` if not given.
        router_buffer: Messages each input buffer holds.

    Raises:
        ProgramError: A core the mesh does not have, releases out of order, or a number out of range.
    """
    cores = [np.asarray(a, np.int64).ravel() for a in (source, target)]
    times = np.zeros(cores[0].size, np.int64) if release is None else np.asarray(release, np.int64).ravel()
    slow = link_cycles if chip_link_cycles is None else chip_link_cycles
    _check(mesh, cores[0], cores[1], times, (link_cycles, slow, router_buffer))
    keys, pair = np.unique(cores[0] * mesh.cores + cores[1], return_inverse=True)
    routes = fabric(mesh, keys // mesh.cores, keys % mesh.cores, mesh.cores, link_cycles, slow)
    messages = np.zeros(times.size, MESSAGE)
    messages["pair"], messages["release"] = pair.ravel(), times
    senders = _chains(cores[0], messages, mesh.cores)
    links = routes.links.copy()
    deliver_all(routes, links, senders, messages, router_buffer, 0)
    return Delivery(
        started=messages["started"].copy(),
        delivered=messages["delivered"].copy(),
        core=links["ejects"][routes.route[messages["at"]]].astype(np.int64) if times.size else times,
        times=messages["times"].astype(np.int64),
        links=routes.link,
        link_messages=links["crossed"].copy(),
        link_cycles=links["crossed"] * links["service"],
        hops=np.stack([senders["across"], senders["along"]]),
        cycles=int(messages["delivered"].max(initial=0)),
    )


def deliver_all(routes: Fabric, links: Records, senders: Records, messages: Records, room: int, depth: int) -> None:
    """Run the mesh until it is empty; links, senders and messages hold what became of them."""
    size = links.size
    heap, todo = np.empty(HEAP_PER_LINK * size, np.int64), np.empty(size + 1, np.int32)
    left, count = np.zeros((senders.size, max(depth, 1)), np.int64), np.zeros(COUNTERS, np.int64)
    run(
        links, senders, messages, routes.inlet, routes.feed, routes.source, routes.start, routes.route, room, depth, left,
        heap, todo, count,
    )  # fmt: skip
    assert count[DONE] == messages.size, "a message was lost, or the mesh is deadlocked"


def _check(mesh: Mesh, source: Int, target: Int, release: Int, positive: tuple[int, int, int]) -> None:
    where = "deliver"
    if not source.size == target.size == release.size:
        raise ProgramError(
            f"{source.size} sources, {target.size} targets, {release.size} release cycles",
            where=where,
            help="give one of each for every message",
        )
    both = np.concatenate([source, target])
    if both.size and (both.min() < 0 or both.max() >= mesh.cores):
        raise ProgramError(
            f"cores {both.min()} .. {both.max()}; allowed 0 .. {mesh.cores - 1}",
            where=where,
            help="use cores of the mesh",
        )
    order = np.argsort(source, kind="stable")
    late = (np.diff(release[order]) < 0) & (np.diff(source[order]) == 0)
    if late.any() or release.min(initial=0) < 0:
        raise ProgramError(
            "release cycles of one core go back, or below 0", where=where, help="sort the messages by release cycle"
        )
    if min(positive) < 1:
        raise ProgramError(f"link cycles and buffers {positive}; each at least 1", where=where, help="give 1 or more")


def _chains(source: Int, messages: Records, cores: int) -> Records:
    """Link every message to the next one of its core, and return the cores with their first messages."""
    senders = np.zeros(cores, CORE)
    senders["first"], messages["after"] = -1, -1
    order = np.argsort(source, kind="stable")
    same = np.diff(source[order]) == 0
    messages["after"][order[:-1][same]] = order[1:][same]
    starts = order[np.concatenate([np.ones(min(1, source.size), bool), ~same])]
    senders["first"][source[starts]] = starts
    return senders
