"""Cycle timing: neurocores as pipelines, the mesh as routers with finite buffers, a barrier at the end of every chip step.

In one chip step, in every core and on every link at once::

    soma      updates the core's neurons one after the other            t_neuron + gates * t_gate (+ t_spike if it fires)
    axon out  the spike's messages, one a target core, on the core's link into the mesh                            t_link
    routers   XY routes, input buffers with credits, round robin; slower links between two chips      t_link, t_chip_link
    axon in   the link from the router into the target core                                                        t_link
    synapse   reads the words of each message that takes effect in this step                              words * t_word
    dendrite  accumulates its synapses                                                                      sops * t_sop

    step = max(max(last core done, last message delivered, host_messages * t_host) + t_overhead, t_barrier)

A message is delivered in the step in which it is sent and waits in its target core for the step in which it takes effect
(delay >= 1), as the counters of ``Trace`` have it; so synapse and dendrite never wait for the mesh, nor the mesh for them.
Service times are the latencies that ``analytic`` uses, in whole cycles of the chip file's ``cycle_ns`` (nominal: Loihi is
asynchronous). Events are simulated, idle cycles skipped; integers only; the result depends on nothing but the messages.

What each model assumes: ``analytic`` lets all stages and links of a step overlap perfectly and sees only the busiest one.
``cycle`` overlaps them event by event: a later stage may take an event when the earlier one takes it, and is never through
with it sooner (cut-through; the contention-free flight of a message over its hops is not added, it overlaps the barrier). It
adds what ``analytic`` cannot see: links that several routes share, full buffers, a full axon-out queue that stalls the
neurons, bursts late in a sweep, and messages that load synapse and dendrite unevenly. Hence ``cycle >= analytic``, and equal
where nothing contends. (One thing is added beside contention: a message is whole before a faster link takes it on, so each
chip border beyond the first on a route costs its first message ``t_chip_link - t_link``.)

Not modelled: the two physical fabrics of Loihi 2's mesh (one here), a buffer limit between synapse and dendrite, the time of
host messages on links, and payload size (one message, one flit).
"""

from spikewright.hw_sim.timing.cycle.deliver import Delivery as Delivery
from spikewright.hw_sim.timing.cycle.deliver import deliver as deliver
from spikewright.hw_sim.timing.cycle.record import STAGES as STAGES
from spikewright.hw_sim.timing.cycle.record import CycleRecord as CycleRecord
