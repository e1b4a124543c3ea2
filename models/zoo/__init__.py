"""The checkpoints that ship: ``<name>.safetensors`` with its model card ``<name>.json``; listing them needs no torch."""

from spikewright.models.zoo.card import Card as Card
from spikewright.models.zoo.checkpoint import build as build
from spikewright.models.zoo.checkpoint import card as card
from spikewright.models.zoo.checkpoint import checkpoint_path as checkpoint_path
from spikewright.models.zoo.checkpoint import names as names
from spikewright.models.zoo.checkpoint import save as save
