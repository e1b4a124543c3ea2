"""sinabs 3.1: its classes here. Layers take (B, T, ...), *Squeeze layers (B T, ...); v(0) = 0, spikes at v >= threshold.

::

    IAF   v += x;                          s = v >= threshold;  MembraneReset: to 0,  MembraneSubtract: minus the threshold
    LIF   v = a v + (1 - a) x  (norm_input)  or  a v + x,  a = exp(-1 / tau_mem);  the same
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from spikewright.export.foreign import ours
from spikewright.export.foreign.registry import Row, Site, Table


def _neuron(module: Any, site: Site, beta: Any, gain: Any) -> nn.Module:
    spike = getattr(module.spike_fn, "__name__", type(module.spike_fn).__name__)
    site.need(
        spike == "SingleSpike",
        f"spike_fn {spike}: several spikes a step, floor(v / threshold)",
        "train with spike_fn=SingleSpike",
    )
    site.need(module.min_v_mem is None, "min_v_mem: a floor under the membrane", "train with min_v_mem=None")
    recurrent = bool(getattr(module, "rec_connect", None)) or getattr(module, "rec_connect", None) is not None
    site.need(not recurrent, "recurrent weights", "use the layer without rec_connect")
    site.need(
        getattr(module, "tau_syn", None) is None,
        "tau_syn: a current that decays with a factor of its own",
        "use tau_syn=None",
    )
    reset = type(module.reset_fn).__name__
    site.need(
        reset in ("MembraneReset", "MembraneSubtract"), f"reset_fn {reset}", "use MembraneReset or MembraneSubtract"
    )
    theta = ours.value(module.spike_threshold)
    if reset == "MembraneReset":
        to = float(getattr(module.reset_fn, "reset_value", 0.0))
        return ours.neuron(site, beta=beta, gain=gain, threshold=theta, v_reset=to)
    subtracted = getattr(module.reset_fn, "subtract_value", None)
    same = subtracted is None or bool(np.all(np.asarray(ours.value(subtracted)) == np.asarray(theta)))
    site.need(same, "MembraneSubtract with a value of its own", "subtract the threshold")
    return ours.neuron(site, beta=beta, gain=gain, threshold=theta, subtract=True)


def _iaf(module: Any, site: Site) -> nn.Module:
    return _neuron(module, site, 1.0, 1.0)


def _lif(module: Any, site: Site) -> nn.Module:
    kept = np.exp(-1 / np.asarray(ours.value(module.tau_mem)))
    a: Any = float(kept) if np.ndim(kept) == 0 else kept
    return _neuron(module, site, a, 1 - a if module.norm_input else 1.0)


def _axis(module: Any) -> int:
    return -2 if type(module).__name__.endswith("Squeeze") else 1


_REFUSED = {
    "ALIF": "its threshold adapts",
    "ALIFRecurrent": "its threshold adapts",
    "LIFRecurrent": "recurrent weights",
    "IAFRecurrent": "recurrent weights",
    "ExpLeak": "it sends its membrane every step",
}

TABLE = Table(
    "sinabs",
    (
        *(Row(f"{n}{s}", None, why, package="sinabs") for n, why in _REFUSED.items() for s in ("", "Squeeze")),
        *(
            Row(n, make, equation, ours_, fields=("spike_fn", "reset_fn", "spike_threshold"), time_axis=_axis)
            for n, make, equation, ours_ in (
                ("IAF", _iaf, "v += x; s = v >= threshold; to 0, or minus it", "LIF(1, threshold)"),
                ("IAFSqueeze", _iaf, "IAF over (B T, ...)", "LIF(1, threshold)"),
                (
                    "LIF",
                    _lif,
                    "v = a v + (1 - a) x, a = exp(-1 / tau_mem); s = v >= threshold",
                    "LIF(a, threshold, gain 1 - a)",
                ),
                ("LIFSqueeze", _lif, "LIF over (B T, ...)", "LIF(a, threshold, gain 1 - a)"),
            )
        ),
    ),
    "3.1; several spikes a step (MultiSpike, the default) and min_v_mem have no equal yet",
)
