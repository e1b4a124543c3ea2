"""What the measured claims count, against hand counts, and what of it the chip takes (tiny nets, few images)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from benchmarks.attention_effect.chip import RELU, chip_energy, folded
from benchmarks.attention_effect.count import attention_ops, count, sops
from benchmarks.attention_effect.run import figures
from torch import Tensor, nn

from spikewright.models.layers import Conv2d, Flatten, Linear
from spikewright.models.nets import SmallNet
from spikewright.models.neurons import lif
from spikewright.models.train.data import Data
from spikewright.toolchain.blocks import AttentionOps


def images(n: int = 6, side: int = 8) -> Data:
    generator = torch.Generator().manual_seed(0)
    return Data(torch.rand(1, n, 1, side, side, generator=generator), torch.arange(n) % 10, 6)


def net(attention: str, variant: str = "published", **more: Any) -> SmallNet:
    """Return a small net that spikes: fresh norms let too little through."""
    torch.manual_seed(0)
    made = SmallNet(6, 8, attention=attention, variant=variant, channels=(4, 8, 8), **more)  # type: ignore[arg-type]
    for m in made.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.constant_(m.weight, 3.0)
    return made.eval()


# ------------------------------------------------------------------------------------------------ counts
def test_sops_are_the_synapses_that_spikes_reach_with_the_padding_and_zero_weights_left_out() -> None:
    conv = Conv2d(2, 3, 3, stride=2, padding=1, bias=False)
    nn.init.constant_(conv.weight, 0.5)
    conv.weight.data[1, 0, 1, 1] = 0.0
    fired = torch.zeros(1, 1, 2, 4, 4, dtype=torch.bool)
    fired[0, 0, 0, 0, 0] = True  # read by the output at (0, 0) alone, through the kernel's middle
    assert sops(conv, fired) == 2
    fired[0, 0, 1, 1, 1] = True  # read by all four outputs around it
    assert sops(conv, fired) == 2 + 4 * 3

    fc = Linear(3, 5)
    nn.init.constant_(fc.weight, 1.0)
    assert sops(fc, torch.tensor([[[True, False, True]]])) == 10


def test_counts_are_those_of_a_walk_by_hand() -> None:
    torch.manual_seed(0)
    conv, first, fc = Conv2d(1, 2, 3, padding=1), lif("N1"), Linear(2 * 64, 10)
    module = nn.Sequential(conv, first, Flatten(), fc, _MeanOverTime())
    nn.init.constant_(conv.weight, 0.1)
    data = images(4)

    counts = count(module, data)

    with torch.no_grad():
        spikes = first(conv(data.steps(data.x)))
    assert counts.spikes == float(spikes.sum()) / 4
    assert counts.spikes_behind_stem == 0
    assert counts.nasar == pytest.approx(float(spikes.mean()))
    assert counts.nasar == pytest.approx(float((spikes.flatten(2).sum(2) / 128).mean()), rel=1e-6), (
        "as the paper has it"
    )
    assert counts.sops(graded=False) == 10 * counts.spikes
    assert counts.sops(graded=True) == 0
    assert (counts.first, counts.synapses["0"].macs, counts.synapses["3"].macs) == ("0", 2 * 9 * 64, 1280)


class _MeanOverTime(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0)


def test_a_graded_spike_makes_the_layer_it_reaches_graded_and_a_mask_does_not() -> None:
    data = images()

    graded = count(net("gac"), data)
    masked = count(net("gac", "causal"), data)

    assert graded.sops(graded=True) > 0
    assert [layer.graded for layer in graded.synapses.values()] == [False, True, False, False]
    assert masked.sops(graded=True) == 0
    assert graded.spikes > masked.sops(graded=False) / (8 * 9), "a mask closes spikes; they are counted before it"


@pytest.mark.parametrize(
    "form", ["ma published", "ma code", "ma causal", "staa published", "tcja causal", "gac published"]
)
def test_every_neuron_is_counted_once_and_every_block_has_its_operations(form: str) -> None:
    module = net(*form.split())

    counts = count(module, images())

    sizes = [torch.Size(layer.shape).numel() for layer in counts.neurons.values()]
    assert sizes == [4 * 64, 8 * 16, 8 * 4]
    assert [layer.opportunities for layer in counts.neurons.values()] == [6 * 6 * size for size in sizes]
    ops = attention_ops(module, counts)
    assert len(ops) == (1 if form.startswith("gac") else 2)
    assert all(o.macs > 0 and o.refine > 0 for o in ops)


def test_operations_of_ma_and_gac_follow_from_their_sizes() -> None:
    ma, gac = net("ma"), net("gac")

    second, last = attention_ops(ma, count(ma, images()))

    mlps = 2 * 6 * 3 + 6 * 2 * 8 * 2  # TA once, CA every step
    assert second == AttentionOps(mlps + 6 * 98 * 16, mlps, 3 * 6 * 8 * 16, 2 * 3 * 6 * 8 * 16)
    assert last.generate == mlps + 6 * 98 * 4
    (coding,) = attention_ops(gac, count(gac, images()))
    assert (coding.sca, coding.sca_time) == (2 * 4 * 4 * 16 * 64, 4 * 6 * 3)


def test_the_accountings_stand_side_by_side() -> None:
    found = figures(net("gac"), images())["energy"]

    assert found["published"]["attention_j"] == 0.0
    assert found["complete"]["attention_j"] > 0.0
    assert found["complete_T"]["first_j"] == pytest.approx(6 * found["complete"]["first_j"])
    assert {energy["unit"] for energy in found.values()} == {"J"}
    assert all(energy["basis"].startswith("estimate: literature convention") for energy in found.values())


# ------------------------------------------------------------------------------------------------ the chip
@pytest.mark.slow
def test_a_scalar_gain_folds_into_its_norm_and_deploys_and_a_relu_does_not() -> None:
    data, gain = images(20), net("gain")

    plain = folded(gain)

    assert [type(m) for m in plain.modules() if "Scalar" in type(m).__name__] == []
    torch.testing.assert_close(plain.double()(data.steps(data.x).double()), gain.double()(data.steps(data.x).double()))
    found = chip_energy(gain.float(), data, data, "twin")
    assert found["samples"] == 20
    assert found["total"]["value"] == pytest.approx(sum(found[line]["value"] for line in ("dynamic", "static", "host")))
    assert (found["dynamic"]["unit"], found["dynamic"]["basis"]) == ("J", "assumed")
    assert chip_energy(net("relu-gain"), data, data, "twin") == {"reason": RELU}


def test_causal_gates_are_on_the_chip_as_they_were_trained() -> None:
    assert chip_energy(net("ma", "causal"), images(), images(), "ma")["gates"] == ["causal"]
