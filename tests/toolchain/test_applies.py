"""What an option is for: on every kind of model each option has an effect, or is refused by name; none is ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from command_line import Cli, linear, spikes
from netx_nets import dense, even, kernel_layer, write
from report_nets import attentive, coded

import spikewright as sw
from spikewright.toolchain import api, nirx
from spikewright.toolchain.content import digest
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.options import FACTS, Option, Options, declared
from spikewright.toolchain.spike_driven.deployed import AsTrained
from spikewright.toolchain.to_nir import to_nir

T = 4
OTHER: dict[str, Any] = {
    "chip": "demo", "gates": "static", "streams": "relay", "tolerance": 0.5, "timesteps": 3, "steps": "chip",
    "dt_s": 2e-3, "input_shape": "2,5,7", "layout": "BT", "weight_bits": 5, "payload_bits": 4, "input_bits": 3,
    "headroom": 50.0, "coding": "latency", "seed": 3, "strict": True, "mapping": "vendor", "dialect": "snntorch",
    "reset": "subtract", "comparison": ">=", "decay": "exact", "v0": 0.5, "refractory": 3, "max_spikes": 0, "v_min": 0.0,
}  # fmt: skip
"""A value of each option that is not its default."""


@dataclass(frozen=True)
class Kind:
    """One kind of model: what deploys it, and the facts that hold (``FACTS``), the dearest first."""

    deploy: Callable[..., Deployment]
    facts: frozenset[str]
    said: frozenset[str] = field(default_factory=frozenset)
    """Options that the model says itself, so that another value contradicts it."""


ELSEWHERE = {
    "mapping": "one core leaves no choice",
    "strict": "nothing is lost here",
    "tolerance": "nothing is lost here",
    "headroom": "there is room",
    "seed": "the digits that are drawn move no range",
}
"""Options that change nothing in these nets; what they do is tested where nets have it."""


def frame_net() -> nir.NIRGraph:
    """Return a net of someone else's that takes frames of the digits: the first layer is the host's, the second the chip's."""
    rng = np.random.default_rng(1)
    return nir.NIRGraph.from_list(
        nir.Input({"input": np.array([1, 8, 8])}),
        nir.Flatten({"input": np.array([1, 8, 8])}, 0, -1),
        nir.Affine(rng.normal(0, 0.5, (10, 64)), rng.normal(0, 0.1, 10)),
        nir.LIF(tau=np.full(10, 2e-3), r=np.ones(10), v_leak=np.zeros(10), v_threshold=np.ones(10)),
        nir.Affine(rng.normal(0, 0.5, (10, 10)), rng.normal(0, 0.1, 10)),
        nir.LIF(tau=np.full(10, 2e-3), r=np.ones(10), v_leak=np.zeros(10), v_threshold=np.ones(10)),
        nir.Output({"output": np.array([10])}),
    )


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    place, rng = tmp_path_factory.mktemp("models"), np.random.default_rng(3)
    x = (rng.random((T, 12, 3)) < 0.5).astype(np.float32)
    frames = (rng.random((T, 3, 2, 5, 6)) < 0.4).astype(np.float32)
    wide = np.concatenate([frames, frames], axis=-1)[..., :7]
    foreign = linear(0.3)
    nirx.write(place / "foreign.nir", foreign)
    net = sw.deploy(foreign, calibration=x, timesteps=T, dt_s=1e-3)
    nirx.write(place / "ours.nir", to_nir(net.captured, {}))
    gated = attentive()
    steps = gated.timesteps
    events = (rng.random((steps, 12, *gated.input.shape)) < 0.4).astype(np.float32)
    write(place / "dense.net", dense(even(rng, 6, 3)), dense(even(rng, 4, 6)))
    write(place / "conv.net", kernel_layer("conv", even(rng, 3, 2, 3, 2), (3, 5, 3), stride=[1, 2], padding=[1, 0]))

    def of(model: Any, **usual: Any) -> Callable[..., Deployment]:
        return lambda **given: sw.deploy(model, **{"mapping": "greedy", **usual, **given})

    def sized(**given: Any) -> Deployment:
        data = wide if "input_shape" in given else frames
        return of(str(place / "conv.net"), timesteps=T, samples=data[: given.get("timesteps", T)])(**given)

    def cut(model: Any, data: Any, **usual: Any) -> Callable[..., Deployment]:
        return lambda **given: of(model, **usual)(calibration=data[: given.get("timesteps", T)], **given)

    def run(**given: Any) -> Deployment:
        return of(str(place / "dense.net"), timesteps=T, samples=x[: given.get("timesteps", T)])(**given)

    return {
        "foreign": Kind(
            cut(str(place / "foreign.nir"), x, timesteps=T), frozenset({"foreign", "float"})
        ),
        "drawn": Kind(
            of(frame_net(), timesteps=T, calibration="digits", samples="digits"),
            frozenset({"foreign", "float", "drawn", "data set"}),
        ),
        "ours": Kind(
            cut(str(place / "ours.nir"), x), frozenset({"float"}), frozenset({"timesteps", "dt_s"})
        ),
        "graph": Kind(of(net.captured, calibration=x), frozenset({"float"}), frozenset({"timesteps", "dt_s"})),
        "attention": Kind(
            of(gated, calibration=events), frozenset({"float", "attention"}), frozenset({"timesteps", "dt_s"})
        ),
        "net": Kind(run, frozenset({"integer"})),
        "unsized": Kind(sized, frozenset({"integer", "unsized"})),
    }  # fmt: skip


