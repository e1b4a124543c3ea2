"""The simulators we are compared with: where they come from, on which workloads they run, and what must be equal.

SANA-FE is timed in its ``detailed`` mode against our ``analytic`` timing, and in its ``cycle`` mode (BookSim) against our
``cycle`` timing. Steps are fewer where a full run would take minutes; the first ten steps of conv_s1 hold fewer SOPs than
the later ones, in the peer's favour. SANA-FE's two threads wait in loops: they are faster than one on an idle machine and
several times slower on a busy one, so ``sanafe-threads`` says something only where the machine is idle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.peers.environments import Environment
from benchmarks.workloads import STEPS

Equal = Literal["sops", "trains", "counter"]
OURS = Environment()
SANAFE = Environment("sanafe", ("sanafe==2.2.9", "numpy==2.3.5"))
BRIAN2_LOIHI = Environment("brian2-loihi", ("brian2-loihi==0.5.2", "brian2==2.9.0", "numpy==1.26.4"))
NEUROBENCH = Environment("neurobench", ("neurobench==2.3.0", "snntorch==1.0.0"), shares_ours=True)


@dataclass(frozen=True)
class Peer:
    """One simulator in one mode.

    Args:
        name: As in ``--peers``.
        environment: What it runs in.
        script: Its program in ``runners``.
        steps: Workloads it runs, and for how many timesteps.
        arguments: What the program is given; ``{file}``, ``{trains}``, ``{workload}``, ``{steps}``, ``{kind}`` are filled in.
        equal: ``sops``: its SOPs are ours. ``trains``: every spike of every layer is ours. ``counter``: our counter, fed with
            its spike trains, gives its SOPs.
        even: It holds 8-bit mixed-sign weights: the workload's weights are rounded down to even ones, for both.
        timing: Our timing model beside it.
        known: What is known to come out in all T steps: SOPs, or spikes per layer.
    """

    name: str
    environment: Environment
    script: str
    steps: Mapping[str, int]
    arguments: tuple[str, ...]
    equal: Equal
    even: bool = False
    timing: Literal["analytic", "cycle"] = "analytic"
    known: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


ALL = ("fc10", "fc100", "conv_s2", "conv_s1")
SANAFE_COUNTS = {"fc10": (1_678_413,), "conv_s2": (2_169_042,)}
EVEN_SPIKES = {"fc10": (5041, 2724), "fc100": (3411, 1555)}

PEERS: tuple[Peer, ...] = (
    Peer("sanafe", SANAFE, "run_sanafe.py", {**dict.fromkeys(ALL, STEPS), "conv_s1": 10},
         ("{file}", "detailed", "1", "{steps}"), "sops", known=SANAFE_COUNTS),
    Peer("sanafe-threads", SANAFE, "run_sanafe.py", {**dict.fromkeys(ALL, STEPS), "conv_s1": 10},
         ("{file}", "detailed", "2", "{steps}"), "sops", known=SANAFE_COUNTS),
    Peer("sanafe-cycle", SANAFE, "run_sanafe.py", {"fc10": 5, "conv_s2": 5},
         ("{file}", "cycle", "1", "{steps}"), "sops", timing="cycle"),
    Peer("lava", OURS, "run_lava.py", {"fc10": STEPS, "fc100": STEPS},
         ("{file}", "{kind}", "{steps}", "{trains}"), "trains", even=True, known=EVEN_SPIKES),
    Peer("brian2-loihi", BRIAN2_LOIHI, "run_brian2_loihi.py", {"fc10": STEPS, "fc100": STEPS},
         ("{file}", "{steps}", "{trains}"), "trains", even=True, known=EVEN_SPIKES),
    Peer("neurobench", NEUROBENCH, "run_neurobench.py", {"conv_s2": STEPS, "conv_s1": STEPS},
         ("{file}", "{trains}"), "counter", known={"conv_s2": (2_190_764,)}),
    Peer("float-oracle", OURS, "run_float.py", dict.fromkeys(ALL, STEPS),
         ("{workload}", "0", "{trains}"), "counter", known={"conv_s2": (2_190_764,)}),
)  # fmt: skip
