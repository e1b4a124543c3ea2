"""The meaning of every op, in numpy: the oracle that every pass and every backend is tested against."""

from toolchain.interpret.floats import answer as answer
from toolchain.interpret.floats import run_float as run_float
from toolchain.interpret.integers import run_int as run_int
from toolchain.interpret.schedule import NotAvailable as NotAvailable
