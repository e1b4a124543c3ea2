"""The papers' released code, by class name: TCJA, GAC, MA-SNN, Att-Res-SNN; their packages are never imported.

::

    LIFSpike(thresh, tau)      m = tau m + x;          s = m > thresh;   to 0                      N4    (B, T, ...)
    mem_update                 m = decay m + x;        s = m > thresh;   to 0                      N3    (T, B, ...)
    IFCell, ConvIFCell         u = h + x;  s = u >= Vthres;  h = alpha (Vthres s + (1 - s) u) + beta   N2    one step a call
    TCJA, TLA, CLA             x sigmoid(conv_c(z) conv(z)),  z the mean over H and W                   (T, B, ...), TET too
    GAC(x, lif(x))             sigmoid(TA(x) SCA(x)) lif(x)                          (B, T, ...) or (T, B, ...)
    TCSA .. SA, then a cell    relu(sa ca ta x), gates pooled over all T                                (B, T, ...)

``mem_update`` takes thresh, decay and time_window from its file. SeqToANNContainer, tdLayer, tdBatchNorm, batch_norm_2d,
Snn_Conv2d, Layer, ConvAttLIF, AttLIF and VotingLayer need no row: they are looked into.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from spikewright.export.foreign import ours
from spikewright.export.foreign.registry import Row, Site, Table


def _lif_spike(module: Any, site: Site) -> nn.Module:
    tie = (
        ours.fires_at_tie(module.act, site, module.gama)
        if hasattr(module, "gama")
        else ours.fires_at_tie(module.act, site)
    )
    return ours.neuron(site, beta=ours.value(module.tau), threshold=ours.value(module.thresh), comparison=tie)


def _mem_update(module: Any, site: Site) -> nn.Module:
    home = type(module).forward.__globals__
    site.need(
        "thresh" in home and "decay" in home and "act_fun" in home,
        "mem_update without thresh, decay and act_fun in its file",
        "keep them there",
    )
    site.need(
        home.get("time_window", site.steps) == site.steps,
        f"time_window {home.get('time_window')}, where T = {site.steps}",
        "make them equal",
    )
    threshold = float(home["thresh"])
    tie = ours.fires_at_tie(lambda x: home["act_fun"](x + threshold), site)
    return ours.neuron(site, beta=float(home["decay"]), threshold=threshold, comparison=tie)


def _cell(module: Any, site: Site) -> nn.Module:
    alpha, beta, threshold = (ours.value(getattr(module, n)) for n in ("alpha", "beta", "Vthres"))
    site.need(
        getattr(module, "mode_select", "spike") == "spike",
        "mode_select 'mem' (LIAF): it sends real values, not spikes",
        "train with mode_select='spike'",
    )
    site.need(
        not np.any(np.asarray(beta)), "a cell with beta != 0, a leak that starts at step 1", "train with beta = 0"
    )
    tie = ours.fires_at_tie(module.spikeActFun, site)
    return ours.neuron(site, beta=alpha, threshold=threshold, v_reset=threshold, comparison=tie)


def _kernel(conv: nn.Module | None) -> Tensor | None:
    if isinstance(conv, nn.Sequential):
        conv = conv[0]
    weight = getattr(conv, "weight", None)
    return weight if isinstance(weight, Tensor) else None


def _tcja(module: Any, site: Site) -> nn.Module:
    return ours.tcja(site, tla=_kernel(getattr(module, "conv_c", None)), cla=_kernel(getattr(module, "conv", None)))


def _gac(module: Any, neuron: nn.Module | None, site: Site) -> nn.Module:
    assert neuron is not None
    ta, sca = module.TA.sharedMLP, module.SCA.sharedMLP
    weights = {
        "ta_w0": ours.flat(ta[0].weight),
        "ta_w1": ours.flat(ta[2].weight),
        "conv0": sca[0].weight,
        "conv1": sca[2].weight,
    }
    return ours.gac(neuron, site, weights)


def _ma(module: Any, neuron: nn.Module | None, site: Site) -> nn.Module:
    weights: dict[str, Tensor] = {}
    dims = ""
    for d in "TC":
        part = getattr(module, f"{d.lower()}a", None)
        if part is not None:
            dims += d
            key = f"{d.lower()}a"
            weights |= {
                f"{key}_w0": ours.flat(part.sharedMLP[0].weight),
                f"{key}_w1": ours.flat(part.sharedMLP[2].weight),
            }
    if getattr(module, "sa", None) is not None:
        dims += "S"
        weights["sa_kernel"] = module.sa.conv.weight
    return ours.ma(neuron, site, dims=dims, weights=weights)


_MA = "relu of the gates (M(avg) + M(max), sigmoid) over {} times x, each pooled over all T; a cell must follow"

_PRODUCTS = "a product of spike signals"
_SDSA = "SDSA-1 and Q-K token attention are blocks of ours: spikewright.models.attention.sdsa"

TABLE = Table(
    "authors",
    (
        *(
            Row(n, None, _PRODUCTS, fields=fields, help=_SDSA)
            for n, fields in (
                ("MS_SSA_Conv", ("q_conv", "q_lif")),
                ("SSA", ("q_lif", "k_lif")),
                ("Token_QK_Attention", ("q_lif", "k_lif")),
                ("Spiking_Self_Attention", ("q_lif", "k_lif")),
            )
        ),
        Row(
            "LIFSpike",
            _lif_spike,
            "m = tau m + x; s = m > thresh; to 0",
            "LIF (N4)",
            fields=("thresh", "tau", "act"),
            keeps_state=False,
        ),
        Row(
            "mem_update",
            _mem_update,
            "m = decay m (1 - s) + x; s = m > thresh",
            "LIF (N3)",
            time_axis=0,
            keeps_state=False,
        ),
        *(
            Row(
                n,
                _cell,
                "u = h + x; s = u >= Vthres; h = alpha (Vthres s + (1 - s) u) + beta",
                "LIF (N2)",
                fields=("Vthres", "alpha", "spikeActFun"),
                time_axis=-1,
            )
            for n in ("IFCell", "ConvIFCell")
        ),
        *(
            Row(n, _tcja, equation, f"TCJA, dims {dims}", kind="neuron", fields=fields, keeps_state=False)
            for n, equation, dims, fields in (
                ("TCJA", "x sigmoid(conv_c(z) conv(z))", "TC", ("conv", "conv_c")),
                ("TLA", "x sigmoid(conv_c(z))", "T", ("conv_c",)),
                ("CLA", "x sigmoid(conv(z))", "C", ("conv",)),
            )
        ),
        Row(
            "GAC",
            None,
            "sigmoid(TA(x) SCA(x)) lif(x)",
            "GAC",
            kind="gate",
            fields=("TA", "SCA"),
            keeps_state=False,
            fuse=_gac,
        ),
        *(
            Row(
                n,
                None,
                _MA.format(", ".join(dims)),
                f"MALIF, dims {dims}, variant code",
                kind="attention",
                fields=fields,
                fuse=_ma,
            )
            for n, dims, fields in (
                ("TCSA", "TCS", ("ta", "ca", "sa")),
                ("TCA", "TC", ("ta", "ca")),
                ("CSA", "CS", ("ca", "sa")),
                ("TSA", "TS", ("ta", "sa")),
                ("TA", "T", ("ta", "relu")),
                ("CA", "C", ("ca", "relu")),
                ("SA", "S", ("sa", "relu")),
            )
        ),
    ),
    "ridgerchu/TCJA, bollossom/GAC, BICLab/Attention-SNN",
)
