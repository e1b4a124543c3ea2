"""SpikingJelly 2.0 (and clock_driven's MultiStep*): its classes here.

::

    LIFNode      v += (x - (v - v_reset)) / tau       decay_input;     else  v += x - (v - v_reset) / tau
    s = v >= v_threshold;  v = v_reset where s,  or  v -= v_threshold s  (v_reset None);   v(0) = v_reset
    with w = v - v_reset:  w = (1 - 1/tau) w + gain x;  s = w >= v_threshold - v_reset;  to 0;  w(0) = 0

Layouts: step_mode "m" and MultiStep* take (T, B, ...), step_mode "s" takes one step a call. ``detach_reset`` and the surrogate
matter in training only. Containers (SeqToANNContainer, MultiStepContainer, StepModeContainer), VotingLayer and
ThresholdDependentBatchNorm are looked into: they need no row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from spikewright.export.foreign import ours
from spikewright.export.foreign.registry import Row, Site, Table


def _axis(module: Any) -> int | None:
    mode = getattr(module, "step_mode", None)
    if mode is None:
        return 0 if type(module).__name__.startswith("MultiStep") else None
    return 0 if mode == "m" else -1


def _neuron(module: Any, site: Site, beta: float, gain: float) -> nn.Module:
    """Return a neuron with SpikingJelly's reset; see the module's equation for v_reset."""
    surrogate = getattr(module, "surrogate_function", None)
    site.need(
        getattr(surrogate, "spiking", True),
        "surrogate_function.spiking is False: it sends real values",
        "set spiking=True",
    )
    to = 0.0 if module.v_reset is None else ours.value(module.v_reset)
    theta = ours.value(module.v_threshold)
    return ours.neuron(site, beta=beta, gain=gain, threshold=theta - to, subtract=module.v_reset is None)


def _lif(module: Any, site: Site) -> nn.Module:
    tau = ours.value(module.tau)
    return _neuron(module, site, 1 - 1 / tau, 1 / tau if getattr(module, "decay_input", True) else 1.0)


def _parametric(module: Any, site: Site) -> nn.Module:
    rate = float(torch.sigmoid(module.w.detach().double()))
    return _neuron(module, site, 1 - rate, rate if getattr(module, "decay_input", True) else 1.0)


def _if(module: Any, site: Site) -> nn.Module:
    return _neuron(module, site, 1.0, 1.0)


def _cuba(module: Any, site: Site) -> nn.Module:
    to = 0.0 if module.v_reset is None else ours.value(module.v_reset)
    return ours.current_based(
        site,
        alpha=ours.value(module.c_decay),
        beta=ours.value(module.v_decay),
        threshold=ours.value(module.v_threshold),
        v_reset=to,
        v_start=to,
        subtract=module.v_reset is None,
    )


def _decoded(module: Any, site: Site) -> None:
    decode = getattr(module, "decode", None)
    site.need(decode is None, f"decode={decode!r}", "use decode=None and answer with torch.stack(v).mean(0)")


def _non_spiking_if(module: Any, site: Site) -> nn.Module:
    _decoded(module, site)
    return ours.integrator(site, beta=1.0)


def _non_spiking_lif(module: Any, site: Site) -> nn.Module:
    _decoded(module, site)
    tau = ours.value(module.tau)
    return ours.integrator(site, beta=1 - 1 / tau, gain=1 / tau)


def _delay(module: Any, site: Site) -> nn.Module:
    return ours.delay(int(module.delay_steps))


def _multi_dimensional(module: Any, neuron: nn.Module | None, site: Site) -> nn.Module:
    weights: dict[str, torch.Tensor] = {}
    dims = ""
    for d, part in (("T", module.ta), ("C", module.ca)):
        if part is not None:
            dims += d
            key = d.lower() + "a"
            weights |= {
                f"{key}_w0": ours.flat(part.sharedMLP[0].weight),
                f"{key}_w1": ours.flat(part.sharedMLP[2].weight),
            }
    if module.sa is not None:
        dims += "S"
        weights["sa_kernel"] = module.sa.conv.weight
    return ours.ma(neuron, site, dims=dims, weights=weights)


def _temporal(module: Any, neuron: nn.Module | None, site: Site) -> nn.Module:
    rectified = bool(getattr(module, "spikewright_rectified", False))
    weights = {"ta_w0": module.sharedMLP[0].weight, "ta_w1": module.sharedMLP[2].weight}
    return ours.ma(neuron, site, dims="T", weights=weights, rectifier="relu" if rectified else "none")


def _same(module: nn.Module, site: Site) -> nn.Module:
    return module


def _layer(name: str) -> Row:
    return Row(
        name,
        _same,
        f"torch.nn.{name} of every step",
        f"{name} of every step",
        kind="layer",
        fields=("step_mode",),
        package="spikingjelly",
    )


_LIF = (
    "v += (x - (v - v_reset)) / tau (decay_input), else v += x - (v - v_reset) / tau; "
    "s = v >= v_threshold; to v_reset, None: v -= v_threshold s"
)
_IF = "v += x; s = v >= v_threshold; to v_reset, None: v -= v_threshold s"
_REFUSED = {
    "KLIFNode": "v is scaled by a learnt k and rectified before it fires",
    "GatedLIFNode": "gates between leaks, integrations and resets are learnt",
    "ComplementaryLIFNode": "a second membrane moves the reset",
    "ILIFNode": "it sends integers up to its level, not spikes",
    "LIAFNode": "it sends an activation of the membrane, not spikes",
    "QIFNode": "the membrane moves by a square",
    "EIFNode": "the membrane moves by an exponential",
    "IzhikevichNode": "two coupled equations",
    "Ternary*Node": "it sends -1, 0 and 1",
    "PSN": "the membrane is a weighted sum over all steps, without reset",
    "MaskedPSN": "the membrane is a weighted sum over steps, without reset",
    "SlidingPSN": "the membrane is a weighted sum over steps, without reset",
    "RAFNode": "the membrane turns in two dimensions",
    "STBIFNode": "it sends -1, 0 and 1",
    "FewSpikeNode": "one value is sent as a code of several steps",
    "HGNode": "one value is sent as a code of several steps",
    "OutlierAwareThresholdNode": "one value is sent as a code of several steps",
    "DSRIFNode": "spikes are weighted by step",
    "DSRLIFNode": "spikes are weighted by step",
    "HalfThresholdIFNode": "it starts at half its threshold",
    "ActivationAwareIFNode": "its threshold follows the activation",
    "MPBN*Node": "the membrane is batch-normalised before it fires",
    "ILC*Node": "neurons of a population read each other within the step",
    "Noisy*Node": "noise is added to the membrane",
    "FlexSN": "its equation is a function of the user's",
    "OTTTLIFNode": "it sends a trace beside its spikes",
    "SLTTLIFNode": "it is for online training: convert it to a LIFNode",
    "ElementWiseRecurrentContainer": "its output goes back into its input at the next step",
    "LinearRecurrentContainer": "its output goes back into its input at the next step",
    "SynapseFilter": "a filtered spike is a real value sent every step",
    "SpikingSelfAttention": "a product of two spike signals",
    "QKAttention": "a product of two spike signals",
    "TokenQKAttention": "a product of two spike signals",
    "ChannelQKAttention": "a product of two spike signals",
    "SpikeDrivenSelfAttention": "a product of two spike signals",
    "BatchNormThroughTime*": "statistics of its own at every step",
    "TemporalEffectiveBatchNorm*": "a factor of its own at every step",
    "NeuNorm": "a memory of all channels' spikes",
    "GroupNorm": "statistics of every sample",
    "SpikeCountToBinary": "one value is sent as a code of several steps",
    "TemporalBinSum": "several steps become one",
    "DropConnectLinear": "weights drawn at random",
    "SpikingLSTM*": "gates between its neurons",
    "SpikingGRU*": "gates between its neurons",
    "SpikingVanillaRNN*": "its output goes back into its input at the next step",
}


_ENCODED = "it makes spikes of its input, at random or by rank: not a part of the net"
_ENCODE = "encode the data outside the net: the net's input is the spikes, or the frames as they are"
_MAPS = "maps of two axes are taken: Conv2d, AvgPool2d, MaxPool2d, AdaptiveAvgPool2d"
_OTHER_MAPS = (
    "Conv3d", "ConvTranspose?d", "AvgPool3d", "MaxPool1d", "MaxPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool3d", "MaxUnpool?d",
    "Upsample",
)  # fmt: skip


def _rows() -> tuple[Row, ...]:
    neurons = [
        Row(n, make, equation, became, fields=fields, time_axis=_axis)
        for names, make, equation, became, fields in (
            (
                ("LIFNode", "MultiStepLIFNode", "SimpleLIFNode"),
                _lif,
                _LIF,
                "LIF(1 - 1/tau, v_threshold - v_reset, gain)",
                ("tau", "v_threshold", "v_reset"),
            ),
            (
                ("ParametricLIFNode", "MultiStepParametricLIFNode"),
                _parametric,
                "LIFNode with 1/tau = sigmoid(w)",
                "LIF",
                ("w", "v_threshold", "v_reset"),
            ),
            (
                ("IFNode", "MultiStepIFNode", "SimpleIFNode"),
                _if,
                _IF,
                "LIF(1, v_threshold - v_reset)",
                ("v_threshold", "v_reset"),
            ),
            (
                ("CUBALIFNode",),
                _cuba,
                "c = c_decay c + x; v = v_decay v + c; s = v >= v_threshold; to v_reset, None: v -= v_threshold s",
                "nir.CubaLIF",
                ("c_decay", "v_decay", "v_reset"),
            ),
        )
        for n in names
    ]
    filters = [
        Row(n, make, equation, became, kind="filter", fields=fields, time_axis=axis, package="spikingjelly")
        for n, make, equation, became, fields, axis in (
            (
                "NonSpikingIFNode",
                _non_spiking_if,
                "v += x, sent; at the end of a net",
                "nir.I, a read-out",
                ("decode",),
                0,
            ),
            (
                "NonSpikingLIFNode",
                _non_spiking_lif,
                "v += (x - v) / tau, sent; at the end of a net",
                "nir.LI, a read-out",
                ("decode", "tau"),
                0,
            ),
            ("Delay", _delay, "y[t] = x[t - delay_steps]", "nir.Delay", ("delay_steps",), _axis),
        )
    ]
    layers = [
        _layer(n)
        for n in (
            "Conv1d",
            "Conv2d",
            "BatchNorm1d",
            "BatchNorm2d",
            "AvgPool2d",
            "MaxPool2d",
            "AdaptiveAvgPool2d",
            "Linear",
            "Flatten",
        )
    ]
    return (
        *(Row(n, None, why, package="spikingjelly") for n, why in _REFUSED.items()),
        *(Row(n, None, _ENCODED, help=_ENCODE, package="spikingjelly") for n in ("*Encoder", "PopSpikeEncoder*")),
        *(Row(n, None, _MAPS, package="spikingjelly") for n in _OTHER_MAPS),
        *neurons,
        *filters,
        *layers,
        Row("BaseNode", None, "a neuron whose equation is its own", package="spikingjelly"),
        *(
            Row(n, lambda module, site: nn.Identity(), "nothing, in evaluation mode", "-", kind="layer", fields=fields)
            for n, fields in (("Dropout", ("step_mode",)), ("Dropout2d", ("step_mode",)), ("MultiStepDropout*", ("p",)))
        ),
        Row(
            "MultiDimensionalAttention",
            None,
            "relu(sa ca ta x): gates over T, C and space, pooled over all steps",
            "MALIF, variant code",
            kind="attention",
            fields=("ta", "ca", "sa"),
            time_axis=0,
            fuse=_multi_dimensional,
        ),
        Row(
            "TemporalWiseAttention",
            None,
            "sigmoid(M(avg x) + M(max x)) x over T, with the ReLU behind it if there is one",
            "MALIF, dims T, variant code, rectifier none",
            kind="attention",
            fields=("sharedMLP", "avg_pool", "max_pool"),
            time_axis=0,
            fuse=_temporal,
            package="spikingjelly",
        ),
    )


TABLE = Table("spikingjelly", _rows(), "2.0.0; clock_driven's MultiStep* too")
