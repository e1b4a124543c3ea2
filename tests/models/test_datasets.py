"""The digits and their codings: sizes, determinism, and what a coding keeps of the image."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from spikewright.models.datasets import DATASETS, load
from spikewright.models.datasets.coding import encode
from spikewright.models.errors import DatasetError


def test_the_digits_split_is_stratified_80_20() -> None:
    train, test = load("digits", split="train", timesteps=1), load("digits", split="test", timesteps=1)

    assert train.x.shape == (1, 1437, 1, 8, 8)
    assert test.x.shape == (1, 360, 1, 8, 8)
    assert test.x.dtype == np.float32
    assert (test.x.min(), test.x.max()) == (0.0, 1.0)
    assert np.bincount(test.y).min() >= 35
    assert test.classes == tuple("0123456789")
    keys = {image.tobytes() for image in train.x[0]}
    assert not any(image.tobytes() in keys for image in test.x[0])


def test_direct_coding_repeats_the_image_and_is_not_called_simulated() -> None:
    direct, rate = load("digits", timesteps=4, limit=5), load("digits", coding="rate", timesteps=4, limit=5)

    assert direct.x.shape == (4, 5, 1, 8, 8)
    assert (direct.x == direct.x[:1]).all()
    assert (direct.simulated, rate.simulated) == (False, True)
    np.testing.assert_array_equal(direct.y, rate.y)


def test_rate_coding_is_binary_and_counts_the_grey_level() -> None:
    p = np.linspace(0, 1, 17, dtype=np.float32).reshape(1, 1, 1, 17)

    x = encode(p, "rate", 16)

    assert set(np.unique(x)) == {0.0, 1.0}
    np.testing.assert_array_equal(x.sum(0).ravel(), np.arange(17))
    gaps = np.diff(np.flatnonzero(x[:, 0, 0, 0, 4]))
    assert set(gaps) == {4}


def test_latency_coding_spikes_once_the_brighter_the_earlier() -> None:
    p = np.array([0.0, 0.25, 0.5, 1.0], np.float32).reshape(1, 1, 1, 4)

    x = encode(p, "latency", 5)

    assert x.sum(0).ravel().tolist() == [0.0, 1.0, 1.0, 1.0]
    assert x.argmax(0).ravel().tolist()[1:] == [3, 2, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "letters"}, "no dataset 'letters'; there are " + ", ".join(DATASETS)),
        ({"split": "valid"}, "split 'valid'; allowed are train, test, all"),
        ({"coding": "poisson"}, "coding 'poisson'; allowed are direct, rate, latency"),
        ({"timesteps": 0}, "T = 0; T is at least 1"),
    ],
)
def test_what_a_dataset_cannot_give_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError) as info:
        load(**{"name": "digits", **options})  # type: ignore[arg-type]
    assert info.value.what == message
    assert info.value.help


def test_data_zoo_and_commands_do_not_import_torch() -> None:
    code = "import sys; from spikewright.models import commands, datasets, zoo; zoo.names(); sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
