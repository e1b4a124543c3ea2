"""The papers' energy formula against the figures that follow from the papers' own nets by hand."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import pytest

from spikewright.toolchain.analysis.macs import macs_per_sample
from spikewright.toolchain.analysis.paper_energy import (
    COMPLETE,
    COMPLETE_T,
    Accounting,
    SpikingLayer,
    paper_energy,
)
from spikewright.toolchain.blocks import AttentionBlock, AttentionOps
from spikewright.toolchain.blocks.gac import GAC
from spikewright.toolchain.blocks.ma import MALIF
from spikewright.toolchain.blocks.staa import STAALIF
from spikewright.toolchain.blocks.tcja import TCJA
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Input, Output
from spikewright.toolchain.spike_driven.signals import Context

Sizes = tuple[int, int, int]
"""T, C, and H = W."""


def block(
    cls: type[AttentionBlock], sizes: Sizes, parameters: dict[str, tuple[int, ...]], **options: str
) -> AttentionBlock:
    T, C, side = sizes
    zeros = {name: np.broadcast_to(0.0, shape) for name, shape in parameters.items()}
    return cls(name="block", shape=(C, side, side), neuron=None, timesteps=T, parameters=zeros, **options)


def ma_ops(sizes: Sizes, *, variant: str, dims: str, hidden_t: int, hidden_c: int, kernel: int) -> AttentionOps:
    T, C, _ = sizes
    shapes = {"ta_w0": (hidden_t, T), "ta_w1": (T, hidden_t), "ca_w0": (hidden_c, C), "ca_w1": (C, hidden_c)}
    shapes |= {"sa_kernel": (1, 2, kernel, kernel)}
    return block(MALIF, sizes, shapes, variant=variant, dims=dims).cost()


def causal_ops(sizes: Sizes, *, dims: str, hidden_c: int, kernel: int, spikes: float | None) -> AttentionOps:
    C = sizes[1]
    shapes = {"ca_w0": (hidden_c, C), "ca_w1": (C, hidden_c), "sa_kernel": (1, 1, kernel, kernel)}
    return block(MALIF, sizes, shapes, variant="causal", dims=dims).cost(spikes)


def gac_ops(sizes: Sizes, *, hidden_t: int, kernel: int) -> AttentionOps:
    T, C, _ = sizes
    shapes = {"ta_w0": (hidden_t, T), "ta_w1": (T, hidden_t)}
    return block(GAC, sizes, shapes | dict.fromkeys(("conv0", "conv1"), (C, C, kernel, kernel))).cost()


def tcja_ops(sizes: Sizes, *, dims: str = "TC", kernel: int, spikes: float | None = None) -> AttentionOps:
    T, C, _ = sizes
    variant = "published" if spikes is None else "causal"
    shapes = {"tla": (C, C, kernel), "cla": (T, T, kernel)}
    return block(TCJA, sizes, shapes, variant=variant, dims=dims).cost(spikes)


def staa_ops(sizes: Sizes, *, hidden_c: int, hidden_t: int) -> AttentionOps:
    T, C, _ = sizes
    shapes = {"gc_key": (1, C), "gc_query": (hidden_c, C), "gc_value": (C, hidden_c)}
    shapes |= {"sa_w0": (hidden_t, T), "sa_w1": (T, hidden_t)}
    return block(STAALIF, sizes, shapes, variant="reconstruction").cost()


GESTURE = ((60, 64, 32), (60, 128, 16), (60, 128, 8))
"""MA's 3-layer Gesture net behind its pools."""


