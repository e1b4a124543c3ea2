"""The compiler: a trained attention spiking network in, a checked and mapped program for Loihi-2-style hardware out."""

from spikewright.toolchain.api import deploy as deploy
from spikewright.toolchain.deployment import Deployment as Deployment
from spikewright.toolchain.deployment import Options as Options
from spikewright.toolchain.deployment import Samples as Samples
from spikewright.toolchain.errors import ToolchainError as ToolchainError
