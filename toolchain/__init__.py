"""The compiler: a trained attention spiking network in, a checked and mapped program for Loihi-2-style hardware out."""

from spikewright.toolchain.api import check as check
from spikewright.toolchain.api import deploy as deploy
from spikewright.toolchain.api import load as load
from spikewright.toolchain.deployment import Deployment as Deployment
from spikewright.toolchain.errors import ToolchainError as ToolchainError
from spikewright.toolchain.exploration import Exploration as Exploration
from spikewright.toolchain.exploration import explore as explore
from spikewright.toolchain.options import Options as Options
from spikewright.toolchain.recording import RecordedRun as RecordedRun
from spikewright.toolchain.samples import Samples as Samples
from spikewright.toolchain.vendor import vendor_table as vendor_table
