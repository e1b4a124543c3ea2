"""The papers' nets: exactly as many parameters as the authors' code, T everywhere, and a forward pass of narrow ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from spikewright.models.attention.gac import GAC
from spikewright.models.attention.ma import MALIF, MAAttention
from spikewright.models.attention.staa import STAALIF
from spikewright.models.attention.tcja import TCJA
from spikewright.models.errors import ModelError, TimestepsError
from spikewright.models.nets import (
    FSVAE,
    MAEventNet,
    STAAResNet,
    TCJANet,
    gac_ms_resnet_cifar,
    make,
    ms_resnet_imagenet,
)

COUNTS: list[tuple[Callable[[], nn.Module], int]] = [
    (lambda: MAEventNet("gesture", attention=False), 2_324_065),
    (lambda: MAEventNet("gesture"), 2_340_535),
    (lambda: MAEventNet("gesture", dims="CS"), 2_333_335),
    (lambda: MAEventNet("gait", attention=False), 2_100_767),
    (lambda: MAEventNet("gait"), 2_188_601),
    (lambda: MAEventNet("cifar10-dvs", attention=False), 2_097_918),
    (lambda: MAEventNet("cifar10-dvs"), 2_188_104),
    (lambda: ms_resnet_imagenet(18, 1), 11_867_960),
    (lambda: ms_resnet_imagenet(34, 1), 22_116_552),
    (lambda: ms_resnet_imagenet(104, 1), 78_369_598),
    (lambda: ms_resnet_imagenet(18, 4, "gac"), 11_824_824),
    (lambda: ms_resnet_imagenet(34, 4, "gac"), 21_932_984),
    (lambda: gac_ms_resnet_cifar(6, 10), 12_633_198),
    (lambda: gac_ms_resnet_cifar(6, 100), 12_679_368),
    (lambda: TCJANet("dvs128"), 1_832_576),
    (lambda: TCJANet("cifar10-dvs"), 11_369_450),
    (lambda: TCJANet("cifar10-dvs", attention=False), 9_271_498),
    (lambda: TCJANet("cifar10-dvs-tet"), 9_304_466),
    (lambda: TCJANet("n-caltech101"), 21_907_096),
    (lambda: FSVAE(), 4_053_601),
    (lambda: FSVAE(in_channels=3), 4_054_755),
    (lambda: FSVAE(in_channels=3, large=True), 6_681_571),
    (lambda: FSVAE(readout="tcja-bytecode"), 4_053_861),
]


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def count(module: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(m, kind) for m in module.modules())


@pytest.mark.parametrize(("net", "parameters"), COUNTS, ids=[str(number) for _, number in COUNTS])
def test_a_net_has_as_many_parameters_as_the_authors(net: Callable[[], nn.Module], parameters: int) -> None:
    with torch.device("meta"):
        assert size(net()) == parameters


def test_attention_costs_what_the_references_say() -> None:
    with torch.device("meta"):
        for depth, cost in ((18, 174_224), (34, 314_656), (104, 1_085_334)):
            assert size(ms_resnet_imagenet(depth, 1)) - size(ms_resnet_imagenet(depth, 1, "none")) == cost
        assert size(gac_ms_resnet_cifar()) - size(gac_ms_resnet_cifar(attention=False)) == 131_108
        assert size(TCJANet("dvs128")) - size(TCJANet("dvs128", attention=False)) == 134_272


def test_attention_stands_where_the_papers_put_it() -> None:
    with torch.device("meta"):
        gesture = MAEventNet("gesture")
        assert [m.dims for m in gesture.modules() if isinstance(m, MALIF)] == ["TCS"] * 3 + ["T"] * 2
        assert [m.dims for m in MAEventNet("gesture", dims="CS").modules() if isinstance(m, MALIF)] == ["CS"] * 3
        assert count(ms_resnet_imagenet(34, 1), MAAttention) == 16
        assert count(gac_ms_resnet_cifar(), GAC) == 1
        tcja = [m for m in TCJANet("n-caltech101").modules() if isinstance(m, TCJA)]
        assert [(m.channels, tuple(m.tla.shape)[2], tuple(m.cla.shape)[2]) for m in tcja] == [(256, 4, 4), (512, 4, 2)]


def test_staa_stands_behind_every_activation_and_says_what_it_costs() -> None:
    """Ours, so counted by formula: PE T C, key C, LN 2 C / 4, MLP 2 C C / 4, M and N 2 C, SA T^2."""
    with torch.device("meta"):
        for depth, activations in ((19, 17), (20, 19), (34, 33)):
            net, twin = STAAResNet(depth, T=4), STAAResNet(depth, T=4, attention=False)
            layers = [m for m in net.modules() if isinstance(m, STAALIF)]
            assert len(layers) == activations
            cost = sum(4 * m.channels + 3 * m.channels + m.channels**2 // 2 + m.channels // 2 + 16 for m in layers)
            assert size(net) - size(twin) == cost


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (lambda: MAEventNet("gesture", T=5), (5, 2, 2, 32, 32)),
        (lambda: MAEventNet("gesture", T=5, variant="paper", dims="CS"), (5, 2, 2, 32, 32)),
        (lambda: MAEventNet("gesture", T=5, variant="causal"), (5, 2, 2, 32, 32)),
        (lambda: gac_ms_resnet_cifar(3, 10, width=0.125), (3, 2, 3, 32, 32)),
        (lambda: STAAResNet(19, T=3, width=0.125), (3, 2, 3, 32, 32)),
        (lambda: STAAResNet(20, T=3, width=0.125, in_channels=2, variant="causal"), (3, 2, 2, 32, 32)),
        (lambda: STAAResNet(34, T=2, width=0.0625, side=64), (2, 2, 3, 64, 64)),
        (lambda: ms_resnet_imagenet(18, 1, side=32), (1, 2, 3, 32, 32)),
        (lambda: ms_resnet_imagenet(18, 2, "gac", side=32), (2, 2, 3, 32, 32)),
    ],
)
def test_a_net_runs_and_its_answer_is_the_mean_of_its_steps(
    net: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    module = net().eval()
    x = torch.rand(shape)

    with torch.no_grad():
        y, steps = module(x), module.steps(x)  # type: ignore[operator]

    assert y.shape[0] == 2
    assert steps.shape == (shape[0], *y.shape)
    torch.testing.assert_close(y, steps.mean(0))
    assert torch.isfinite(y).all()


def test_tcjas_nets_fit_their_inputs_layer_by_layer() -> None:
    """On the meta device: shapes only."""
    for plan, shape, classes in (
        ("dvs128", (20, 1, 2, 128, 128), 11),
        ("cifar10-dvs", (10, 1, 2, 128, 128), 10),
        ("cifar10-dvs-tet", (10, 1, 2, 48, 48), 10),
        ("n-caltech101", (14, 1, 2, 180, 240), 101),
    ):
        with torch.device("meta"):
            assert TCJANet(plan).eval()(torch.zeros(shape)).shape == (1, classes)


def test_a_net_takes_its_own_number_of_timesteps_only() -> None:
    for net in (
        MAEventNet("gesture", T=5),
        gac_ms_resnet_cifar(5, 10, width=0.125),
        STAAResNet(19, T=5, width=0.125),
    ):
        channels = 2 if isinstance(net, MAEventNet) else 3
        with pytest.raises(TimestepsError, match="input of T = 4; the layer was made for T = 5"):
            net.eval()(torch.rand(4, 1, channels, 32, 32))


def test_an_unknown_plan_or_depth_is_refused() -> None:
    for net, arguments, message in (
        ("ma_event", {"plan": "imagenet"}, "plan 'imagenet'; allowed are gesture, gait, cifar10-dvs"),
        ("tcja", {"plan": "mnist"}, "plan 'mnist'; allowed are dvs128"),
        ("staa_resnet", {"depth": 18}, "depth 18; allowed are 19, 20, 34"),
        ("ms_resnet_imagenet", {"depth": 50, "T": 1}, "depth 50, attention 'csa', side 224; allowed are depths 18, 34"),
        ("fsvae", {"readout": "mean"}, "readout 'mean'; allowed are leaky, tcja-bytecode, tcja-clean"),
    ):
        with pytest.raises(ModelError, match=message):
            make(net, arguments)
