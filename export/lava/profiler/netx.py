"""In place of ``lava.lib.dl.netx``: ``netx.hdf5.Network`` reads the same ``.net`` file and runs it on the simulated chip."""

from types import SimpleNamespace

from spikewright.export.lava.profiler.network import Network as Network

hdf5 = SimpleNamespace(Network=Network)
"""As in ``netx.hdf5.Network``."""
