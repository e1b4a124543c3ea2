"""Options stand once: each reaches the parser, the manifest's command repeats the deployment, unknown ones are refused."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Cli, linear, spikes

from spikewright.toolchain import bundle, nirx
from spikewright.toolchain.cli.main import build_parser
from spikewright.toolchain.cli.parser import values
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.options import Option, Options, declared
from spikewright.toolchain.report import fingerprint


def another(one: Option) -> Any:
    """Return an allowed value that is not the default."""
    if one.choices:
        return next(choice for choice in one.choices if choice != one.default)
    if one.name == "chip":
        return "some chip.yaml"
    return one.kind(3) if one.default is None else one.default + one.kind(1)


def parsed(words: list[str]) -> Options:
    arguments = build_parser().parse_args(["deploy", "net", "--out", "x", *words])
    return Options(**values(arguments, declared(Options)))


def test_every_field_is_an_option() -> None:
    assert [one.name for one in declared(Options)] == [f.name for f in fields(Options)]
    assert all(one.help for one in declared(Options))


@pytest.mark.parametrize("one", declared(Options), ids=lambda one: one.name)
def test_every_option_survives_into_the_command_and_back(one: Option) -> None:
    wanted = replace(Options(), **{one.name: another(one)})

    words = wanted.words()

    assert words[0] == one.flag
    assert parsed(shlex.split(shlex.join(words))) == wanted != Options()


def test_no_option_is_said_that_was_not_asked_for() -> None:
    assert Options().words() == []
    assert parsed([]) == Options()


def test_the_command_of_a_manifest_repeats_the_deployment(cli: Cli, tmp_path: Path) -> None:
    nirx.write(tmp_path / "net.nir", linear(0.3))
    data = spikes(tmp_path / "some data.npz")
    asked = "--mapping greedy --weight-bits 5 --timesteps 4 --dt 0.002 --headroom 3 --name mine"
    words = ["--calibrate", data, *asked.split()]
    assert cli("deploy", tmp_path / "net.nir", "--out", tmp_path / "a b", *words)[0] == 0
    manifest = json.loads((tmp_path / "a b" / "manifest.json").read_text())
    command = shlex.split(manifest["command"])

    assert command[0] == "spikewright"
    assert command[-2:] == ["--out", str(tmp_path / "a b")]
    assert cli(*command[1:-1], tmp_path / "again")[0] == 0

    one, two = bundle.load(tmp_path / "a b"), bundle.load(tmp_path / "again")
    assert one.options == two.options == Options(mapping="greedy", weight_bits=5, timesteps=4, dt_s=0.002, headroom=3.0)
    assert one.command == two.command
    assert fingerprint(one.program) == fingerprint(two.program)
    assert (one.name, one.chip.name) == ("mine", "loihi2")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("deplyo", "ma-digits"), "deploy"),
        (("deploy", "ma-digits", "--out", "x", "--maping", "greedy"), "--mapping"),
        (("deploy", "ma-digits", "--out", "x", "--gates", "casual"), "causal"),
        (("run", "x", "--timming", "cycle"), "--timing"),
        (("run", "x", "--numbers", "flaot"), "float"),
        (("check", "x", "--gates", "statc"), "static"),
        (("check", "x", "--input-kind", "grade"), "graded"),
        (("train", "ma-digts"), "ma-digits"),
        (("deploy", "ma-digits", "--out", "x", "--calibrate", "mnst"), "mnist"),
    ],
)
def test_a_misspelt_word_is_refused_with_the_one_that_was_meant(cli: Cli, words: tuple[str, ...], meant: str) -> None:
    assert f"did you mean {meant!r}?" in cli.refused(*words)


@pytest.mark.parametrize("verb", ["deploy", "check"])
def test_every_lowering_is_offered(cli: Cli, verb: str) -> None:
    code, words, _ = cli(verb, "--help")
    assert code == 0
    assert all(strategy in words for strategy in ("static", "causal", "barrier", "replay", "host"))


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        (
            "a=causal,a=static",
            "--gates: 'causal' and 'static' for block 'a'\n  help: ask for one strategy, or name a block",
        ),
        (
            "causal,static",
            "--gates: 'causal' and 'static' for all blocks\n  help: ask for one strategy, or name a block",
        ),
        ("=causal", "--gates: '=causal' names no block\n  help: write BLOCK=STRATEGY, or a STRATEGY alone"),
    ],
)
def test_gates_that_contradict_each_other_are_refused(gates: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        Options(gates=gates)

    assert str(refusal.value) == message
    assert Options(gates="a=causal,a=causal,static").gates == "a=causal,a=causal,static"
