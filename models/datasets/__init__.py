"""Datasets by name, as (T, B, C, H, W) samples; numpy only, so that the compiler's users need no torch."""

from models.datasets.coding import ImageCoding as ImageCoding
from models.datasets.events import Recording as Recording
from models.datasets.events import Recordings as Recordings
from models.datasets.loading import CODINGS as CODINGS
from models.datasets.loading import DATASETS as DATASETS
from models.datasets.loading import Coding as Coding
from models.datasets.loading import load as load
from models.datasets.loading import read as read
from models.datasets.samples import Images as Images
from models.datasets.samples import Samples as Samples
from models.datasets.samples import Split as Split
