"""Foreign nets: what each framework's classes are here (one table a framework), and the recorder that follows any forward.

``register`` says what a class of one's own is; an entry point of the group ``spikewright.modules`` names a package's own.
"""

from spikewright.export.foreign.registry import Row as Row
from spikewright.export.foreign.registry import Site as Site
from spikewright.export.foreign.registry import Table as Table
from spikewright.export.foreign.registry import register as register
from spikewright.export.foreign.registry import tables as tables
