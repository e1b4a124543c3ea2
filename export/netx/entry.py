"""Entry points: ``.net`` files as models, and ``net.net`` in every bundle whose net the format can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spikewright.export.netx.file import read
from spikewright.export.netx.read import build
from spikewright.export.netx.write import export_net, loading
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import UnsupportedNodeError
from spikewright.toolchain.importing import Imported

FILE = "net.net"


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
    graph, notes = build(net)
    first = net.layers[0]
    card: dict[str, object] = {"format": "lava-dl netx"}
    if net.timesteps:
        card["timesteps"] = net.timesteps
    if first.kind == "input" and "neuron" in first:
        card["input"] = {"weight": first.number("weight", 64), "bias": first.number("bias", 0)}
        notes.append(
            "the input is the bias mantissa of the input neurons, int(weight * image + bias) with the card's weight and bias"
        )
    said = tuple(Diagnostic("netx-read", path.stem, note, severity="assumption") for note in notes)
    return Imported(None, path.stem, card=card, diagnostics=said, integer=graph)


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
