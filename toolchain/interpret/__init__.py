"""The meaning of every op, in numpy: the oracle that every pass and every backend is tested against."""

from spikewright.toolchain.interpret.floats import FloatRun as FloatRun
from spikewright.toolchain.interpret.floats import answer as answer
from spikewright.toolchain.interpret.floats import float_answers as float_answers
from spikewright.toolchain.interpret.floats import float_blocks as float_blocks
from spikewright.toolchain.interpret.floats import float_cut as float_cut
from spikewright.toolchain.interpret.floats import run_float as run_float
from spikewright.toolchain.interpret.integers import IntRun as IntRun
from spikewright.toolchain.interpret.integers import host_levels as host_levels
from spikewright.toolchain.interpret.integers import int_blocks as int_blocks
from spikewright.toolchain.interpret.integers import int_cut as int_cut
from spikewright.toolchain.interpret.integers import run_int as run_int
from spikewright.toolchain.interpret.schedule import NotAvailable as NotAvailable
