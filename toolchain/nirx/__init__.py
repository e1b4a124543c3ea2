"""NIR extension nodes (batch norm, max pooling, attention), a reader and writer that know them, and equality."""

from toolchain.nirx.compare import difference as difference
from toolchain.nirx.compare import same as same
from toolchain.nirx.file import read as read
from toolchain.nirx.file import write as write
from toolchain.nirx.joint import JointGate as JointGate
from toolchain.nirx.joint import StaaLif as StaaLif
from toolchain.nirx.metadata import Settings as Settings
from toolchain.nirx.metadata import settings as settings
from toolchain.nirx.nodes import AttentiveLif as AttentiveLif
from toolchain.nirx.nodes import BatchNorm as BatchNorm
from toolchain.nirx.nodes import GatedCoding as GatedCoding
from toolchain.nirx.nodes import MaxPool2d as MaxPool2d
from toolchain.nirx.nodes import Relu as Relu
from toolchain.nirx.registry import EXTENSION_VERSION as EXTENSION_VERSION
from toolchain.nirx.registry import EXTENSIONS as EXTENSIONS
from toolchain.nirx.registry import extension as extension
from toolchain.nirx.registry import extension_names as extension_names
