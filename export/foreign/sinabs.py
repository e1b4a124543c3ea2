"""sinabs 3.1: its classes here. Layers take (B, T, ...), *Squeeze layers (B T, ...); v(0) = 0, spikes at v >= threshold.

::

    IAF   v += x;     SingleSpike: s = v >= threshold;   MultiSpike, MaxSpike(n): s = floor(v / threshold), n at most
    LIF   v = a v + (1 - a) x  (norm_input)  or  a v + x,   a = exp(-1 / tau_mem)
          tau_syn:  i = b (i + x) in the place of x,   b = exp(-1 / tau_syn)
    MembraneSubtract: v -= threshold s,   MembraneReset: v = c + (0 where s > 0, else v);   v = max(v, min_v_mem)

Without a floor, c is a drift: with w = v - c behind the reset, w = a w + x + a c, to 0, w(0) = -c.
*Recurrent: x[t] + rec_connect(s[t-1]), of a Linear or Conv2d without a bias (theirs acts from step 1 on).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from spikewright.export.foreign import ours
from spikewright.export.foreign.registry import Row, Site, Table


def _spikes(module: Any, site: Site) -> int | None:
    """Return how often it fires in a step at most; None: any number of times."""
    fires = module.spike_fn
    name = getattr(fires, "__name__", type(fires).__name__)
    site.need(
        name in ("SingleSpike", "MultiSpike", "MaxSpike"), f"spike_fn {name}", "use SingleSpike, MultiSpike or MaxSpike"
    )
    return {"SingleSpike": 1, "MultiSpike": None}.get(name, getattr(fires, "max_num_spikes_per_bin", None))


def _reset(module: Any, site: Site, theta: Any) -> tuple[bool, float]:
    """Return whether it subtracts, and the value that a MembraneReset adds in every step."""
    reset = type(module.reset_fn).__name__
    site.need(
        reset in ("MembraneReset", "MembraneSubtract"), f"reset_fn {reset}", "use MembraneReset or MembraneSubtract"
    )
    if reset == "MembraneReset":
        return False, float(getattr(module.reset_fn, "reset_value", 0.0))
    subtracted = getattr(module.reset_fn, "subtract_value", None)
    same = subtracted is None or bool(np.all(np.asarray(ours.value(subtracted)) == np.asarray(theta)))
    site.need(same, "MembraneSubtract with a value of its own", "subtract the threshold")
    return True, 0.0


def _neuron(module: Any, site: Site, beta: Any, gain: Any) -> nn.Module:
    theta = ours.value(module.spike_threshold)
    subtract, added = _reset(module, site, theta)
    floor = None if module.min_v_mem is None else ours.value(module.min_v_mem)
    site.need(not added or floor is None, "a MembraneReset to another value than 0 above a floor", "use min_v_mem=None")
    common: dict[str, Any] = {
        "beta": beta,
        "threshold": theta,
        "subtract": subtract,
        "max_spikes": _spikes(module, site),
        "v_min": floor,
        "v_start": -added,
    }
    tau_syn = getattr(module, "tau_syn", None)
    if tau_syn is None:
        return ours.neuron(site, gain=gain, leak=np.asarray(beta) * added if added else 0.0, **common)
    site.need(not added, "a MembraneReset to another value than 0 behind tau_syn", "use reset_value=0")
    kept = _kept(tau_syn)
    return ours.current_based(site, alpha=kept, gain_u=kept, gain=gain, **common)


def _kept(tau: Any) -> Any:
    found = np.exp(-1 / np.asarray(ours.value(tau)))
    return float(found) if np.ndim(found) == 0 else found


def _iaf(module: Any, site: Site) -> nn.Module:
    return _neuron(module, site, 1.0, 1.0)


def _lif(module: Any, site: Site) -> nn.Module:
    a = _kept(module.tau_mem)
    return _neuron(module, site, a, 1 - a if module.norm_input else 1.0)


def _exp_leak(module: Any, site: Site) -> nn.Module:
    a = _kept(module.tau_mem)
    site.need(module.min_v_mem is None, "ExpLeak with a floor", "use min_v_mem=None")
    return ours.integrator(site, beta=a, gain=1 - a if module.norm_input else 1.0)


def _recurrent(make: Callable[[Any, Site], nn.Module]) -> Callable[[Any, Site], nn.Module]:
    def made(module: Any, site: Site) -> nn.Module:
        back = module.rec_connect
        parts = [part for part in back.modules() if not list(part.children())]
        maps = [part for part in parts if not isinstance(part, nn.Flatten | nn.Unflatten | nn.Identity)]
        plain = len(maps) == 1 and isinstance(maps[0], nn.Linear | nn.Conv2d) and not _biased(maps[0])
        site.need(
            plain,
            f"rec_connect {type(back).__name__}, which is more than one Linear or Conv2d without a bias",
            "use one",
        )
        return ours.recurrent(make(module, site), ours.array(maps[0].weight), None, site)

    return made


def _biased(layer: Any) -> bool:
    return layer.bias is not None and bool(layer.bias.any())


def _sum_pool(module: Any, site: Site) -> nn.Module:
    """Return the sums of windows as a convolution of ones, a channel each."""
    site.need(
        module.norm_type == 1 and not module.ceil_mode and len(site.shape) == 3,
        f"SumPool2d of norm_type {module.norm_type}, ceil_mode {module.ceil_mode}, on {len(site.shape)} axes",
        "use norm_type=1, ceil_mode=False on maps",
    )
    kernel = (module.kernel_size,) * 2 if isinstance(module.kernel_size, int) else tuple(module.kernel_size)
    c = site.shape[0]
    made = nn.Conv2d(c, c, kernel, stride=module.stride or kernel, groups=c, bias=False)
    made.weight = nn.Parameter(torch.ones_like(made.weight), requires_grad=False)
    return made


def _axis(module: Any) -> int:
    return -2 if type(module).__name__.endswith("Squeeze") else 1


_REFUSED = {
    "ALIF": "its threshold adapts",
    "ALIFRecurrent": "its threshold adapts",
}

_REFUSED_LAYERS = {
    "NeuromorphicReLU": "it rounds at random",
    "QuantizeLayer": "it rounds its input",
    "SpikingMaxPooling2dLayer": "the largest of sums of spikes over time passes",
    "Img2SpikeLayer": "it draws spikes at random: encode the data outside the net",
    "Sig2SpikeLayer": "it repeats every step: encode the data outside the net",
    "StatefulLayer": "a layer whose equation is its own",
}

TABLE = Table(
    "sinabs",
    (
        *(Row(f"{n}{s}", None, why, package="sinabs") for n, why in _REFUSED.items() for s in ("", "Squeeze")),
        *(Row(n, None, why, package="sinabs") for n, why in _REFUSED_LAYERS.items()),
        Row(
            "SumPool2d",
            _sum_pool,
            "sum of windows",
            "nir.Conv2d of ones, a channel each",
            kind="layer",
            fields=("norm_type",),
            package="sinabs",
        ),
        *(
            Row(
                n,
                _exp_leak,
                equation,
                "nir.LI, a read-out",
                kind="filter",
                fields=("tau_mem", "norm_input"),
                time_axis=_axis,
                package="sinabs",
            )
            for n, equation in (
                ("ExpLeak", "v = a v + (1 - a) x (norm_input), or a v + x, sent; at the end of a net"),
                ("ExpLeakSqueeze", "ExpLeak over (B T, ...)"),
            )
        ),
        *(
            Row(n, make, equation, ours_, fields=("spike_fn", "reset_fn", "spike_threshold"), time_axis=_axis)
            for n, make, equation, ours_ in (
                ("IAFRecurrent", _recurrent(_iaf), "IAF of x[t] + rec_connect(s[t-1])", "LIF with synapses to itself"),
                ("LIFRecurrent", _recurrent(_lif), "LIF of x[t] + rec_connect(s[t-1])", "LIF with synapses to itself"),
                (
                    "IAF",
                    _iaf,
                    "v += x; s = floor(v / threshold); to 0, or minus threshold s; v = max(v, min_v_mem)",
                    "LIF(1, threshold), several spikes a step, floor",
                ),
                ("IAFSqueeze", _iaf, "IAF over (B T, ...)", "as IAF"),
                (
                    "LIF",
                    _lif,
                    "v = a v + (1 - a) x, a = exp(-1 / tau_mem); as IAF; tau_syn: of a current i = b (i + x)",
                    "LIF(a, threshold, gain 1 - a); tau_syn: nir.CubaLIF",
                ),
                ("LIFSqueeze", _lif, "LIF over (B T, ...)", "as LIF"),
            )
        ),
    ),
    "3.1",
)
