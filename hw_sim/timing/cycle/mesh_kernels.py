"""The mesh, event by event: links that serve one message at a time, finite input buffers with credits, round-robin arbitration.

A message needs the links of its route in turn. A link starts a message when it is free, the buffer at its far end has a
credit, and the message is at the head of the buffer before it (or of its core's axon-out queue); among several buffers that
ask for one link, the next after the last served wins. A message keeps its place in a buffer until the next link has finished
with it; then the credit returns. Messages cut through: the next link may start with a message in the very cycle in which the
link before started with it, but not so early that it would finish first. So a message that meets nobody costs each of its
links exactly the link's service time, and no time is spent without a link being busy.

Between events nothing changes, so idle cycles are skipped: the heap holds ``time << SHIFT | link << 1 | kind``. All events of a
cycle come before all starts in that cycle; both orders are fixed, hence the result is too.
"""

from __future__ import annotations

import numpy as np

from spikewright.hw_sim.jit import kernel
from spikewright.hw_sim.timing.cycle.fabric import AT_A_CORE

MESSAGE = np.dtype(
    [
        ("release", np.int64),  # earliest cycle in which it may enter its core's axon-out queue
        ("due", np.int64),  # when the update of its neuron is through
        ("ready", np.int64),  # when the next link may start with it
        ("started", np.int64),  # when it left its core
        ("delivered", np.int64),  # when its last link was through with it
        ("pair", np.int32),
        ("after", np.int32),  # next message of the same core, -1 if none
        ("behind", np.int32),  # next message in the same buffer, -1 if none
        ("at", np.int32),  # where it is in ``Fabric.route``
        ("times", np.int32),  # how often it was delivered
    ],
    align=True,
)
CORE = np.dtype(
    [
        ("first", np.int32),  # its first message, -1 if none
        ("last", np.int32),
        ("waiting", np.int32),  # the next to leave, -1 if none
        ("sent", np.int32),
        ("enter", np.int64),  # when that one is in the axon-out queue
        ("stall", np.int64),  # cycles its neurons have waited for room in that queue
        ("across", np.int64),  # east-west and north-south hops of its messages
        ("along", np.int64),
    ],
    align=True,
)

SHIFT = 22
FINISH, WAKE = 0, 1
SIZE, NOW, TODO_FIRST, TODO_COUNT, DONE, LAST = range(6)
COUNTERS = 6
HEAP_PER_LINK = 3
"""A link has at most one end of service and one waiting head on the heap, and a core one more on its link."""


@kernel
def push(heap, count, time, link, kind):  # type: ignore[no-untyped-def]
    """Put an event on the heap."""
    key = (time << SHIFT) | (link << 1) | kind
    k = count[SIZE]
    count[SIZE] = k + 1
    while k > 0:
        up = (k - 1) >> 1
        if heap[up] <= key:
            break
        heap[k] = heap[up]
        k = up
    heap[k] = key


@kernel
def pop(heap, count):  # type: ignore[no-untyped-def]
    """Take the earliest event off the heap."""
    top = heap[0]
    size = count[SIZE] - 1
    count[SIZE] = size
    key = heap[size]
    k = 0
    while True:
        down = 2 * k + 1
        if down >= size:
            break
        if down + 1 < size and heap[down + 1] < heap[down]:
            down += 1
        if heap[down] >= key:
            break
        heap[k] = heap[down]
        k = down
    heap[k] = key
    return top


@kernel
def look_at(links, todo, count, link):  # type: ignore[no-untyped-def]
    """List a link that may be able to start in this cycle."""
    if links[link].listed == 0:
        links[link].listed = 1
        place = count[TODO_FIRST] + count[TODO_COUNT]
        todo[place if place < todo.size else place - todo.size] = link
        count[TODO_COUNT] += 1


@kernel
def offer(links, heap, todo, count, link, ready):  # type: ignore[no-untyped-def]
    """A message at the head of a buffer wants ``link`` from cycle ``ready`` on."""
    if ready > count[NOW]:
        push(heap, count, ready, link, WAKE)
    elif links[link].busy == 0:  # a busy link looks again when it is free
        look_at(links, todo, count, link)


@kernel
def take_from_core(links, cores, messages, left, depth, heap, count, link, core):  # type: ignore[no-untyped-def]
    """Return the message a core puts on its link now, or -1; the queue moves up and may let the neurons go on."""
    now = count[NOW]
    m = cores[core].waiting
    if m < 0 or cores[core].enter > now:
        return -1
    sent = cores[core].sent + 1
    if depth > 0:
        left[core, (sent - 1) % depth] = now + links[link].service
        cores[core].stall = max(cores[core].stall, cores[core].enter - messages[m].due)
    messages[m].started = now
    cores[core].sent = sent
    n = messages[m].after
    cores[core].waiting = n
    if n >= 0:
        enter = messages[n].release + cores[core].stall
        if depth > 0 and sent >= depth:
            enter = max(enter, left[core, sent % depth])
        cores[core].enter = enter
        if enter > now:  # otherwise the link looks again when it is free
            push(heap, count, enter, link, WAKE)
    return m


