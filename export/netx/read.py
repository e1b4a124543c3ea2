"""``.net`` file -> integer graph, op by op what ``lava.lib.dl.netx.hdf5.Network`` builds in fixed point.

An input layer with neurons is driven through their bias: the graph's input is then the bias mantissa, ``int(weight * x +
bias)`` with the file's ``weight`` and ``bias`` (zeros: the net runs on the biases of its other layers alone).
"""

from __future__ import annotations

from pathlib import Path

from spikewright.export.netx.build import Builder
from spikewright.export.netx.file import NetFile, read
from spikewright.export.netx.losses import losses
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.integer import with_timesteps
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Shape
from spikewright.toolchain.verify import verify


def import_net(
    path: str | Path, *, timesteps: int | None = None, input_shape: Shape | None = None, payload_bits: int = 1
) -> Graph:
    """Return the integer graph of a ``.net`` file (not aligned).

    Args:
        path: The file.
        timesteps: Steps of a sample; None: as the file says, 0 where it does not.
        input_shape: (C, H, W) of a net that begins with a convolution and has no input layer.
        payload_bits: Bits of an input message (``input_message_bits`` of lava-dl's loader); 1: spikes.

    Raises:
        ImportingError: The file is damaged, or holds what no integer op here means; names the layer and the reason.
        VerifyError: Its layers do not fit together.
    """
    graph, _ = build(read(Path(path)), input_shape, payload_bits)
    return graph if timesteps is None else with_timesteps(graph, timesteps)


def build(net: NetFile, input_shape: Shape | None = None, payload_bits: int = 1) -> tuple[Graph, list[Diagnostic]]:
    """Return the graph of a file, and what was assumed.

    Raises:
        ImportingError: As ``import_net``.
        VerifyError: As ``import_net``.
    """
    builder = Builder(payload_bits)
    if input_shape is not None and net.layers[0].kind != "input":
        builder.start(input_shape)
    for layer in net.layers:
        builder.notes += losses(layer)
        builder.add(layer)
    graph = with_timesteps(builder.result(net), net.timesteps)
    verify(graph, level="integer")
    return graph, builder.notes
