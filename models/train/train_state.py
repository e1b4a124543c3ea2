"""The state of a training on disk: written whole or not at all, and taken up only by the training it is of."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spikewright.hw_sim.errors import DAMAGE
from spikewright.hw_sim.files import write_whole
from spikewright.models.errors import RecipeError


def write_state(path: Path, training: str, state: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all; ``training`` says which training it is of."""
    made = io.BytesIO()
    torch.save({**state, "training": training}, made)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, made.getvalue())


def read_state(path: Path, training: str) -> dict[str, Any]:
    """Read a state.

    Raises:
        RecipeError: It cannot be read, or is of another training.
    """
    help = f"delete {path}, or train with the options it was made with"
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, *DAMAGE) as error:
        raise RecipeError(
            f"the kept state cannot be read ({type(error).__name__})", where=str(path), help=help
        ) from error
    if not isinstance(state, dict) or state.get("training") != training:
        raise RecipeError("the kept state is of a training with other options", where=str(path), help=help)
    return state
