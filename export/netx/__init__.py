"""netx: lava-dl's HDF5 ``.net`` files, in both directions; h5py only, lava-dl itself is not needed."""

from spikewright.export.netx.entry import export_netx as export_netx
from spikewright.export.netx.entry import import_netx as import_netx
from spikewright.export.netx.read import import_net as import_net
from spikewright.export.netx.write import export_net as export_net
