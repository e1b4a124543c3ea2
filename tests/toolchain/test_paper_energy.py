"""The papers' energy formula against the figures that follow from the papers' own nets by hand."""

from __future__ import annotations

import pytest

from spikewright.toolchain.analysis.attention_ops import (
    AttentionOps,
    Block,
    causal_ops,
    gac_ops,
    ma_ops,
    sca_macs,
    staa_ops,
    tcja_ops,
)
from spikewright.toolchain.analysis.paper_energy import (
    COMPLETE,
    COMPLETE_T,
    Accounting,
    SpikingLayer,
    efficiency,
    paper_energy,
)

GESTURE = (Block(60, 64, 32 * 32), Block(60, 128, 16 * 16), Block(60, 128, 8 * 8))
"""MA's 3-layer Gesture net behind its pools."""


def mas(dims: str, *, r_c: int = 16, kernel: int = 7, variant: str = "paper") -> list[AttentionOps]:
    return [
        ma_ops(b, variant=variant, dims=dims, hidden_t=12, hidden_c=b.channels // r_c, kernel=kernel)  # type: ignore[arg-type]
        for b in GESTURE
    ]


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
    block = Block(6, 64, 32 * 32)
    ops = gac_ops(block, hidden_t=3, kernel=4)

    assert sca_macs(64, 32 * 32, 4) == 134_217_728
    assert ops.sca - 134_217_728 == 4 * 6 * 3
    sca = Accounting(include_sca=True)
    assert paper_energy(0, [], [ops], timesteps=6).attention_j == 0.0
    assert paper_energy(0, [], [ops], timesteps=6, accounting=sca).attention_j == pytest.approx(0.617e-3, rel=1e-3)
    every_step = Accounting(include_sca=True, count_first_layer_T=True)
    assert paper_energy(0, [], [ops], timesteps=6, accounting=every_step).attention_j == pytest.approx(
        3.70e-3, rel=2e-3
    )
    assert sca_macs(64, 112 * 112, 4) * 4.6e-12 == pytest.approx(7.56e-3, rel=1e-3), "ImageNet"


def test_tcja_on_dvs128_is_18_uj() -> None:
    blocks = [Block(20, 128, 16 * 16), Block(20, 128, 8 * 8)]
    found = [tcja_ops(b, tla_kernel=4, cla_kernel=4) for b in blocks]

    assert sum(ops.generate for ops in found) == 2 * (1_310_720 + 204_800)
    assert sum(ops.pooling for ops in found) == 819_200
    energy = paper_energy(0, [], found, timesteps=20, accounting=Accounting(include_refine=True))
    assert energy.attention_j == pytest.approx(17.7e-6, rel=5e-3)


def test_causal_gates_are_counted_by_their_events() -> None:
    ops = causal_ops(Block(4, 8, 9), dims="TCS", hidden_c=2, kernel=3, spikes=10.0)

    assert ops == AttentionOps(generate=4 * (1 + 32 + 81), refine=3 * 288, pooling=30.0)
    assert tcja_ops(Block(4, 8, 9), tla_kernel=2, spikes=10.0) == AttentionOps(4 * 64 * 2, 0, 288, 10.0)
    assert staa_ops(Block(4, 8, 9), hidden_c=2, hidden_t=2).generate == 4 * (144 + 32) + 16


def test_layers_are_priced_by_rate_and_graded_spikes_as_macs_where_asked() -> None:
    layers = [SpikingLayer(1000, 0.1), SpikingLayer(100, 0.5, graded=True)]

    published = paper_energy(10, layers, [], timesteps=4)
    complete = paper_energy(10, layers, [], timesteps=4, accounting=COMPLETE)
    repeated = paper_energy(10, layers, [], timesteps=4, accounting=COMPLETE_T)

    assert published.spiking_j == pytest.approx(4 * (100 + 50) * 0.9e-12)
    assert complete.spiking_j == pytest.approx(4 * (100 * 0.9 + 50 * 4.6) * 1e-12)
    assert (published.first_j, repeated.first_j) == pytest.approx((46e-12, 184e-12))
    assert efficiency(complete, published) == pytest.approx(complete.total_j / published.total_j)
    assert published.basis.startswith("estimate: literature convention")
