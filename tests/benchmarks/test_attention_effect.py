"""The measured claims: jobs that go on after an interruption, and answers that can be no or "cannot tell"."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.attention_effect import __main__ as command
from benchmarks.attention_effect import run as runner
from benchmarks.attention_effect.claims import claims
from benchmarks.attention_effect.plan import FAMILIES, Job, jobs
from benchmarks.attention_effect.report import record, text
from benchmarks.attention_effect.results import Results
from benchmarks.attention_effect.spread import spread
from benchmarks.attention_effect.store import place, read, write

from spikewright.models.nets import SmallNet
from spikewright.models.neurons import LIF
from spikewright.toolchain.errors import InputError


# ------------------------------------------------------------------------------------------------ jobs
def test_the_nets_of_a_family_differ_in_their_attention_alone() -> None:
    by_net = {job.net: job for job in jobs(["digits"], FAMILIES, [0])}

    assert len(by_net) == 8 + 3 * 3
    for job in by_net.values():
        recipe, twin = job.recipe(), by_net[f"{job.family}-vanilla"].recipe()
        assert (recipe.epochs, recipe.batch, recipe.learning_rate, recipe.timesteps) == (
            twin.epochs, twin.batch, twin.learning_rate, twin.timesteps,
        )  # fmt: skip
        same = {"T", "side", "in_channels"}
        assert {k: recipe.arguments[k] for k in same} == {k: twin.arguments[k] for k in same}
    stems = {
        name: next(m for m in SmallNet(**job.recipe().arguments).modules() if isinstance(m, LIF)).v_threshold
        for name, job in by_net.items()
    }
    assert all(stems[name] == stems[f"{job.family}-vanilla"] for name, job in by_net.items())


def tiny(out: Path, *more: str) -> list[str]:
    return [
        "--sets",
        "digits",
        "--families",
        "gac",
        "--seeds",
        "0",
        "--limit",
        "40",
        "--epochs",
        "1",
        "--out",
        str(out),
        *more,
    ]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_does_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []
    real = command.do

    def stop_at_the_second(job: Job, *rest: Any) -> Any:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(job.net)
        return real(job, *rest)

    monkeypatch.setattr(command, "do", stop_at_the_second)
    monkeypatch.setattr(runner, "chip_energy", lambda *_: {"reason": "not in this test"})
    assert command.main(tiny(tmp_path)) == 130
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["gac-vanilla-seed0.json"]
    first = (tmp_path / "digits" / "gac-vanilla-seed0.json").read_text()

    monkeypatch.setattr(command, "do", lambda job, *rest: done.append(job.net) or real(job, *rest))
    file = tmp_path / "report.json"
    assert command.main(tiny(tmp_path, "--json", str(file), "--markdown", str(tmp_path / "report.md"))) == 0
    assert done == ["gac-vanilla", "gac-published", "gac-causal"]
    assert (tmp_path / "digits" / "gac-vanilla-seed0.json").read_text() == first
    said = capsys.readouterr().out
    assert said == (tmp_path / "report.md").read_text()
    assert "one seed cannot tell" in said
    found = json.loads(file.read_text())
    assert list(found["sets"]["digits"]["nets"]) == ["gac-vanilla", "gac-published", "gac-causal"]
    assert found["missing"] == []


def test_two_parts_share_the_work() -> None:
    whole = jobs(["digits", "fashion"], FAMILIES, [0, 1, 2])

    assert len(whole) == 102
    assert sorted(map(str, whole[0::2] + whole[1::2])) == sorted(map(str, whole))


def test_a_result_of_other_settings_is_not_taken(tmp_path: Path) -> None:
    job, other = (Job("digits", "ma", "code", 0, epochs, "float32") for epochs in (1, 2))
    assert read(tmp_path, job) is None
    write(tmp_path, job, {"accuracy": 0.5})

    assert read(tmp_path, job) == {"accuracy": 0.5}
    with pytest.raises(InputError, match=r"ma-code-seed0.json: a result of other settings \(recipe\)"):
        read(tmp_path, other)
    place(tmp_path, job).write_text("{")
    with pytest.raises(InputError, match="not a result of this benchmark"):
        read(tmp_path, job)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--part", "3/2"], "--part: '3/2'; allowed is k/n with 1 <= k <= n"),
        (["--epochs", "0"], "--epochs: 0; at least 1"),
        (["--seeds", "1", "1"], "--seeds: a seed is negative or named twice"),
        (["--sets", "mnist"], "attention_effect: argument --sets: invalid choice: 'mnist'"),
        (["--sets", "fashion", "--data", "nowhere", "--limit", "9"], "dataset 'fashion-mnist': not found"),
    ],
)
def test_bad_input_is_refused_with_help(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*options, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert "\n  help: " in error


# ------------------------------------------------------------------------------------------------ answers
def made_up(spikes: Callable[[str, int], float], *, accuracy: float = 0.9, seeds: int = 3) -> Results:
    """Return results of MA's nets with given spikes by form and seed."""
    found = {}
    for job in jobs(["digits"], ["ma"], range(seeds)):
        value = spikes(job.form, job.seed)
        energy = {name: {"total_j": value * 1e-9} for name in ("published", "complete", "complete_T")}
        found["digits", job.net, job.seed] = {
            "accuracy": accuracy, "spikes": value, "spikes_behind_stem": value / 2, "nasar": value / 1e4, "neurons": 1536,
            "sops_binary": 1.0, "sops_graded": 0.0, "attention_macs": 0.0, "attention_multiplies": 0.0, "train_s": 1.0,
            "energy": energy, "chip": {"reason": "too large"}, "gains": [0.2] if job.form != "vanilla" else [],
            "train_images": 9, "test_images": 9, "epochs": 1, "precision": "float32",
        }  # fmt: skip
    return Results(found)


