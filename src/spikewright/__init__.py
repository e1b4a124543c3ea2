"""spikewright: trained attention spiking networks on Loihi-2-style hardware, with evidence of what they cost.

``import spikewright as sw``: ``sw.deploy``, ``sw.load``, ``sw.explore`` and what they return. The parts are ``spikewright.hw_sim`` (the machine),
``.toolchain`` (the compiler), ``.models`` (torch) and ``.export`` (other frameworks); none is imported before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikewright.models.lowered.finetune import finetune as finetune
    from spikewright.toolchain import Deployment as Deployment
    from spikewright.toolchain import Exploration as Exploration
    from spikewright.toolchain import Options as Options
    from spikewright.toolchain import RecordedRun as RecordedRun
    from spikewright.toolchain import Samples as Samples
    from spikewright.toolchain import ToolchainError as ToolchainError
    from spikewright.toolchain import check as check
    from spikewright.toolchain import deploy as deploy
    from spikewright.toolchain import explore as explore
    from spikewright.toolchain import load as load
    from spikewright.toolchain import vendor_table as vendor_table

__all__ = [
    "Deployment",
    "Exploration",
    "Options",
    "RecordedRun",
    "Samples",
    "ToolchainError",
    "check",
    "deploy",
    "explore",
    "finetune",
    "load",
    "vendor_table",
]


def __getattr__(name: str) -> Any:
    """Import the public names from the compiler, and what trains from the networks, when they are first asked for."""
    if name == "finetune":
        from spikewright.models.lowered.finetune import finetune

        return finetune
    if name in __all__:
        from spikewright import toolchain

        return getattr(toolchain, name)
    raise AttributeError(f"module 'spikewright' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
