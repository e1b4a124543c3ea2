"""Datasets by name, as (T, B, C, H, W) samples; numpy only, so that the compiler's users need no torch."""

from __future__ import annotations

from collections.abc import Callable

from models.datasets.coding import CODINGS as CODINGS
from models.datasets.coding import Coding as Coding
from models.datasets.coding import encode
from models.datasets.digits import digits_images
from models.datasets.samples import Images as Images
from models.datasets.samples import Samples as Samples
from models.datasets.samples import Split as Split
from models.errors import DatasetError

DATASETS: dict[str, Callable[[Split], Images]] = {"digits": digits_images}
"""Still-image sets; each function loads one split."""


def load(
    name: str, *, split: Split = "test", coding: Coding = "direct", timesteps: int = 8, limit: int | None = None
) -> Samples:
    """Load a split of a dataset, coded in time.

    Args:
        name: One of ``DATASETS``.
        split: ``"train"`` or ``"test"``.
        coding: ``"direct"`` repeats the image; ``"rate"`` and ``"latency"`` make simulated binary events of it.
        timesteps: T.
        limit: Only the first so many samples.

    Raises:
        DatasetError: The name, split, coding or T does not exist.
    """
    if name not in DATASETS:
        raise DatasetError(
            f"no dataset {name!r}; there are {', '.join(DATASETS)}", where="--dataset", help="use digits"
        )
    if split not in ("train", "test"):
        raise DatasetError(f"split {split!r}; allowed are train, test", where=name, help="use split='test'")
    images = DATASETS[name](split)
    x, y = images.x[:limit], images.y[:limit]
    return Samples(
        x=encode(x, coding, timesteps),
        y=y,
        simulated=coding != "direct",
        coding=coding,
        name=name,
        classes=images.classes,
    )
