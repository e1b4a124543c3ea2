"""The checkpoints that ship: ``<name>.safetensors`` with its model card ``<name>.json``; listing them needs no torch."""

from models.zoo.card import Card as Card
from models.zoo.checkpoint import build as build
from models.zoo.checkpoint import card as card
from models.zoo.checkpoint import checkpoint_path as checkpoint_path
from models.zoo.checkpoint import names as names
from models.zoo.checkpoint import save as save
