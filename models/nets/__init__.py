"""The nets by name; ``make`` builds one from the arguments a checkpoint's card records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from spikewright.models.errors import ModelError
from spikewright.models.nets.fsvae import FSVAE as FSVAE
from spikewright.models.nets.gac_digits import GACDigits as GACDigits
from spikewright.models.nets.ma_digits import MADigits as MADigits
from spikewright.models.nets.ma_event import MAEventNet as MAEventNet
from spikewright.models.nets.ms_resnet import gac_ms_resnet_cifar as gac_ms_resnet_cifar
from spikewright.models.nets.ms_resnet import ms_resnet_imagenet as ms_resnet_imagenet
from spikewright.models.nets.small import SmallNet as SmallNet
from spikewright.models.nets.spike_transformer import SpikeTransformer as SpikeTransformer
from spikewright.models.nets.staa_resnet import STAAResNet as STAAResNet
from spikewright.models.nets.tcja_nets import TCJANet as TCJANet

NETS: dict[str, Callable[..., nn.Module]] = {
    "ma_digits": MADigits,
    "gac_digits": GACDigits,
    "small": SmallNet,
    "spike_transformer": SpikeTransformer,
    "ma_event": MAEventNet,
    "ms_resnet_imagenet": ms_resnet_imagenet,
    "gac_ms_resnet_cifar": gac_ms_resnet_cifar,
    "tcja": TCJANet,
    "staa_resnet": STAAResNet,
    "fsvae": FSVAE,
}


def make(net: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a net from its name and constructor arguments.

    Raises:
        ModelError: There is no such net, or it does not take these arguments.
    """
    if net not in NETS:
        raise ModelError(
            f"no net {net!r}; there are {', '.join(NETS)}", where="spikewright.models.nets", help="choose one of them"
        )
    try:
        return NETS[net](**arguments)
    except TypeError as error:
        raise ModelError(
            f"{error}",
            where=f"net {net!r}",
            help="give the arguments of the net's constructor, see help(spikewright.models.nets)",
        ) from error
