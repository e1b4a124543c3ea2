"""Operations of the papers' attention blocks per sample, from their sizes alone: a layer of C x H x W neurons over T steps.

MA paper    TA 2 T h_t;  CA T 2 C h_c;  SA T 2 k^2 H W           per MLP path; the other path again (``maxpath``)
MA code     TA 2 T h_t;  CA 2 C h_c;    SA 2 k^2 H W             its gates are made once a sample
causal      TA T;        CA T 2 C h_c;  SA T k^2 H W             ours: from counts, one path, squeezed by events
GAC         SCA 2 C^2 k^2 H W on an image, TA 4 T h_t            ``sca``;  A F and G S: 2 T C H W multiplies
TCJA        TLA T C^2 k_t;  CLA T^2 k_c C;  P Q: T C
STAA-style  T (2 C H W + 2 C h_c) + 2 T h_t                      reconstruction: context, its MLP, step attention

refine      T C H W multiplies a gate dimension;   pooling: T C H W additions (average) and as many comparisons (maximum)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Block:
    """Where a block stands: T steps of ``channels`` x ``pixels`` neurons (pixels = H W)."""

    timesteps: int
    channels: int
    pixels: int

    @property
    def elements(self) -> int:
        """T C H W."""
        return self.timesteps * self.channels * self.pixels


@dataclass(frozen=True)
class AttentionOps:
    """Operations of one block per sample.

    Args:
        generate: MACs that make the gates, one path: what the papers count.
        maxpath: MACs of the second path.
        refine: Multiplies that apply the gates.
        pooling: Additions and comparisons of the squeezes.
        sca: MACs of GAC's gate unit, one evaluation.
    """

    generate: float = 0
    maxpath: float = 0
    refine: float = 0
    pooling: float = 0
    sca: float = 0

    @property
    def macs(self) -> float:
        """All MACs that make gates, the gate unit evaluated once."""
        return self.generate + self.maxpath + self.sca


def ma_ops(
    block: Block, *, variant: Literal["paper", "code"], dims: str, hidden_t: int, hidden_c: int, kernel: int
) -> AttentionOps:
    """Count MA's block; ``hidden_*``: width of its MLPs over T and over C, ``kernel``: side of the spatial one."""
    times = block.timesteps if variant == "paper" else 1
    mlps = 2 * block.timesteps * hidden_t if "T" in dims else 0
    mlps += times * 2 * block.channels * hidden_c if "C" in dims else 0
    space = times * 2 * kernel**2 * block.pixels if "S" in dims else 0
    return AttentionOps(
        generate=mlps + space,
        maxpath=mlps,
        refine=len(dims) * block.elements,
        pooling=2 * len(dims) * block.elements,
    )


def causal_ops(block: Block, *, dims: str, hidden_c: int, kernel: int, spikes: float) -> AttentionOps:
    """Count our causal gates; ``spikes``: the layer's spikes per sample, each added to one count a dimension."""
    step = (1 if "T" in dims else 0) + (2 * block.channels * hidden_c if "C" in dims else 0)
    step += kernel**2 * block.pixels if "S" in dims else 0
    return AttentionOps(generate=block.timesteps * step, refine=len(dims) * block.elements, pooling=len(dims) * spikes)


def sca_macs(channels: int, pixels: int, kernel: int) -> int:
    """Return the MACs of GAC's two k x k convolutions on one frame."""
    return 2 * channels**2 * kernel**2 * pixels


def gac_ops(block: Block, *, hidden_t: int, kernel: int) -> AttentionOps:
    """Count GAC's gate unit on an image, and its two products per element: A F, and G S."""
    temporal = 4 * block.timesteps * hidden_t
    return AttentionOps(
        refine=2 * block.elements,
        pooling=2 * block.channels * block.pixels,
        sca=sca_macs(block.channels, block.pixels, kernel) + temporal,
    )


def tcja_ops(block: Block, *, tla_kernel: int = 0, cla_kernel: int = 0, spikes: float | None = None) -> AttentionOps:
    """Count TCJA; a kernel of 0: that branch is left out; ``spikes`` per sample where the squeeze counts events."""
    macs = block.timesteps * block.channels**2 * tla_kernel + block.timesteps**2 * cla_kernel * block.channels
    product = block.timesteps * block.channels if tla_kernel and cla_kernel else 0
    return AttentionOps(
        generate=macs, refine=block.elements + product, pooling=block.elements if spikes is None else spikes
    )


def staa_ops(block: Block, *, hidden_c: int, hidden_t: int) -> AttentionOps:
    """Count the STAA-style reconstruction with its softmax aggregator: keys and context, MLP, step attention."""
    per_step = 2 * block.channels * block.pixels + 2 * block.channels * hidden_c
    return AttentionOps(
        generate=block.timesteps * per_step + 2 * block.timesteps * hidden_t,
        refine=2 * block.elements,
        pooling=2 * block.elements,
    )
