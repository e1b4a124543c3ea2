"""The energy formula of attention-SNN papers, with switches for what they leave out. Literature convention, no chip.

    E = E_MAC FL(1) + E_AC sum_n FL_SNN(n) + dE,    FL_SNN(n) = T FL(n) Phi(n-1)
    FL: dense MACs of one step (conv k^2 h w c_in c_out, fc i o);   Phi: mean firing rate of the layer's input
    dE = E_MAC dMAC, what the attention adds;   the ACs it saves are in the smaller Phi
    r_EE = E(vanilla twin) / E(with attention);   NASAR = mean over t of spikes at t / neurons

Yao et al., TPAMI 2023; E_MAC 4.6 pJ, E_AC 0.9 pJ (Horowitz, ISSCC 2014, 45 nm fp32). That of Qiu et al., AAAI 2024, is known
from second hand only: the same without dE. A multiply alone is priced as a MAC, as the SimAM row of Yao et al. does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spikewright.toolchain.analysis.literature import AC_PJ, LABEL, MAC_PJ
from spikewright.toolchain.attention_block import AttentionOps

BASIS = f"estimate: {LABEL}"


@dataclass(frozen=True)
class Accounting:
    """What is counted. All off: the papers' accounting.

    Args:
        include_maxpath: The second path of MLPs that read an average and a maximum.
        include_refine: The multiplies that apply gates, g X.
        include_pooling: The additions and comparisons of the squeezes, priced as ACs.
        include_sca: The gate unit of a block that reads frames.
        count_first_layer_T: The first layer (and the gate unit that reads it) T times, as the authors' code runs; else once: on
            an image every step is the same.
        graded_as_mac: A synapse that a graded spike reaches multiplies.
    """

    include_maxpath: bool = False
    include_refine: bool = False
    include_pooling: bool = False
    include_sca: bool = False
    count_first_layer_T: bool = False
    graded_as_mac: bool = False


PUBLISHED = Accounting()
COMPLETE = Accounting(True, True, True, True, False, True)
COMPLETE_T = Accounting(True, True, True, True, True, True)


@dataclass(frozen=True)
class SpikingLayer:
    """A synaptic layer behind the first spikes.

    Args:
        macs: FL, dense MACs of one step.
        rate: Phi of its input: the share of inputs and steps that are not 0.
        graded: Whether its input spikes carry values other than 1.
    """

    macs: int
    rate: float
    graded: bool = False


@dataclass(frozen=True)
class PaperEnergy:
    """Energy of one sample by the formula, J, in its three terms.

    Args:
        first_j: The first layer.
        spiking_j: All other layers.
        attention_j: dE.
        basis: What these figures are.
    """

    first_j: float
    spiking_j: float
    attention_j: float
    basis: str = BASIS

    @property
    def total_j(self) -> float:
        """E in J, per sample, by the literature's 45 nm convention (Horowitz, ISSCC 2014, Fig. 1.1.9)."""
        return self.first_j + self.spiking_j + self.attention_j


def paper_energy(
    first_macs: int,
    layers: Sequence[SpikingLayer],
    attention: Sequence[AttentionOps],
    *,
    timesteps: int,
    accounting: Accounting = PUBLISHED,
) -> PaperEnergy:
    """Return E of one sample.

    Args:
        first_macs: FL(1), the dense MACs of one frame.
        layers: The layers behind it.
        attention: Operations of each attention block, per sample.
        timesteps: T.
        accounting: What is counted.
    """
    times = timesteps if accounting.count_first_layer_T else 1
    spiking = sum(
        timesteps * layer.macs * layer.rate * (MAC_PJ if layer.graded and accounting.graded_as_mac else AC_PJ)
        for layer in layers
    )
    added = sum(_attention_pj(ops, times, accounting) for ops in attention)
    return PaperEnergy(times * first_macs * MAC_PJ * 1e-12, spiking * 1e-12, added * 1e-12)


def _attention_pj(ops: AttentionOps, times: int, accounting: Accounting) -> float:
    macs: float = ops.generate
    if accounting.include_maxpath:
        macs += ops.maxpath
    if accounting.include_refine:
        macs += ops.refine
    if accounting.include_sca:
        macs += times * (ops.sca + ops.sca_time)
    return macs * MAC_PJ + (ops.pooling * AC_PJ if accounting.include_pooling else 0.0)
