"""The zoo's accuracies are reproduced, and a card that promises more than its net keeps is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.zoo_check import Row, main

from spikewright.models import zoo


@pytest.mark.slow
def test_a_net_that_keeps_its_cards_word_and_one_that_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, card = zoo.build("gac-digits")
    boast = zoo.save(module, replace(card, name="boast", accuracy=1.0), tmp_path)

    assert main(["gac-digits", str(boast), "--images", "40", "--json"]) == 1

    good, bad = json.loads(capsys.readouterr().out)
    assert (good["reproduced"], bad["reproduced"]) == (True, False)
    assert (good["torch_images"], good["images"]) == (360, 40)
    assert (good["predictions_differ"], good["spikes_differ"]) == (0, 0)
    assert good["spikes_compared"] > 0
    assert good["verdict"] == "spike-driven, gates: host"


def test_a_net_without_its_data_is_not_reproduced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, card = zoo.build("gac-digits-vanilla")
    path = zoo.save(module, replace(card, name="lost", dataset="mnist"), tmp_path)

    assert main([str(path), "--data", str(tmp_path)]) == 1

    text = capsys.readouterr().out
    assert "not checked; NOT reproduced" in text
    assert "--data DIR" in text


def test_three_tenths_of_a_point_are_allowed() -> None:
    row = Row("net", card=0.9, torch=0.8971, float64=0.91, interpreter=0.9129)

    assert row.reproduced
    assert not replace(row, torch=0.8969).reproduced
    assert not replace(row, interpreter=0.9131).reproduced
