"""Cross-validation: folds that part the samples, a known interval, nets that never saw what they answer, resumed as begun."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikewright.models import zoo
from spikewright.models.commands import add_train
from spikewright.models.errors import RecipeError
from spikewright.models.train.folds import cross_validate, folds_of, wilson
from spikewright.models.train.loop import Epoch, Running
from spikewright.models.train.make_checkpoint import make_checkpoint
from spikewright.models.train.recipes import recipe

SMALL = replace(recipe("ma-digits-vanilla"), epochs=1, timesteps=3, arguments={"T": 3, "attention": False}, batch=256)


def test_folds_part_the_samples_with_equal_shares_of_every_class() -> None:
    y = np.repeat(np.arange(10), [110] * 9 + [107]).astype(np.int64)

    folds = folds_of(y, 5, seed=0)

    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(len(y)))
    assert {len(fold) for fold in folds} <= {219, 220}
    assert all(np.bincount(y[fold], minlength=10).min() >= 21 for fold in folds)
    assert any((a != b).any() for a, b in zip(folds[:1], folds_of(y, 5, seed=1)[:1], strict=True))


def test_the_interval_is_wilsons() -> None:
    """81 of 263: 0.2553 to 0.3662, Newcombe, Statistics in Medicine 17:857, 1998, table I; 0 of 20: 0 to 0.1611."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@pytest.mark.parametrize("count", [1, 11])
def test_too_few_or_too_many_folds_are_refused(count: int) -> None:
    with pytest.raises(RecipeError, match=f"{count} folds of 10 samples; 2 to 10 are allowed"):
        folds_of(np.zeros(10, np.int64), count, 0)


def test_a_checkpoint_tells_its_cross_validation_and_resumes_it(tmp_path: Path) -> None:
    seen: list[str] = []
    options = {"command": "x", "folds": 2, "resume": True}

    def interrupt(what: str, _epoch: Epoch) -> None:
        if what == "fold 2 of 2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_checkpoint(SMALL, folder=tmp_path, on_epoch=interrupt, **options)  # type: ignore[arg-type]
    kept = sorted(path.name for path in tmp_path.glob("*.state"))
    path, card = make_checkpoint(SMALL, folder=tmp_path, on_epoch=lambda what, _: seen.append(what), **options)  # type: ignore[arg-type]

    assert kept == [f"ma-digits-vanilla{fold}-seed0.state" for fold in ("-fold1of2", "-fold2of2", "")]
    assert seen == []  # every training had been done; what was left was to measure
    assert not list(tmp_path.glob("*.state"))
    assert zoo.card(path) == card
    found = card.cross_validation
    assert found is not None
    assert (found.folds, found.samples, len(found.accuracy_per_fold)) == (2, 1797, 2)
    assert found.low < found.accuracy < found.high
    alone = cross_validate(
        SMALL, 2, seed=0, running=Running(), folder=None, root=None, threads=1, on_epoch=lambda *_: None
    )
    assert alone == found


@pytest.mark.parametrize("held", [["--folds", "2"], ["--validation", "100"]])
def test_weights_that_may_have_seen_the_held_out_samples_are_refused(held: list[str], tmp_path: Path) -> None:
    parser = ArgumentParser()
    add_train(parser.add_subparsers())
    words = ["train", "tcja-digits", "--from", "tcja-digits", *held]
    if held[0] == "--folds":
        words += ["--out", str(tmp_path / "out")]
    arguments = parser.parse_args(words)

    with pytest.raises(
        RecipeError, match=rf"{held[0]} with --from tcja-digits: those weights may have been trained on"
    ):
        arguments.run(arguments)

    assert not any(tmp_path.iterdir())
