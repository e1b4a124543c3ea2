"""A simulated Loihi 2 profiler: scripts written for the chip read time, power, activity and memory of the simulated one.

Names, shapes and units are those that public scripts use of ``lava.utils.loihi2_profiler`` and ``lava.utils.profiler`` (Intel's
own implementation is not public). Only the imports change; Lava itself is not needed::

    import numpy as np
    from spikewright.export.lava.profiler import Loihi2HwCfg, Profiler, RunSteps, netx  # silicon: lava.utils.profiler, ...

    net = netx.hdf5.Network(net_config="network.net", reset_interval=16, reset_offset=3)
    num_steps = 1000
    run_config = Loihi2HwCfg()
    profiler = Profiler.init(run_config)
    profiler.execution_time_probe(num_steps=num_steps)
    profiler.energy_probe(num_steps=num_steps)
    profiler.activity_probe()
    net.run(condition=RunSteps(num_steps=num_steps), run_cfg=run_config)
    net.stop()
    print(f"{profiler.power:.6f} W, {profiler.energy:.6f} J, {np.mean(profiler.execution_time) * 1e6:.2f} us a step")
    print(profiler.activity.syn_ops / num_steps)                                  # per core
    print(profiler.basis["power"], profiler.basis["vdd_power"])                   # how each figure is known

``loihi2_profiler.Loihi2Power``, ``Loihi2ExecutionTime``, ``Loihi2Activity``, ``Loihi2Memory`` and ``Loihi2Spike`` attach to a
run configuration in either of the ways Lava had: ``callback_fxs=[...]``, or ``pre_run_fxs`` with ``attach(board)`` and
``post_run_fxs`` with ``get_results()``. Lava's own ``Loihi2HwCfg`` and ``RunSteps`` do as well as the ones here.

What is simulated: a whole net, from a ``.net`` file, a bundle, a deployment, or LIF, Dense and DelayDense processes
connected by hand (``export.lava.profiler.processes`` in place of Lava's), on ``hw_sim``; counts are exact integers, times
and energies are counts times the chip's prices. What is not: other Lava processes, the chip's
embedded processors, learning. A bundle, or a run that is over already, is profiled without a script::

    profiler = Profiler.init("build/ma-digits")      # or a Deployment, or SimulatedRun(program, chip, trace)
    profiler.energy_probe()
    profiler.run(limit=10)
    print(profiler.statement)
"""

from spikewright.export.lava.profiler import loihi2_profiler as loihi2_profiler
from spikewright.export.lava.profiler import netx as netx
from spikewright.export.lava.profiler.board import Board as Board
from spikewright.export.lava.profiler.board import Loihi2HwCfg as Loihi2HwCfg
from spikewright.export.lava.profiler.board import RunSteps as RunSteps
from spikewright.export.lava.profiler.loihi2_profiler import Loihi2Activity as Loihi2Activity
from spikewright.export.lava.profiler.loihi2_profiler import Loihi2ExecutionTime as Loihi2ExecutionTime
from spikewright.export.lava.profiler.loihi2_profiler import Loihi2Memory as Loihi2Memory
from spikewright.export.lava.profiler.loihi2_profiler import Loihi2Power as Loihi2Power
from spikewright.export.lava.profiler.loihi2_profiler import Loihi2Spike as Loihi2Spike
from spikewright.export.lava.profiler.processes import LIF as LIF
from spikewright.export.lava.profiler.processes import DelayDense as DelayDense
from spikewright.export.lava.profiler.processes import Dense as Dense
from spikewright.export.lava.profiler.profiler import Loihi2HWProfiler as Loihi2HWProfiler
from spikewright.export.lava.profiler.profiler import Profiler as Profiler
from spikewright.export.lava.profiler.profiler import SimulatedProfiler as SimulatedProfiler
from spikewright.export.lava.profiler.run import ProfilerError as ProfilerError
from spikewright.export.lava.profiler.run import SimulatedRun as SimulatedRun
