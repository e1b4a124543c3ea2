"""The small net: every family and variant on every input, traceable, small, causal where it says so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spikewright.models import layers
from spikewright.models.attention.gac import GAC
from spikewright.models.attention.gates import FixedTimesteps
from spikewright.models.attention.ma import MALIF
from spikewright.models.attention.staa import STAALIF
from spikewright.models.attention.tcja import TCJA
from spikewright.models.errors import ModelError
from spikewright.models.nets import SmallNet
from spikewright.models.neurons import LIF

ATTENTIONS = ("ma", "gac", "tcja", "staa", "none")
LEAVES = (
    layers.Conv2d, layers.Linear, layers.BatchNorm2d, layers.AvgPool2d, layers.Flatten, layers.Dropout, LIF, FixedTimesteps,
)  # fmt: skip


class LayerTracer(torch.fx.Tracer):
    """Stops at the layers a compiler knows."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES)


def images(T: int, side: int, channels: int) -> Tensor:
    x = torch.rand(1, 3, channels, side, side, generator=torch.Generator().manual_seed(0))
    return x.expand(T, -1, -1, -1, -1).contiguous()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("variant", ["published", "causal"])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (34, 2)])
def test_the_net_is_small_and_walked_layer_by_layer(attention: str, variant: str, side: int, channels: int) -> None:
    torch.manual_seed(0)
    module = SmallNet(5, side, channels, attention=attention, variant=variant, blocks=1).eval()  # type: ignore[arg-type]
    x = images(5, side, channels)

    graph = LayerTracer().trace(module)

    functions = {node.target for node in graph.nodes if node.op in ("call_function", "call_method")}
    assert {getattr(f, "__name__", f) for f in functions} <= {"add", "mean"}
    with torch.no_grad():
        torch.testing.assert_close(torch.fx.GraphModule(module, graph)(x), module(x))
        assert module(x).shape == (3, 10)
    assert sum(p.numel() for p in module.parameters()) <= 750_000


@pytest.mark.parametrize(
    ("attention", "kind", "number"),
    [("ma", MALIF, 2), ("gac", GAC, 1), ("tcja", TCJA, 2), ("staa", STAALIF, 2)],
)
def test_attention_stands_where_the_table_says(attention: str, kind: type[nn.Module], number: int) -> None:
    net = SmallNet(attention=attention)  # type: ignore[arg-type]

    assert sum(isinstance(m, kind) for m in net.modules()) == number
    first = next(m for m in net.modules() if isinstance(m, LIF | FixedTimesteps))
    assert isinstance(first, GAC if attention == "gac" else LIF)


@pytest.mark.parametrize(
    ("attention", "variant", "looks_ahead"),
    [
        ("ma", "published", True),
        ("ma", "causal", False),
        ("gac", "published", True),
        ("tcja", "published", True),
        ("tcja", "causal", False),
        ("staa", "published", True),
        ("staa", "causal", False),
        ("none", "causal", False),
    ],
)
def test_what_the_last_frame_can_reach(attention: str, variant: str, looks_ahead: bool) -> None:
    """On events; GAC's causal form is for images, whose frames are all the same."""
    torch.manual_seed(3)
    net = SmallNet(6, 8, attention=attention, variant=variant).double()  # type: ignore[arg-type]
    x = images(6, 8, 1).double()
    with torch.no_grad():  # spikes and gates that move: fresh gates stand near one value, fresh nets are almost silent
        for m in net.modules():
            if isinstance(m, layers.BatchNorm2d):
                m.momentum = 1.0
                m.weight.mul_(4.0)
            elif isinstance(m, FixedTimesteps):
                for p in m.parameters(recurse=False):
                    p.mul_(2.0)
        net(x)
    net.eval()
    other = x.clone()
    other[-1] = 1.0 - other[-1]

    reached = not torch.equal(net.steps(x)[:-1], net.steps(other)[:-1])

    assert reached == looks_ahead


def test_the_twin_has_the_familys_neuron_and_no_attention() -> None:
    twin = SmallNet(attention="none", neuron="N1")

    assert [m.v_threshold for m in twin.modules() if isinstance(m, LIF)] == [0.3] * 3
    assert not any(isinstance(m, FixedTimesteps) for m in twin.modules())


def test_what_makes_no_net_is_refused() -> None:
    with pytest.raises(ModelError, match="attention 'se', variant 'causal'; allowed are ma, gac, tcja, staa, none, "):
        SmallNet(attention="se")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="side 16 without channels; known are 8, 28, 34"):
        SmallNet(side=16)
    with pytest.raises(ModelError, match="down 'max'; allowed are pool, stride"):
        SmallNet(down="max")  # type: ignore[arg-type]
    assert SmallNet(4, 16, channels=(4, 8))(images(4, 16, 1)).shape == (3, 10)


def test_strides_halve_the_side_as_pools_do_with_a_quarter_of_the_work() -> None:
    pooled, strided = (SmallNet(4, 28, down=down, pools=2) for down in ("pool", "stride"))  # type: ignore[arg-type]

    assert pooled.fc.in_features == strided.fc.in_features == 128 * 49
    assert strided(images(4, 28, 1)).shape == (3, 10)
    assert [m.stride for m in strided.modules() if isinstance(m, layers.Conv2d)] == [(1, 1), (2, 2), (2, 2)]