def mas(dims: str, *, r_c: int = 16, kernel: int = 7, variant: str = "paper") -> list[AttentionOps]:
    return [ma_ops(b, variant=variant, dims=dims, hidden_t=12, hidden_c=b[1] // r_c, kernel=kernel) for b in GESTURE]


def test_mas_table_5_counts_one_path_and_no_refinement() -> None:
    channel = mas("C")

    assert sum(ops.generate for ops in channel) == 276_480 == 60 * 4_608
    assert sum(ops.maxpath for ops in channel) == 276_480
    assert sum(ops.refine for ops in channel) == 6_389_760
    assert sum(ops.generate for ops in mas("C", r_c=8)) == 2 * 276_480


def test_refinement_is_29_uj_an_attention_and_88_uj_for_three() -> None:
    refine = Accounting(include_refine=True)

    one = paper_energy(0, [], [AttentionOps(refine=o.refine) for o in mas("C")], timesteps=60, accounting=refine)
    three = paper_energy(0, [], [AttentionOps(refine=o.refine) for o in mas("TCS")], timesteps=60, accounting=refine)
    assert one.attention_j == pytest.approx(29.4e-6, rel=2e-3)
    assert three.attention_j == pytest.approx(88.2e-6, rel=2e-3)
    assert paper_energy(0, [], mas("C"), timesteps=60).attention_j == pytest.approx(276_480 * 4.6e-12)


def test_spatial_attention_of_ma_is_8_or_1_and_a_half_million_macs() -> None:
    assert sum(ops.generate for ops in mas("S")) == 7_902_720
    assert sum(ops.generate for ops in mas("S", kernel=3)) == 1_451_520
    assert sum(ops.generate for ops in mas("S", kernel=3, variant="code")) == 1_451_520 / 60


def test_the_first_convolution_of_the_gesture_net_is_70_8_million_macs_when_dense() -> None:
    macs = 9 * 2 * 64 * 32 * 32

    energy = paper_energy(macs, [], [], timesteps=60, accounting=Accounting(count_first_layer_T=True))

    assert 60 * macs == 70_778_880
    assert energy.first_j == pytest.approx(0.326e-3, rel=2e-3)
    assert paper_energy(macs, [], [], timesteps=60).first_j == pytest.approx(0.326e-3 / 60, rel=2e-3)


def test_gacs_gate_unit_on_cifar_is_left_out_by_the_papers_and_is_0_6_mj_once() -> None:
    ops = gac_ops((6, 64, 32), hidden_t=3, kernel=4)

    assert (ops.sca, ops.sca_time) == (134_217_728, 4 * 6 * 3)
    sca = Accounting(include_sca=True)
    assert paper_energy(0, [], [ops], timesteps=6).attention_j == 0.0
    assert paper_energy(0, [], [ops], timesteps=6, accounting=sca).attention_j == pytest.approx(0.617e-3, rel=1e-3)
    every_step = Accounting(include_sca=True, count_first_layer_T=True)
    assert paper_energy(0, [], [ops], timesteps=6, accounting=every_step).attention_j == pytest.approx(
        3.70e-3, rel=2e-3
    )
    assert gac_ops((6, 64, 112), hidden_t=3, kernel=4).sca * 4.6e-12 == pytest.approx(7.56e-3, rel=1e-3), "ImageNet"


def test_tcja_on_dvs128_is_18_uj() -> None:
    blocks = [(20, 128, 16), (20, 128, 8)]
    found = [tcja_ops(b, kernel=4) for b in blocks]

    assert sum(ops.generate for ops in found) == 2 * (1_310_720 + 204_800)
    assert sum(ops.pooling for ops in found) == 819_200
    energy = paper_energy(0, [], found, timesteps=20, accounting=Accounting(include_refine=True))
    assert energy.attention_j == pytest.approx(17.7e-6, rel=5e-3)


def test_causal_gates_are_counted_by_their_events() -> None:
    ops = causal_ops((4, 8, 3), dims="TCS", hidden_c=2, kernel=3, spikes=10.0)

    assert ops == AttentionOps(generate=4 * (1 + 32 + 81), refine=3 * 288, pooling=30.0)
    assert tcja_ops((4, 8, 3), dims="T", kernel=2, spikes=10.0) == AttentionOps(4 * 64 * 2, 0, 288, 10.0)
    assert staa_ops((4, 8, 3), hidden_c=2, hidden_t=2).generate == 4 * (144 + 32) + 16


def test_layers_are_priced_by_rate_and_graded_spikes_as_macs_where_asked() -> None:
    layers = [SpikingLayer(1000, 0.1), SpikingLayer(100, 0.5, graded=True)]

    published = paper_energy(10, layers, [], timesteps=4)
    complete = paper_energy(10, layers, [], timesteps=4, accounting=COMPLETE)
    repeated = paper_energy(10, layers, [], timesteps=4, accounting=COMPLETE_T)

    assert published.spiking_j == pytest.approx(4 * (100 + 50) * 0.9e-12)
    assert complete.spiking_j == pytest.approx(4 * (100 * 0.9 + 50 * 4.6) * 1e-12)
    assert (published.first_j, repeated.first_j) == pytest.approx((46e-12, 184e-12))
    assert published.basis.startswith("estimate: literature convention")


@pytest.mark.parametrize(("variant", "macs"), [("code", 1_408), ("causal", 5_128), ("paper", 10_368)])
def test_one_count_of_a_gates_macs_is_what_checker_report_and_formula_read(variant: str, macs: int) -> None:
    """T = 8, C = 16, 8 x 8, TCS: 2 paths of 2 T h_t and 2 C h_c MACs, 2 k^2 H W; causal: one path, a product a step for TA."""
    path_t, path_c, space = 2 * 8 * 4, 2 * 16 * 2, 3 * 3 * 8 * 8
    by_hand = {
        "code": 2 * path_t + 2 * path_c + 2 * space,
        "paper": 2 * path_t + 8 * (2 * path_c + 2 * space),
        "causal": 8 * (1 + path_c + space),
    }
    shapes = {"ta_w0": (4, 8), "ta_w1": (8, 4), "ca_w0": (2, 16), "ca_w1": (16, 2)}
    shapes |= {"sa_kernel": (1, 1 if variant == "causal" else 2, 3, 3)}
    op = replace(block(MALIF, (8, 16, 8), shapes, variant=variant, dims="TCS"), inputs=("in",))
    graph = Graph((Input(name="in", shape=op.shape), op, Output(name="out", inputs=("block",))), timesteps=8)
    context = Context("binary", True, None, 8, frozenset(), graph.by_name, {})

    assert by_hand[variant] == macs == op.cost().macs
    assert op.judge([()], context).macs == op.macs_per_step == ceil(macs / 8)
    assert macs_per_sample(graph, still=False) == macs_per_sample(graph, still=True) == macs + 3 * 8 * 16 * 64
    priced = paper_energy(0, [], [op.cost()], timesteps=8, accounting=Accounting(include_maxpath=True))
    assert priced.attention_j == pytest.approx(macs * 4.6e-12)
