"""Analyses: pure functions from a deployment and a trace to figures; nothing here changes a graph, a program or a file."""

from spikewright.hw_sim.utilization import Use as Use
from spikewright.hw_sim.utilization import fullest as fullest
from spikewright.hw_sim.utilization import utilization as utilization
from spikewright.toolchain.analysis.activity import Activity as Activity
from spikewright.toolchain.analysis.activity import Core as Core
from spikewright.toolchain.analysis.activity import Layer as Layer
from spikewright.toolchain.analysis.activity import Sops as Sops
from spikewright.toolchain.analysis.activity import activity as activity
from spikewright.toolchain.analysis.energy import Energy as Energy
from spikewright.toolchain.analysis.energy import energy as energy
from spikewright.toolchain.analysis.energy import event_counts as event_counts
from spikewright.toolchain.analysis.latency import Latency as Latency
from spikewright.toolchain.analysis.latency import latency as latency
from spikewright.toolchain.analysis.literature import Literature as Literature
from spikewright.toolchain.analysis.literature import literature as literature
from spikewright.toolchain.analysis.macs import macs_per_sample as macs_per_sample
from spikewright.toolchain.analysis.quantity import Quantity as Quantity
from spikewright.toolchain.analysis.quantity import total as total
from spikewright.toolchain.analysis.saturation import saturations as saturations
from spikewright.toolchain.analysis.summary import Analysis as Analysis
from spikewright.toolchain.analysis.summary import accuracy as accuracy
from spikewright.toolchain.analysis.summary import analyze as analyze
from spikewright.toolchain.analysis.summary import run_summary as run_summary
