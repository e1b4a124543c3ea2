"""What differs between a net and its twin beside attention: training, data, options; no figure tells those apart."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from spikewright.toolchain.report.model import Report

OF_ATTENTION = ("gates", "payload_bits", "tolerance", "seed", "strict")
"""Options that attention alone needs, or that change no figure but by chance."""
BY_CHANCE = ("seed", "folds", "device", "threads")
"""Options of a training that change no weight but by chance."""


def unlike(ours: Report, theirs: Report) -> tuple[str, ...]:
    """Say in what two nets differ beside attention, a sentence each; nothing: they are alike."""
    found = []
    how, other = training(ours.card), training(theirs.card)
    if not how or not other:
        which = " and ".join(name for name, words in ((ours.name, how), (theirs.name, other)) if not words)
        found.append(f"no card says how {which} {'were' if not how and not other else 'was'} trained")
    elif how != other:
        found.append(f"trained otherwise: {ours.name} with {_quoted(how)}, {theirs.name} with {_quoted(other)}")
    if ours.dataset != theirs.dataset:
        found.append(f"run on other data: {ours.dataset or 'given data'}, {theirs.dataset or 'given data'}")
    for name, value in ours.options.items():
        if name not in OF_ATTENTION and theirs.options.get(name, value) != value:
            found.append(f"deployed otherwise: {name} {value}, {theirs.options[name]}")
    return tuple(found)


def training(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how a model card says that a net was trained: epochs, and the options of its command; empty where it does not."""
    try:
        words = shlex.split(str(card.get("command") or ""))
    except ValueError:  # a card by hand
        return ()
    if len(words) < 3 or words[:2] != ["spikewright", "train"]:
        return ()
    epochs = [f"{card['epochs']} epochs"] if card.get("epochs") else []
    own = ("itself" if word == words[2] else word for word in words[3:])
    options = (option.strip() for option in f" {' '.join(own)}".split(" --")[1:])
    return (*epochs, *sorted(f"--{option}" for option in options if option.split(" ")[0] not in BY_CHANCE))


def _quoted(words: tuple[str, ...]) -> str:
    return f"`{' '.join(words)}`"
