"""What differs between a net and its twin beside attention: net, training, data, options; no figure tells those apart."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from spikewright.hw_sim.cards import STARTED
from spikewright.toolchain.report.model import Report

OF_ATTENTION = ("gates", "payload_bits", "tolerance", "seed", "strict")
"""Options that attention alone needs, or that change no figure but by chance."""
ATTENTIVE = ("attention", "variant", "gate", "gate_delay", "dims", "reduction_c")
"""Arguments of a net that say what its attention is."""
BY_CHANCE = ("seed", "folds", "device", "threads")
"""Options of a training that change no weight but by chance."""
COMMAND = r"`([^`]*)`"
"""A round of a training, in a provenance behind ``STARTED``: a whole command, or its options. Behind a semicolon stands what
else was so then."""


def unlike(ours: Report, theirs: Report) -> tuple[str, ...]:
    """Say in what two nets differ beside attention, a sentence each; nothing: they are alike."""
    found = []
    how, other = training(ours.card), training(theirs.card)
    if not how or not other:
        which = " and ".join(name for name, words in ((ours.name, how), (theirs.name, other)) if not words)
        found.append(f"no card says how {which} {'were' if not how and not other else 'was'} trained")
    elif how != other:
        found.append(f"trained otherwise: {ours.name} with `{how}`, {theirs.name} with `{other}`")
    made, beside = built(ours.card), built(theirs.card)
    found += [
        f"built otherwise: {key} {made[key]}, {beside[key]}" for key in made if beside.get(key, made[key]) != made[key]
    ]
    if ours.dataset != theirs.dataset:
        found.append(f"run on other data: {ours.dataset or 'given data'}, {theirs.dataset or 'given data'}")
    for name, value in ours.options.items():
        if name not in OF_ATTENTION and theirs.options.get(name, value) != value:
            found.append(f"deployed otherwise: {name} {value}, {theirs.options[name]}")
    return tuple(found)


def training(card: Mapping[str, Any]) -> str:
    """Return how a model card says that a net was trained, round by round: epochs and options; empty where it does not."""
    last = _round(str(card.get("command") or ""))
    if last is None:
        return ""
    name, (_, _, earlier) = str(card.get("name") or ""), str(card.get("provenance") or "").partition(STARTED)
    rounds = [_options(text, name) if (one := _round(text)) is None else one for text in re.findall(COMMAND, earlier)]
    epochs = f"{card['epochs']} epochs " if card.get("epochs") and "--epochs" not in last else ""
    noted = re.sub(COMMAND, "", earlier).partition(";")[2].strip()
    found = "; then ".join(filter(None, [*rounds, f"{epochs}{last}".strip() or "its recipe"]))
    return f"{found} ({noted})" if noted else found


def _round(command: str) -> str | None:
    """Return the options of a training's command, in the order of the alphabet; None: it is none."""
    try:
        words = shlex.split(command)
    except ValueError:  # a card by hand
        return None
    if len(words) < 3 or words[:2] != ["spikewright", "train"]:
        return None
    return _options(shlex.join(words[3:]), words[2])


def _options(text: str, name: str) -> str:
    own = " ".join("itself" if word == name else word for word in text.split())
    options = (option.strip() for option in f" {own}".split(" --")[1:])
    return " ".join(sorted(f"--{option}" for option in options if option.split(" ")[0] not in BY_CHANCE))


def built(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card says of a net beside its attention: net, T, coding, and the arguments that it is made with."""
    found = {key: card[key] for key in ("net", "timesteps", "coding") if key in card}
    arguments = card.get("arguments")
    if isinstance(arguments, Mapping):
        found |= {key: value for key, value in arguments.items() if key not in (*ATTENTIVE, "T")}
    return found
