"""The meaning of every op, in numpy: the oracle that every pass and every backend is tested against."""

from spikewright.toolchain.interpret.floats import answer as answer
from spikewright.toolchain.interpret.floats import run_float as run_float
from spikewright.toolchain.interpret.integers import run_int as run_int
from spikewright.toolchain.interpret.schedule import NotAvailable as NotAvailable
