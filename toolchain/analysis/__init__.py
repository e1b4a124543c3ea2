"""Analyses: pure functions from a deployment and a trace to figures; nothing here changes a graph, a program or a file."""

from toolchain.analysis.activity import Activity as Activity
from toolchain.analysis.activity import Core as Core
from toolchain.analysis.activity import Layer as Layer
from toolchain.analysis.activity import Sops as Sops
from toolchain.analysis.activity import activity as activity
from toolchain.analysis.energy import Energy as Energy
from toolchain.analysis.energy import energy as energy
from toolchain.analysis.energy import event_counts as event_counts
from toolchain.analysis.latency import Latency as Latency
from toolchain.analysis.latency import latency as latency
from toolchain.analysis.literature import Literature as Literature
from toolchain.analysis.literature import literature as literature
from toolchain.analysis.macs import macs_per_frame as macs_per_frame
from toolchain.analysis.macs import macs_per_sample as macs_per_sample
from toolchain.analysis.quantity import Quantity as Quantity
from toolchain.analysis.quantity import total as total
from toolchain.analysis.summary import Analysis as Analysis
from toolchain.analysis.summary import accuracy as accuracy
from toolchain.analysis.summary import analyze as analyze
from toolchain.analysis.summary import run_summary as run_summary
from toolchain.analysis.utilization import Use as Use
from toolchain.analysis.utilization import fullest as fullest
from toolchain.analysis.utilization import utilization as utilization
