"""Entry points: ``.net`` files as models, and ``net.net`` in every bundle whose net the format can hold."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from spikewright.export.netx.file import NetFile, read
from spikewright.export.netx.neurons import sigma_delta
from spikewright.export.netx.read import build
from spikewright.export.netx.write import export_net, loading
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.importing import Imported
from spikewright.toolchain.ops import Shape

FILE = "net.net"
GRIDS = ("conv", "pool", "convT", "unpool")
"""Layers that read a grid, whose size their weights do not say."""


def import_netx(spec: Any, data: Path | None = None, example: Any = None) -> Imported | None:
    """Import a ``.net`` file; it is integer already and enters behind ``quantize``.

    Raises:
        ImportingError: It cannot be read, or holds what no integer op here means.
        VerifyError: Its layers do not fit together.
    """
    if not isinstance(spec, str) or Path(spec).suffix != ".net":
        return None
    path = Path(spec)
    net = read(path)
    if net.layers[0].kind in GRIDS:
        return Imported(None, path.stem, card=_card(net), sized=partial(_imported, net, path))
    return _imported(net, path, None)


def _imported(net: NetFile, path: Path, input_shape: Shape | None) -> Imported:
    graph, notes = build(net, input_shape)
    first = net.layers[0]
    if first.kind == "input" and "neuron" in first:
        image = "int(weight * image + bias) with the card's weight and bias"
        what = (
            f"the input is the value whose changes its neurons encode, {image}"
            if sigma_delta(first)
            else f"the input is the bias mantissa of the input neurons, {image}"
        )
        notes.append(Diagnostic("netx-input", first.where, what, severity="note"))
    return Imported(None, path.stem, card=_card(net), integer=graph, diagnostics=tuple(notes))


def _card(net: NetFile) -> dict[str, object]:
    card: dict[str, object] = {"format": "lava-dl netx"}
    first = net.layers[0]
    if net.timesteps:
        card["timesteps"] = net.timesteps
    if first.kind == "input" and "neuron" in first:
        card["input"] = {"weight": first.number("weight", 64), "bias": first.number("bias", 0)}
    return card


def export_netx(deployment: Deployment, folder: Path) -> dict[str, str]:
    """Write ``net.net`` into a bundle's folder, and say how to load it, or which op the format cannot hold."""
    try:
        export_net(deployment.integer, folder / FILE)
    except UnsupportedNodeError as error:
        (folder / FILE).unlink(missing_ok=True)
        return {FILE: f"not written: {error.where} {error.what}"}
    text = loading(deployment.integer)
    if deployment.host is not None:
        text += "; its input is what the host part sends"
    return {FILE: text}
