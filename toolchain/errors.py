"""One error class per stage; each says where, what (found and allowed) and how to mend it."""

from __future__ import annotations

from spikewright.hw_sim.errors import SpikewrightError

ToolchainError = SpikewrightError
"""Every error that input causes, of any stage."""


class ImportingError(ToolchainError):
    """A model that cannot be read: missing, truncated, of another net, or with values that are not finite."""


class UnsupportedNodeError(ToolchainError):
    """A node or op that has no meaning or no lowering here; refused by name."""


class VerifyError(ToolchainError):
    """A graph that breaks a named rule of its level."""


class PassError(ToolchainError):
    """A pass that cannot do what was asked, or whose result fails the golden check."""


class GateLoweringError(ToolchainError):
    """A gate family and lowering strategy that do not go together, with the reason."""


class MappingError(ToolchainError):
    """A graph that does not fit the chip."""


class InputError(ToolchainError):
    """Input data, an option or a folder that cannot be used."""


class BackendError(ToolchainError):
    """A backend that is missing, died, or hung; carries its traceback."""
