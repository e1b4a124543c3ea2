"""The checker: does a net stay spike-driven, op by op, with a path that proves it; static, and audited from a run."""

from spikewright.toolchain.spike_driven.audit import Audit as Audit
from spikewright.toolchain.spike_driven.audit import EventDriven as EventDriven
from spikewright.toolchain.spike_driven.audit import Silence as Silence
from spikewright.toolchain.spike_driven.audit import audit as audit
from spikewright.toolchain.spike_driven.audit import event_driven as event_driven
from spikewright.toolchain.spike_driven.audit import silence as silence
from spikewright.toolchain.spike_driven.check import check_graph as check_graph
from spikewright.toolchain.spike_driven.faithful import Faithful as Faithful
from spikewright.toolchain.spike_driven.verdict import Block as Block
from spikewright.toolchain.spike_driven.verdict import Stream as Stream
from spikewright.toolchain.spike_driven.verdict import Verdict as Verdict
