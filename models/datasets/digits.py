"""Scikit-learn's 1,797 real handwritten digits, 8 x 8 pixels of 17 grey levels; stratified 80/20, seed 0: 360 test images.

Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998 (its test part).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikewright.models.datasets.samples import Images, Split
from spikewright.models.errors import DatasetError

GREY_LEVELS = 16.0
"""The brightest pixel; the set counts 0 to 16 (scikit-learn, load_digits)."""


def digits_images(split: Split, root: Path | None = None) -> Images:
    """Load a split of the digits, scaled to [0, 1].

    Raises:
        DatasetError: scikit-learn is not installed, or ``root`` is no folder: the digits need none, but a wrong word is told.
    """
    if root is not None and not root.is_dir():
        raise DatasetError(
            "there is no such folder", where=str(root), help="leave --data out: the digits come with scikit-learn"
        )
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise DatasetError(
            "scikit-learn, which holds the digits, is not installed",
            where="dataset 'digits'",
            help="pip install scikit-learn",
        ) from error
    data = load_digits()
    parts = train_test_split(data.images, data.target, test_size=0.2, stratify=data.target, random_state=0)
    x, y = (parts[0], parts[2]) if split == "train" else (parts[1], parts[3])
    return Images(
        x=(x[:, None] / GREY_LEVELS).astype(np.float32),
        y=np.asarray(y, np.int64),
        classes=tuple(str(label) for label in data.target_names),
    )
