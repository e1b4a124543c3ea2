"""snnTorch 1.0: its classes here. A neuron takes one step a call, (B, ...), fires at mem > threshold, mem(0) = 0.

::

    Leaky  "subtract"  mem[t] = beta mem[t-1] + x[t] - threshold s[t-1]      (reset_delay, the default)
           "zero"      mem = beta mem + x;  s = mem > threshold;  mem = 0 where s       (with or without reset_delay)
           "none"      mem = beta mem + x;  s = mem > threshold
    RLeaky             the same of x[t] + R s[t-1], R a matrix, a kernel or one weight a neuron
    Lapicque           Leaky with beta = 1 - dt / (R C) and gain dt / C
    Synaptic           syn = alpha syn + x;  mem = beta mem + syn;  as Leaky

What "subtract" takes off one step late is threshold / beta at once: the same spikes. Elsewhere, with v = mem - threshold s,
the membrane lowered at once, v[t] = beta v[t-1] + x[t] + w s[t-1], by a synapse of each neuron to itself:

    "subtract", late, beta = 0     w = -threshold
    "none"                         w = beta threshold

"zero" with reset_delay keeps RLeaky, Lapicque and Synaptic at 0 in the step behind a spike: a refractory step.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from torch import nn

from spikewright.export.foreign import ours
from spikewright.export.foreign.registry import Row, Site, Table

_TWICE = "reset_mechanism 'subtract' with reset_delay=False: behind a membrane above twice the threshold a spike takes nothing"


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


def _clipped(module: Any, name: str) -> Any:
    found = np.clip(ours.value(getattr(module, name)), 0, 1)
    return float(found) if np.ndim(found) == 0 else found


def _taken(module: Any, beta: Any) -> bool | Literal["late"]:
    """Return how the threshold is subtracted; by a synapse to itself where nothing of the membrane is kept."""
    if _reset(module) != "subtract" or not np.all(np.asarray(beta) > 0):
        return _reset(module) != "zero"
    return "late"


def _own_weight(module: Any, site: Site, beta: Any) -> Any:
    """Return the weight of a neuron to itself that its reset asks for; see the module's equations."""
    reset, threshold = _reset(module), np.asarray(ours.value(module.threshold))
    site.need(
        reset != "subtract" or bool(getattr(module, "reset_delay", True)),
        _TWICE,
        "train with reset_delay=True, or reset_mechanism='zero'",
    )
    kept = np.asarray(beta)
    if _taken(module, beta) == "late":
        return 0.0
    return {"subtract": -(1 - kept) * threshold, "none": kept * threshold}.get(reset, 0.0)


def _leaky(module: Any, site: Site) -> nn.Module:
    _plain(module, site)
    beta = _clipped(module, "beta")
    threshold, subtract = ours.value(module.threshold), _taken(module, beta)
    made = ours.neuron(site, beta=beta, threshold=threshold, subtract=subtract, comparison=">")
    return ours.each_to_itself(made, _own_weight(module, site, beta), site)


def _silent_step(module: Any) -> int:
    """Return the refractory period of a reset to zero that comes one step late and takes that step's input along."""
    return 2 if _reset(module) == "zero" and getattr(module, "reset_delay", True) else 1