def about(**means: float) -> Callable[[str, int], float]:
    """Return spikes near a mean, with a spread of one in a hundred over the seeds."""
    return lambda form, seed: means.get(form.replace("-", "_"), 1000.0) * (1 + 0.01 * (seed - 1))


def test_a_saving_that_shows_is_a_yes_with_its_interval_and_its_explanation() -> None:
    said = claims(
        made_up(lambda f, s: about(code=400.0, relu=900.0, gain=600.0, relu_gain=500.0)(f, s) + 3 * s), "digits"
    )

    line = next(s for s in said if s.startswith("ma-code: spikes"))
    assert "yes, the direction of MA's -84.9 % shows, its size does not" in line
    assert any(s == "Of the spikes that ma-code saves, 83 % go with both together." for s in said)
    assert any(s.startswith("ma-code against its fair twin ma-relu-gain") and "saves more than that" in s for s in said)


def test_a_report_can_say_no() -> None:
    said = "\n".join(claims(made_up(lambda f, s: about(code=1300.0, published=1200.0)(f, s) + 3 * s), "digits"))

    assert "no, it spikes more, against MA's -84.9 %" in said
    assert "it spikes more; so there is no saving whose share could be explained" in said
    assert "by the formula as published 129.9 %" in said
    assert "(no, more)" in said


def test_a_report_can_say_that_so_few_seeds_cannot_tell() -> None:
    noisy = made_up(lambda form, seed: 1000.0 if form == "vanilla" else (700.0, 1000.0, 1200.0)[seed])

    said = "\n".join(claims(noisy, "digits"))

    assert "n = 3 cannot tell whether it spikes less" in said
    assert "n = 3 cannot tell them apart" in said
    assert "yes" not in said


def test_a_net_that_has_not_learnt_saves_nothing() -> None:
    said = claims(made_up(lambda f, s: about(code=10.0)(f, s), accuracy=0.1), "digits")

    assert all("has not learnt (10.0 %): no saving counts" in s for s in said if s.startswith("ma-code: spikes"))


def test_the_report_holds_both_tables_and_says_why_a_figure_is_missing() -> None:
    results = made_up(about(code=400.0))

    said = text(results)

    assert "| ma-code " in said
    assert "- ma-code: 3 of 3 seeds have no chip energy: too large" in said
    assert "estimate: literature convention" in said
    assert record(results)["sets"]["digits"]["nets"]["ma-code"]["r_ee"]["published"]["mean"] == pytest.approx(2.5)


def test_the_interval_is_students() -> None:
    found = spread([1.0, 2.0, 3.0])

    assert (found.mean, found.std) == (2.0, 1.0)
    assert found.high - 2.0 == pytest.approx(4.303 / 3**0.5)
    assert spread([1.0]).verdict(0.0) == "open"
    assert (found.verdict(10.0), found.verdict(-10.0), found.verdict(2.0)) == ("below", "above", "open")
