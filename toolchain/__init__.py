"""The compiler: from a captured or imported network to a program for a chip, checked and reported on the way."""

from toolchain.api import deploy as deploy
from toolchain.deployment import Deployment as Deployment
from toolchain.deployment import Options as Options
from toolchain.deployment import Samples as Samples
