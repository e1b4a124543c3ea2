"""The nets by name; ``make`` builds one from the arguments a checkpoint's card records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.errors import ModelError
from models.nets.gac_digits import GACDigits as GACDigits
from models.nets.ma_digits import MADigits as MADigits

NETS: dict[str, type[nn.Module]] = {"ma_digits": MADigits, "gac_digits": GACDigits}


def make(net: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a net from its name and constructor arguments.

    Raises:
        ModelError: There is no such net, or it does not take these arguments.
    """
    if net not in NETS:
        raise ModelError(f"no net {net!r}; there are {', '.join(NETS)}", where="models.nets", help="choose one of them")
    try:
        return NETS[net](**arguments)
    except TypeError as error:
        raise ModelError(
            f"{error}", where=f"net {net!r}", help="give the arguments of the net's constructor, see help(models.nets)"
        ) from error
