"""Errors of the networks' package; each says where, what (found and allowed) and how to mend it."""

from __future__ import annotations

from spikewright.hw_sim.errors import SpikewrightError


class ModelError(SpikewrightError):
    """A network or attention block asked for with arguments, or fed with a shape, that it cannot have."""


class TimestepsError(ModelError):
    """A number of timesteps other than the one the weights were made for."""


class DatasetError(SpikewrightError):
    """A dataset that is unknown or missing, or a coding it cannot have."""


class CheckpointError(SpikewrightError):
    """A checkpoint that is missing, truncated, of another net or T, or holds values that are not finite."""


class RecipeError(SpikewrightError):
    """A training recipe that is unknown, or options it cannot take."""
