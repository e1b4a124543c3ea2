"""A twin of the closed Loihi 2 compiler: how it cuts a net into cores, and the table of resources it prints.

Built from tables, logs and bar plots printed in public BSD-3 notebooks (lava-dl, lava-optimization), and from no code of that
compiler. What was fitted, on which printed rows, stands beside each rule; what no row decides is named, or printed as ``n/a``.
"""

from spikewright.toolchain.vendor.layers import Layer as Layer
from spikewright.toolchain.vendor.layers import layers_of as layers_of
from spikewright.toolchain.vendor.lists import Conv as Conv
from spikewright.toolchain.vendor.lists import Dense as Dense
from spikewright.toolchain.vendor.lists import FromHost as FromHost
from spikewright.toolchain.vendor.lists import Sparse as Sparse
from spikewright.toolchain.vendor.lists import pieces as pieces
from spikewright.toolchain.vendor.lists import weight_bits as weight_bits
from spikewright.toolchain.vendor.memory import Bar as Bar
from spikewright.toolchain.vendor.memory import memory_bars as memory_bars
from spikewright.toolchain.vendor.numbers import COMPILERS as COMPILERS
from spikewright.toolchain.vendor.numbers import FACTS as FACTS
from spikewright.toolchain.vendor.numbers import Compiler as Compiler
from spikewright.toolchain.vendor.numbers import compiler_called as compiler_called
from spikewright.toolchain.vendor.partition import Cut as Cut
from spikewright.toolchain.vendor.partition import Pass as Pass
from spikewright.toolchain.vendor.partition import partition as partition
from spikewright.toolchain.vendor.table import Row as Row
from spikewright.toolchain.vendor.table import VendorTable as VendorTable
from spikewright.toolchain.vendor.table import table_of as table_of
from spikewright.toolchain.vendor.table import vendor_table as vendor_table
