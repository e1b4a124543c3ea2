"""What the chip costs in accuracy: rows of both nets of a pair, kept one by one, and a run that goes on behind them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import accuracy
from benchmarks.accuracy import Row, main

from spikewright.models import zoo

ROW = Row("gac/digits", "gac-digits", "code", "host", 360, 0.98, 0.97, True, 0.5, 1000, 0)


def test_every_pair_is_of_the_zoo_and_of_its_family() -> None:
    for pair, names in accuracy.PAIRS.items():
        cards = [zoo.card(name) for name in names]
        assert {f"{card.family}/{card.dataset}" for card in cards} == {pair}
        assert cards[1].variant == "causal"


def test_a_drop_is_in_points_and_a_backend_that_differs_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.json"
    rows = [ROW, replace(ROW, net="gac-digits-causal", chip=0.975, differ=3)]
    file.write_text(accuracy.shown(rows))

    assert main(["gac/digits", "--out", str(file), "--json"]) == 1  # nothing is run again
    assert [row["drop"] for row in json.loads(capsys.readouterr().out)] == [1.0, 0.5]
    assert accuracy.kept(file) == rows


def test_a_net_that_no_lowering_takes_is_a_row_with_the_reason() -> None:
    refused = replace(ROW, chip=None, refused="static loses 1.5 points")

    assert refused.drop is None
    assert "refused: static loses 1.5 points" in accuracy.table([refused])


@pytest.mark.slow
@pytest.mark.lava
def test_a_pair_on_the_chip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.json"

    assert main(["gac/digits", "--images", "20", "--out", str(file)]) == 0

    code, causal = accuracy.kept(file)
    assert (code.net, causal.net) == ("gac-digits", "gac-digits-causal")
    assert code.images == causal.images == 20
    assert code.published == causal.published
    assert (code.spike_driven, causal.event_driven, causal.differ) == (True, 1.0, 0)
    assert causal.compared > 100_000
    assert "spike-driven, 0 of" in capsys.readouterr().out


def test_an_unknown_pair_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["gac/nothing"])

    assert "gac/nothing: found; one of ma/fashion-mnist, " in capsys.readouterr().err