def _rleaky(module: Any, site: Site) -> nn.Module:
    _plain(module, site)
    beta = _clipped(module, "beta")
    made = ours.neuron(
        site,
        beta=beta,
        threshold=ours.value(module.threshold),
        subtract=_taken(module, beta),
        refractory=_silent_step(module),
        comparison=">",
    )
    own, back = _own_weight(module, site, beta), module.recurrent
    if not hasattr(back, "weight"):
        return ours.each_to_itself(made, own + np.asarray(ours.value(back.V)), site)
    weight, bias = ours.array(back.weight), getattr(back, "bias", None)
    diagonal = np.broadcast_to(np.asarray(own), site.shape).reshape(site.shape[0], -1)
    site.need(
        bool(np.all(diagonal == diagonal[:, :1])),
        "a threshold or beta that differs between pixels",
        "use one a channel",
    )
    middle = tuple(k // 2 for k in weight.shape[2:])
    for c in range(weight.shape[0]):
        weight[(c, c, *middle)] += diagonal[c, 0]
    return ours.recurrent(made, weight, None if bias is None else ours.array(bias), site)


def _lapicque_constants(module: Any) -> tuple[Any, Any]:
    R, C, dt = (np.asarray(ours.value(getattr(module, n))) for n in ("R", "C", "time_step"))
    beta, gain = 1 - dt / (R * C), R * (1 / (R * C)) * dt
    beta, gain = (float(p) if p.ndim == 0 else p for p in (beta, gain))
    return beta, gain


def _lapicque(module: Any, site: Site) -> nn.Module:
    _plain(module, site)
    beta, gain = _lapicque_constants(module)
    made = ours.neuron(
        site,
        beta=beta,
        gain=gain,
        threshold=ours.value(module.threshold),
        subtract=_taken(module, beta),
        refractory=_silent_step(module),
        comparison=">",
    )
    return _through_gain(made, _own_weight(module, site, beta), gain, site)


def _through_gain(made: nn.Module, weight: Any, gain: Any, site: Site) -> nn.Module:
    """Return a neuron with a synapse to itself that reaches the membrane through its gain."""
    return ours.each_to_itself(made, np.asarray(weight) / np.asarray(gain), site)


def _synaptic(module: Any, site: Site) -> nn.Module:
    _plain(module, site)
    beta, reset = _clipped(module, "beta"), _reset(module)
    site.need(
        reset != "none",
        "Synaptic with reset_mechanism 'none': a neuron that fires and keeps its membrane",
        "train with reset_mechanism='subtract' or 'zero'",
    )
    site.need(
        reset == "zero" or bool(getattr(module, "reset_delay", True)), _TWICE, "train with reset_delay=True, or 'zero'"
    )
    site.need(
        reset == "zero" or bool(np.all(np.asarray(beta) > 0)),
        "Synaptic with reset_mechanism 'subtract' and beta = 0: what is taken off in the next step passes the current by",
        "train with a beta above 0, or reset_mechanism='zero'",
    )
    return ours.current_based(
        site,
        alpha=_clipped(module, "alpha"),
        beta=beta,
        subtract=False if reset == "zero" else "late",
        threshold=ours.value(module.threshold),
        refractory=_silent_step(module),
        comparison=">",
    )


def _membrane(beta: Any, gain: Any, module: Any, site: Site) -> tuple[nn.Module, Any]:
    """Return the filter that a membrane is; see ``membranes``."""
    reset = _reset(module)
    site.need(
        reset != "zero" and bool(getattr(module, "reset_delay", True)),
        f"the membrane of a {type(module).__name__} with reset_mechanism {reset!r} is no filter of what it reads",
        "answer with its spikes, or train the last layer with reset_mechanism='none'",
    )
    taken = -np.asarray(ours.value(module.threshold)) / np.asarray(gain) if reset == "subtract" else 0.0
    return ours.integrator(site, beta=beta, gain=gain), taken


def _leaky_membrane(module: Any, site: Site) -> tuple[nn.Module, Any]:
    return _membrane(_clipped(module, "beta"), 1.0, module, site)


def _lapicque_membrane(module: Any, site: Site) -> tuple[nn.Module, Any]:
    return _membrane(*_lapicque_constants(module), module, site)


_REFUSED = {
    "RSynaptic": "recurrent weights between its neurons",
    "Alpha": "two currents and a difference of their decays",
    "SLSTM": "gates of real values",
    "SConv2dLSTM": "gates of real values",
    "LeakyParallel": "all steps at once, without reset",
    "StateLeaky": "all steps at once, without reset",
    "LinearLeaky": "all steps at once, without reset",
    "DeltaLeaky": "it sends differences",
    "AssociativeLeaky": "a matrix-valued state",
    "LeakyKernel": "all steps at once, without reset",
    "GradedSpikes": "spikes scaled by a learnt size: put it into the weights behind it",
}
_FIELDS = ("beta", "threshold", "reset_mechanism_val")

TABLE = Table(
    "snntorch",
    (
        *(Row(n, None, why, package="snntorch") for n, why in _REFUSED.items()),
        *(
            Row(n, make, equation, became, fields=(*fields, *_FIELDS), time_axis=-1, membrane=membrane)
            for n, make, equation, became, fields, membrane in (
                (
                    "Leaky",
                    _leaky,
                    "mem = beta mem + x; s = mem > threshold; 'zero': to 0; 'subtract': minus threshold s, one step late",
                    "LIF; 'subtract': of threshold / beta at once; 'none': with a synapse to itself; its membrane as the "
                    "answer: a leaky read-out ('subtract': that reads its spikes, too)",
                    (),
                    _leaky_membrane,
                ),
                (
                    "RLeaky",
                    _rleaky,
                    "Leaky of x[t] + R s[t-1]; 'zero' late: a step of 0 behind each spike",
                    "LIF with synapses to itself; 'zero' late: refractory",
                    ("recurrent",),
                    None,
                ),
                (
                    "Lapicque",
                    _lapicque,
                    "Leaky with beta = 1 - dt / (R C), gain dt / C",
                    "LIF(1 - dt / (R C), threshold, gain dt / C)",
                    ("R", "C", "time_step"),
                    _lapicque_membrane,
                ),
                (
                    "Synaptic",
                    _synaptic,
                    "syn = alpha syn + x; mem = beta mem + syn; s = mem > threshold; 'zero': to 0, late: with a step of 0; "
                    "'subtract': minus threshold s, one step late",
                    "nir.CubaLIF; 'zero' late: refractory; 'subtract': of threshold / beta at once",
                    ("alpha",),
                    None,
                ),
            )
        ),
        Row("SpikingNeuron", None, "a neuron whose equation is its own", package="snntorch"),
    ),
    "1.0.0",
)