def content(made: Deployment) -> str:
    """Return a digest of everything that a deployment is, but the options that were asked for."""
    samples = None if made.samples is None else made.samples.x
    said = [str(one) for one in made.diagnostics]
    return digest(made.captured, made.integer, made.host, made.program, made.chip, said, made.drift, samples)


def test_payload_bits_are_for_spikes_that_the_host_gates() -> None:
    rng = np.random.default_rng(5)
    x = np.repeat(rng.random((1, 8, 1, 4, 4)), coded().timesteps, axis=0).astype(np.float32)

    made = [sw.deploy(coded(), x, gates="host", mapping="greedy", payload_bits=bits) for bits in (8, 4)]

    assert [one.integer.input.soma.payload_bits for one in made] == [8, 4]  # type: ignore[attr-defined]


NAMES = ("foreign", "drawn", "ours", "graph", "attention", "net", "unsized")


@pytest.fixture(scope="module")
def usual(kinds: dict[str, Kind]) -> dict[str, str]:
    return {name: content(kind.deploy()) for name, kind in kinds.items()}


def refusal(act: Callable[[], object]) -> str:
    """Return the error that something is refused with; "" where it is not."""
    try:
        act()
    except ToolchainError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("one", declared(Options), ids=lambda one: one.name)
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.slow if one in ("drawn", "unsized") else ()) for one in NAMES]
)
def test_an_option_has_an_effect_or_is_refused(
    name: str, one: Option, kinds: dict[str, Kind], usual: dict[str, str]
) -> None:
    kind = kinds[name]
    fits = not one.applies or bool(set(one.applies) & kind.facts)
    made: list[Deployment] = []
    refused = refusal(lambda: made.append(kind.deploy(**{one.name: OTHER[one.name]})))
    if refused:
        assert one.flag in refused
        assert not fits or one.name in (*kind.said, "streams", "layout") or (name, one.name) == ("drawn", "input_bits")
        return
    assert fits
    assert one.name not in kind.said
    assert getattr(made[0].options, one.name) == OTHER[one.name]
    assert content(made[0]) != usual[name] or one.name in ELSEWHERE


def test_every_option_is_tried_with_another_value_and_every_fact_is_used() -> None:
    options = {one.name: one for one in declared(Options)}

    assert OTHER.keys() == options.keys()
    assert all(value != options[name].default for name, value in OTHER.items())
    assert {fact for one in (*options.values(), *declared(AsTrained)) for fact in one.applies} == FACTS.keys()


