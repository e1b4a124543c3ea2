"""Whether a net's structure can run at all, asked of the passes before any data is read: nothing is evaluated.

The stages are walked without a golden input, once as if the input were spikes and once as if a host had to encode it. What
stops both walks with the same words is no matter of the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.passes.quantize import InputCode
from spikewright.toolchain.stage import Context, Stage
from spikewright.toolchain.verify import verify

CODES = (InputCode("binary"), InputCode("dense", 1.0, True))


def refuse_structure(context: Context, stages: Iterable[Stage]) -> None:
    """Refuse a net that the stages up to ``quantize`` refuse whatever its data is.

    Args:
        context: What the first stage takes, without data and answer.
        stages: Those in front of ``quantize``, in order.

    Raises:
        ToolchainError: What both ways to code the input end in.
    """
    stages, found = tuple(stages), []
    for code in CODES:
        try:
            _walked(replace(context, code=code), stages)
        except ToolchainError as error:
            found.append(error)
        else:
            return
    if len({str(error) for error in found}) == 1:
        raise found[0]


def _walked(context: Context, stages: tuple[Stage, ...]) -> None:
    for stage in stages:
        after = (stage.blind or stage.run)(context)
        if after is None:
            return  # what comes next depends on the data
        context = after
    verify(context.graph, level="lowered")
