"""The authors' own checkpoints, read into our nets: one table of their keys a paper; listing the names needs no torch."""

from spikewright.models.released.checkpoint import Checkpoint as Checkpoint
from spikewright.models.released.checkpoint import import_checkpoint as import_checkpoint
from spikewright.models.released.names import RELEASED as RELEASED
