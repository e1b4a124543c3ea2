"""In place of ``lava.utils.loihi2_profiler``: the five probes, under its names."""

from spikewright.export.lava.profiler.activity import Loihi2Activity as Loihi2Activity
from spikewright.export.lava.profiler.execution_time import Loihi2ExecutionTime as Loihi2ExecutionTime
from spikewright.export.lava.profiler.power import Loihi2Power as Loihi2Power
from spikewright.export.lava.profiler.resources import Loihi2Memory as Loihi2Memory
from spikewright.export.lava.profiler.resources import Loihi2Spike as Loihi2Spike
