"""The released nets by name: what ``spikewright import --as`` takes."""

from __future__ import annotations

from difflib import get_close_matches

from spikewright.models.errors import CheckpointError
from spikewright.models.released import att_resnet, gac, ma, masnn, tcja
from spikewright.models.released.table import Released

RELEASED: dict[str, Released] = {
    net.name: net for nets in (tcja.NETS, ma.NETS, att_resnet.NETS, gac.NETS, masnn.NETS) for net in nets
}
"""The nets, by name."""


def released(name: str) -> Released:
    """Return the table of a released net.

    Raises:
        CheckpointError: There is none of that name.
    """
    if name in RELEASED:
        return RELEASED[name]
    near = get_close_matches(name, RELEASED, n=1, cutoff=0.0)[0]
    raise CheckpointError(
        f"no released net {name!r}; there are {', '.join(RELEASED)}", where="--as", help=f"use --as {near}"
    )
