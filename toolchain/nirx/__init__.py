"""NIR extension nodes (batch norm, max pooling, attention), a reader and writer that know them, and equality."""

from spikewright.toolchain.nirx.compare import difference as difference
from spikewright.toolchain.nirx.compare import same as same
from spikewright.toolchain.nirx.file import copied as copied
from spikewright.toolchain.nirx.file import read as read
from spikewright.toolchain.nirx.file import write as write
from spikewright.toolchain.nirx.metadata import Settings as Settings
from spikewright.toolchain.nirx.metadata import settings as settings
from spikewright.toolchain.nirx.nodes import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from spikewright.toolchain.nirx.nodes import AttentionNode as AttentionNode
from spikewright.toolchain.nirx.nodes import BatchNorm as BatchNorm
from spikewright.toolchain.nirx.nodes import MaxPool2d as MaxPool2d
from spikewright.toolchain.nirx.nodes import Relu as Relu
from spikewright.toolchain.nirx.plain import plain as plain
from spikewright.toolchain.nirx.registry import EXTENSION_VERSION as EXTENSION_VERSION
from spikewright.toolchain.nirx.registry import EXTENSIONS as EXTENSIONS
from spikewright.toolchain.nirx.registry import extension as extension
from spikewright.toolchain.nirx.registry import extension_names as extension_names
