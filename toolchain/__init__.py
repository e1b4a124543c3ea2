"""The compiler: a trained attention spiking network in, a checked and mapped program for Loihi-2-style hardware out."""

from toolchain.api import deploy as deploy
from toolchain.deployment import Deployment as Deployment
from toolchain.deployment import Options as Options
from toolchain.deployment import Samples as Samples
from toolchain.errors import ToolchainError as ToolchainError
