"""Datasets by name, as (T, B, C, H, W) samples; numpy only, so that the compiler's users need no torch."""

from spikewright.models.datasets.coding import ImageCoding as ImageCoding
from spikewright.models.datasets.events import Recording as Recording
from spikewright.models.datasets.events import Recordings as Recordings
from spikewright.models.datasets.loading import CODINGS as CODINGS
from spikewright.models.datasets.loading import DATASETS as DATASETS
from spikewright.models.datasets.loading import Coding as Coding
from spikewright.models.datasets.loading import load as load
from spikewright.models.datasets.loading import read as read
from spikewright.models.datasets.samples import Images as Images
from spikewright.models.datasets.samples import Samples as Samples
from spikewright.models.datasets.samples import Split as Split
