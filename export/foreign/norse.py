"""Norse 1.1: its classes here. A *Cell takes one step and its state, a class without Cell takes (T, B, ...).

::

    LIFBox   v += dt / tau_mem (v_leak - v + x);  s = v > v_th;  v = v_reset where s;   v(0) = v_leak
    w = v - v_leak:  w = (1 - r) w + r x;  s = w > v_th - v_leak;  to v_reset - v_leak;  w(0) = 0,  r = dt tau_mem_inv
    LIF      i += x;  v += dt / tau_mem (v_leak - v + i);  i -= dt / tau_syn i;  s = v > v_th;  v = v_reset where s
    u = (1 - dt / tau_syn) u + x;  w = (1 - r) w + r u;   s, reset and start as LIFBox
    IAF      v += x;  s = v > v_th;  v = v_reset where s;   v(0) = v_reset
    LI       i += x;  v += dt / tau_mem (v_leak - v + i), sent;  i -= dt / tau_syn i
    LIBox    v += dt / tau_mem (v_leak - v + x), sent
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from spikewright.export.foreign import ours
from spikewright.export.foreign.registry import Row, Site, Table


def _subtracts(p: Any, site: Site) -> bool:
    name = getattr(getattr(p, "reset_method", None), "__name__", "reset_value")
    site.need(name in ("reset_value", "reset_subtract"), f"the reset {name!r}", "use reset_value or reset_subtract")
    return name == "reset_subtract"


def _rate(inverse: Any, module: Any) -> Any:
    """Return dt / tau, in the precision of the parameter, as Norse has it."""
    return ours.value(inverse * float(module.dt))


def _box(module: Any, site: Site) -> nn.Module:
    p = module.p
    rate = _rate(p.tau_mem_inv, module)
    leak, threshold, to = (ours.value(getattr(p, n)) for n in ("v_leak", "v_th", "v_reset"))
    subtract = _subtracts(p, site)
    site.need(not subtract or not np.any(leak), "reset_subtract with a v_leak", "use v_leak = 0")
    return ours.neuron(
        site, beta=1 - rate, gain=rate, threshold=threshold - leak, v_reset=to - leak, subtract=subtract, comparison=">"
    )


def _lif(module: Any, site: Site) -> nn.Module:
    p = module.p
    rate = _rate(p.tau_mem_inv, module)
    leak, threshold, to = (ours.value(getattr(p, n)) for n in ("v_leak", "v_th", "v_reset"))
    return ours.current_based(
        site,
        alpha=1 - _rate(p.tau_syn_inv, module),
        beta=1 - rate,
        gain=rate,
        threshold=threshold - leak,
        v_reset=to - leak,
        comparison=">",
    )


def _iaf(module: Any, site: Site) -> nn.Module:
    threshold, to = ours.value(module.p.v_th), ours.value(module.p.v_reset)
    return ours.neuron(site, beta=1.0, threshold=threshold - to, comparison=">")


def _li_box(module: Any, site: Site) -> nn.Module:
    rate = _rate(module.p.tau_mem_inv, module)
    site.need(not np.any(ours.value(module.p.v_leak)), "a read-out with a v_leak", "use v_leak = 0")
    return ours.integrator(site, beta=1 - rate, gain=rate)


def _li(module: Any, site: Site) -> nn.Module:
    p, rate = module.p, _rate(module.p.tau_mem_inv, module)
    site.need(not np.any(ours.value(p.v_leak)), "a read-out with a v_leak", "use v_leak = 0")
    return ours.filtered_integrator(site, alpha=1 - _rate(p.tau_syn_inv, module), beta=1 - rate, gain=rate)


def _weights(module: Any, site: Site) -> nn.Module:
    weight = module.input_weights
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    made.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    return made


def _axis(module: Any) -> int:
    return -1 if type(module).__name__.endswith("Cell") else 0


_ENCODE = "encode the data outside the net: the net's input is the spikes, or the frames as they are"
_REFUSED = {
    "LIFRecurrent": "weights of its own at its input and between its neurons, whose current acts one step late",
    "LSNN": "its threshold adapts",
    "LIFAdEx": "the membrane moves by an exponential",
    "LIFEx": "the membrane moves by an exponential",
    "LIFRefrac": "a refractory time",
    "LIFMC": "several compartments",
    "CobaLIF": "conductances",
    "Izhikevich": "two coupled equations",
    "LIFCorrelation": "a trace of spikes",
}

TABLE = Table(
    "norse",
    (
        *(
            Row(
                n,
                _li_box,
                "v += dt / tau_mem (v_leak - v + x), sent; at the end of a net",
                "nir.LI, a read-out",
                kind="filter",
                fields=("p", "dt"),
                time_axis=_axis,
                package="norse",
                keeps_state=False,
            )
            for n in ("LIBoxCell",)
        ),
        *(
            Row(
                n,
                _li,
                "i += x; v += dt / tau_mem (v_leak - v + i), sent; i -= dt / tau_syn i; at the end of a net",
                became,
                kind="filter",
                fields=("p", "dt"),
                time_axis=_axis,
                package="norse",
                keeps_state=False,
                front=front,
            )
            for n, became, front in (
                ("LI", "nir.CubaLI, a read-out", None),
                ("LICell", "nir.CubaLI, a read-out", None),
                ("LILinearCell", "nir.Linear and nir.CubaLI, a read-out", _weights),
            )
        ),
        *(Row(f"{n}{cell}", None, why, package="norse") for n, why in _REFUSED.items() for cell in ("", "Cell")),
        *(
            Row(
                n,
                _box,
                "v += dt / tau_mem (v_leak - v + x); s = v > v_th; to v_reset; v(0) = v_leak",
                "LIF(1 - r, v_th - v_leak, gain r), r = dt tau_mem_inv",
                fields=("p", "dt"),
                time_axis=_axis,
                package="norse",
                keeps_state=False,
            )
            for n in ("LIFBoxCell",)
        ),
        *(
            Row(
                n,
                _lif,
                "i += x; v += dt / tau_mem (v_leak - v + i); i -= dt / tau_syn i; s = v > v_th; to v_reset; v(0) = v_leak",
                "nir.CubaLIF(1 - dt tau_syn_inv, 1 - r, v_th - v_leak, gain r), r = dt tau_mem_inv",
                fields=("p", "dt"),
                time_axis=_axis,
                package="norse",
                keeps_state=False,
            )
            for n in ("LIF", "LIFCell")
        ),
        *(
            Row(
                n,
                _iaf,
                "v += x; s = v > v_th; to v_reset; v(0) = v_reset",
                "LIF(1, v_th - v_reset)",
                fields=("p",),
                time_axis=_axis,
                package="norse",
                keeps_state=False,
            )
            for n in ("IAF", "IAFCell")
        ),
        *(
            Row(n, None, "it makes spikes of its input", help=_ENCODE, package="norse")
            for n in ("*Encoder", "*EncoderStep")
        ),
        *(
            Row(n, None, "a neuron whose equation is its own", package="norse")
            for n in ("SNN", "SNNCell", "SNNRecurrent", "SNNRecurrentCell")
        ),
    ),
    "1.1.0; states must be passed on from step to step",
)
