"""From a NIR graph, in seconds, to a Graph of float ops, in steps: ``from_nir``.

beta = 1 - dt / tau,   gain = r dt / tau,   leak = (1 - beta) v_leak        forward Euler
"""

from spikewright.toolchain.from_nir.build import from_nir as from_nir
from spikewright.toolchain.from_nir.build import says_input_shape as says_input_shape
from spikewright.toolchain.from_nir.build import with_input_shape as with_input_shape
from spikewright.toolchain.from_nir.meaning import assumed as assumed
from spikewright.toolchain.from_nir.meaning import says_all as says_all
from spikewright.toolchain.from_nir.meaning import unknown as unknown
from spikewright.toolchain.nirx.metadata import DEFAULT_DT_S as DEFAULT_DT_S