@kernel
def take_from_buffer(links, messages, route, feed, heap, todo, count, link):  # type: ignore[no-untyped-def]
    """Return the message that wins ``link``, or -1; the next one in its buffer asks for its own link."""
    feeders = links[link].feeders
    place = links[link].turn
    for _ in range(feeders):
        feeder = feed[links[link].feed_start + place]
        place = place + 1 if place + 1 < feeders else 0
        m = links[feeder].head
        if m >= 0 and route[messages[m].at + 1] == link and messages[m].ready <= count[NOW]:
            links[link].turn = place
            links[link].came_from = feeder
            messages[m].at += 1
            n = messages[m].behind
            links[feeder].head = n
            if n >= 0:
                offer(links, heap, todo, count, route[messages[n].at + 1], messages[n].ready)
            return m
    return -1


@kernel
def serve(links, cores, messages, source, route, heap, todo, count, link, m):  # type: ignore[no-untyped-def]
    """Start a message on a link; unless the link ends at a core, the message appears in the buffer at its end."""
    now = count[NOW]
    links[link].busy = 1
    links[link].serving = m
    links[link].crossed += 1
    push(heap, count, now + links[link].service, link, FINISH)
    if links[link].ejects >= 0:
        return
    if links[link].axis != AT_A_CORE:
        core = source[messages[m].pair]
        if links[link].axis == 0:
            cores[core].across += 1
        else:
            cores[core].along += 1
    following = route[messages[m].at + 1]
    ready = now + max(0, links[link].service - links[following].service)
    messages[m].ready = ready
    messages[m].behind = -1
    links[link].held += 1
    if links[link].head < 0:
        links[link].head = m
        offer(links, heap, todo, count, following, ready)
    else:
        messages[links[link].tail].behind = m
    links[link].tail = m


@kernel
def finish(links, messages, heap, todo, count, link):  # type: ignore[no-untyped-def]
    """A link is through with its message: it is free, and the buffer before it gets its credit back."""
    links[link].busy = 0
    feeder = links[link].came_from
    if feeder >= 0:
        links[feeder].held -= 1
        look_at(links, todo, count, feeder)
    if links[link].ejects >= 0:
        m = links[link].serving
        messages[m].delivered = count[NOW]
        messages[m].times += 1
        count[DONE] += 1
        count[LAST] = m
    look_at(links, todo, count, link)


@kernel
def begin(links, cores, messages, inlet, start, heap, count):  # type: ignore[no-untyped-def]
    """Bring links and cores to rest and let the first message of every core ask for its link."""
    count[:] = 0
    count[LAST] = -1
    for k in range(links.size):
        links[k].crossed = 0
        links[k].turn = 0
        links[k].busy = 0
        links[k].held = 0
        links[k].head = -1
        links[k].came_from = -1
        links[k].listed = 0
    for m in range(messages.size):
        messages[m].at = start[messages[m].pair]
        messages[m].times = 0
    for core in range(cores.size):
        m = cores[core].first
        cores[core].waiting = m
        cores[core].sent = 0
        cores[core].stall = 0
        cores[core].across = 0
        cores[core].along = 0
        if m >= 0:
            cores[core].enter = messages[m].release
            push(heap, count, messages[m].release, inlet[core], WAKE)


@kernel
def run(links, cores, messages, inlet, feed, source, start, route, room, depth, left, heap, todo, count):  # type: ignore[no-untyped-def]
    """Deliver ``messages``; ``room`` places in each input buffer, ``depth`` in each axon-out queue (0: no limit).

    Working arrays: ``left`` (cores, depth), ``heap`` (HEAP_PER_LINK * links), ``todo`` (links + 1), ``count`` (COUNTERS).
    """
    begin(links, cores, messages, inlet, start, heap, count)
    while count[SIZE] > 0:
        now = heap[0] >> SHIFT
        count[NOW] = now
        while count[SIZE] > 0 and heap[0] >> SHIFT == now:
            event = pop(heap, count)
            link = (event & ((1 << SHIFT) - 1)) >> 1
            if event & 1 == FINISH:
                finish(links, messages, heap, todo, count, link)
            else:
                look_at(links, todo, count, link)
        while count[TODO_COUNT] > 0:
            link = todo[count[TODO_FIRST]]
            count[TODO_FIRST] = count[TODO_FIRST] + 1 if count[TODO_FIRST] + 1 < todo.size else 0
            count[TODO_COUNT] -= 1
            links[link].listed = 0
            if links[link].busy == 1 or (links[link].ejects < 0 and links[link].held >= room):
                continue
            if links[link].injects >= 0:
                m = take_from_core(links, cores, messages, left, depth, heap, count, link, links[link].injects)
            else:
                m = take_from_buffer(links, messages, route, feed, heap, todo, count, link)
            if m >= 0:
                serve(links, cores, messages, source, route, heap, todo, count, link, m)