@pytest.mark.slow
def test_a_net_of_the_zoo_takes_what_a_captured_net_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    read = load_model("tcja-digits-vanilla")
    monkeypatch.setattr(api, "load_model", lambda *_, **__: read)
    fit = {"chip", "streams", "tolerance", "weight_bits", "input_bits", "headroom", "seed", "strict", "mapping"}

    for one in declared(Options):
        if one.name == "layout":  # refused by the reader
            continue
        refused = refusal(
            lambda one=one: api.read_model("tcja-digits-vanilla", options=Options(**{one.name: OTHER[one.name]}))
        )
        assert (one.name in fit) == (refused == ""), (one.flag, refused)
        assert refused == "" or one.flag in refused


@pytest.mark.parametrize(
    ("target", "given", "flag"),
    [
        ("foreign", {"gates": "static"}, "--gates"),
        ("foreign", {"payload_bits": 4}, "--payload-bits"),
        ("net", {"gates": "causal"}, "--gates"),
        ("net", {"reset": "subtract"}, "--reset"),
        ("graph", {"dt_s": 5e-3}, "--dt"),
        ("graph", {"timesteps": 7}, "--timesteps"),
        ("graph", {"data": "/tmp"}, "--data"),
    ],
)
def test_check_refuses_what_is_for_another_model(target: str, given: dict[str, Any], flag: str, tmp_path: Path) -> None:
    write(tmp_path / "net.net", dense([[2, 4, 6]]))
    model = {"foreign": linear(), "graph": attentive(), "net": str(tmp_path / "net.net")}[target]
    usual = {"timesteps": T} if target != "graph" else {}

    assert sw.check(model, **usual)
    with pytest.raises(ToolchainError) as refusal:
        sw.check(model, **{**usual, **given})
    assert flag in str(refusal.value)


@pytest.mark.slow
def test_the_verbs_refuse_what_they_would_not_look_at(cli: Cli, tmp_path: Path) -> None:
    nirx.write(tmp_path / "n.nir", linear())
    data, net = spikes(tmp_path / "x.npz"), write(tmp_path / "n.net", dense([[2, 4, 6]]))
    model = ("--timesteps", 4, "--calibrate", data)
    made = tmp_path / "made"
    assert cli("deploy", tmp_path / "n.nir", *model, "--out", made)[0] == 0

    for words, flag in (
        (("deploy", tmp_path / "n.nir", *model, "--stop-after", "align", "--out", made), "--out, --stop-after"),
        (("deploy", tmp_path / "n.nir", *model, "--data", tmp_path, "--out", made), "--data"),
        (("deploy", net, "--timesteps", 4, "--mapping", "search", "--out", made), "--mapping search"),
        (("deploy", net, "--timesteps", 4, "--calibrate", data, "--out", made), "--calibrate"),
        (("nir", tmp_path / "n.nir", "--timesteps", 4, "--data", tmp_path, "--out", tmp_path / "o.nir"), "--data"),
        (("nir", net, "--reset", "subtract", "--timesteps", 4, "--out", tmp_path / "o.nir"), "--reset"),
        (("check", tmp_path / "n.nir", "--timesteps", 4, "--data", tmp_path), "--data"),
        (("check", made, "--gates", "static"), "--gates"),
        (("run", made, "--record", "v"), "--record"),
        (("run", made, "--backend", "interpreter", "--timing", "cycle"), "--timing"),
        (("run", made, "--numbers", "float"), "--numbers float"),
        (("run", made, "--backend", "interpreter", "--trace", tmp_path / "t.npz"), "--trace"),
        (("run", made, "--input", data, "--data", tmp_path), "--data"),
        (("compare", made, "--input", data, "--data", tmp_path), "--data"),
        (("report", made, "--input", data, "--data", tmp_path), "--data"),
        (("finetune", made, "--weight-bits", 5, "--out", tmp_path / "f"), "--weight-bits"),
        (("train", "ma-digits", "--validation", 9, "--repeat", 2), "--repeat"),
        (("train", "fsvae-mnist-paper", "--silence", 1), "--silence"),
    ):
        assert flag in cli.refused(*words), words


def test_a_seed_is_for_what_draws_or_searches() -> None:
    x = np.ones((T, 3, 3), np.float32)

    made = sw.deploy(linear(), calibration=x, timesteps=T, dt_s=1e-3, seed=5, mapping="search")

    assert made.options.seed == 5
