"""snnTorch 1.0: its classes here. A neuron takes one step a call, (B, ...), fires at mem > threshold, mem(0) = 0.

::

    Leaky  "zero"      mem = beta mem + x;  s = mem > threshold;  mem = 0 where s          (with or without reset_delay)
    Leaky  "subtract"  mem[t] = beta mem[t-1] + x[t] - threshold s[t-1]                    (reset_delay, the default)
         = beta (mem[t-1] - threshold s[t-1]) + x[t] - (1 - beta) threshold s[t-1]
    Synaptic "zero", reset_delay=False    syn = alpha syn + x;  mem = beta mem + syn;  s = mem > threshold;  mem = 0 where s

The one-step delay of the subtraction is a synapse from each neuron to itself beside the subtraction at once; for beta = 1 none.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from torch import nn

from spikewright.export.foreign import ours
from spikewright.export.foreign.node import NodeModule
from spikewright.export.foreign.registry import Row, Site, Table


def _plain(module: Any, site: Site) -> None:
    site.need(not module.inhibition, "inhibition=True: only the largest membrane fires", "train with inhibition=False")
    site.need(
        not module.state_quant, "state_quant: a rounded membrane", "train without it; the chip rounds its own way"
    )
    factor = ours.value(getattr(module, "graded_spikes_factor", 1.0))
    site.need(
        bool(np.all(np.asarray(factor) == 1)),
        "graded_spikes_factor: it sends real values",
        "put the factor into the weights behind it",
    )


def _reset(module: Any) -> str:
    return ("subtract", "zero", "none")[int(module.reset_mechanism_val)]


def _leaky(module: Any, site: Site) -> nn.Module:
    _plain(module, site)
    beta, threshold = np.clip(ours.value(module.beta), 0, 1), ours.value(module.threshold)
    beta = float(beta) if np.ndim(beta) == 0 else beta
    reset = _reset(module)
    site.need(
        reset != "none",
        "reset_mechanism 'none': the membrane goes on above its threshold",
        "train with 'zero' or 'subtract'",
    )
    if reset == "zero":
        return ours.neuron(site, beta=beta, threshold=threshold, comparison=">")
    site.need(
        bool(module.reset_delay),
        "reset_mechanism 'subtract' with reset_delay=False: a membrane above twice its threshold is lowered again",
        "train with reset_delay=True, or reset_mechanism='zero'",
    )
    made = ours.neuron(site, beta=beta, threshold=threshold, subtract=True, comparison=">")
    weight = -(1 - np.asarray(beta)) * np.asarray(threshold)
    return made if not np.any(weight) else _with_loop(made, weight, site)


def _with_loop(made: nn.Module, weight: Any, site: Site) -> nn.Module:
    """Return a neuron with a synapse of this weight from each of its neurons to itself."""
    shape = site.shape
    whole = ours.full(weight, shape)
    conv = len(shape) == 3 and bool(np.all(whole == whole[:, :1, :1]))
    site.need(
        len(shape) == 1 or conv,
        "reset by subtraction, one step late, with parameters that differ between pixels",
        "use one value a channel",
    )

    def loop(_: tuple[int, ...]) -> nir.NIRNode:
        if not conv:
            return nir.Linear(np.diag(whole))
        c = shape[0]
        return nir.Conv2d(
            input_shape=shape[1:],
            weight=whole[:, :1, :1].reshape(c, 1, 1, 1).copy(),
            stride=(1, 1),
            padding=(0, 0),
            dilation=(1, 1),
            groups=c,
            bias=np.zeros(c),
        )

    if isinstance(made, NodeModule):
        made.loop = loop
        return made
    from spikewright.export.torch_to_nir.attention import neuron

    out = NodeModule(lambda s, o, dt_s, where: neuron(made, s, dt_s, where), spiking=True)  # type: ignore[arg-type]
    out.loop = loop
    return out


def _synaptic(module: Any, site: Site) -> nn.Module:
    _plain(module, site)
    at_once = _reset(module) == "zero" and not module.reset_delay
    site.need(
        at_once,
        f"Synaptic with reset_mechanism {_reset(module)!r} one step late",
        "train with reset_mechanism='zero', reset_delay=False",
    )
    alpha, beta = (np.clip(ours.value(getattr(module, n)), 0, 1) for n in ("alpha", "beta"))
    return ours.current_based(site, alpha=alpha, beta=beta, threshold=ours.value(module.threshold), comparison=">")


_REFUSED = {
    "RLeaky": "recurrent weights between its neurons, with a bias of their own",
    "RSynaptic": "recurrent weights between its neurons",
    "Alpha": "two currents and a difference of their decays",
    "Lapicque": "an RC circuit; Leaky with the same beta is one of ours",
    "SLSTM": "gates of real values",
    "SConv2dLSTM": "gates of real values",
    "LeakyParallel": "all steps at once, without reset",
    "StateLeaky": "all steps at once, without reset",
    "LinearLeaky": "all steps at once, without reset",
    "DeltaLeaky": "it sends differences",
    "AssociativeLeaky": "a matrix-valued state",
}
_FIELDS = ("beta", "threshold", "reset_mechanism_val", "reset_delay")

TABLE = Table(
    "snntorch",
    (
        *(Row(n, None, why, package="snntorch") for n, why in _REFUSED.items()),
        Row(
            "Leaky",
            _leaky,
            "mem = beta mem + x; s = mem > threshold; 'zero': to 0; 'subtract': minus threshold s, one step late",
            "LIF; 'subtract': with a synapse of -(1 - beta) threshold to itself",
            fields=_FIELDS,
            time_axis=-1,
        ),
        Row(
            "Synaptic",
            _synaptic,
            "syn = alpha syn + x; mem = beta mem + syn; s = mem > threshold; to 0",
            "nir.CubaLIF",
            fields=("alpha", *_FIELDS),
            time_axis=-1,
        ),
    ),
    "1.0.0",
)
