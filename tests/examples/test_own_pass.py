"""A pass of another package joins by its entry point alone: listed, in its place, run, checked; or refused by name."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from command_line import Cli
from tiny import tiny_graph, tiny_samples

from spikewright.hw_sim import compile as load
from spikewright.hw_sim import simulate
from spikewright.toolchain.errors import PassError
from spikewright.toolchain.interpret import run_int
from spikewright.toolchain.ops import Affine, Conv
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import PIPELINE, deploy_graph, pipeline

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_pass"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what puts a package's metadata and folder on the path, as pip would."""

    def put(points: dict[str, str], *, folder: Path = EXAMPLE, name: str = "own_pass") -> None:
        site = tmp_path / name
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{key} = {value}" for key, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[spikewright.passes]", *lines, ""]))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.syspath_prepend(str(site))

    return put


def example_points() -> dict[str, str]:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    points: dict[str, str] = project["project"]["entry-points"]["spikewright.passes"]
    return points


def written(monkeypatch: pytest.MonkeyPatch, key: str, /, **fields: object) -> str:
    """Return the entry point of a pass made of class fields."""
    from spikewright.toolchain.passes.base import Pass

    module = ModuleType(f"made_{key}")
    vars(module)["Made"] = type(
        "Made", (Pass,), {"__doc__": "Do nothing.", "__call__": lambda _, graph: graph, **fields}
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return f"{module.__name__}:Made"


def test_the_example_is_listed_with_its_origin_and_deploys_a_net_with_fewer_operations(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = tiny_samples()
    before = deploy_graph(tiny_graph(), Options(), samples, name="tiny", samples=samples)
    install(example_points())

    after = deploy_graph(tiny_graph(), Options(), samples, name="tiny", samples=samples)

    names = [stage.name for stage in pipeline()]
    assert names[names.index("lower-bias") :] == ["lower-bias", "prune-small", "quantize", "align", "map"]
    _, listed, _ = Cli(capsys)("passes")
    assert "prune-small     drift  Set weights below a tenth of their layer's largest to zero. (own_pass)" in listed
    record = next(record for record in after.passes if record.name == "prune-small")
    assert (record.check, record.ops_before) == ("drift", record.ops_after)
    zeros = [int((op.weight == 0).sum()) for op in before.lowered if isinstance(op, Affine | Conv)]
    pruned = [int((op.weight == 0).sum()) for op in after.lowered if isinstance(op, Affine | Conv)]
    assert sum(pruned) > sum(zeros)

    payload = after.encode(samples.x)
    source = after.program.populations[0].name
    trace = simulate(load(after.program, after.chip), {source: payload}, record=True)
    result = run_int(after.integer, payload)
    np.testing.assert_array_equal(np.asarray(trace.outputs).reshape(result.answer.shape), result.answer)
    for name, recording in result.recordings.items():
        np.testing.assert_array_equal(trace.spikes[name].reshape(recording.out.shape), recording.out)
    full = simulate(load(before.program, before.chip), {source: payload})
    assert int(trace.sops.sum()) < int(full.sops.sum())


def test_the_example_is_short() -> None:
    assert sum(len(path.read_text().splitlines()) for path in EXAMPLE.iterdir() if path.is_file()) <= 60


def test_passes_of_other_packages_may_stand_beside_each_other(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        {
            "b": written(monkeypatch, "b", name="b", before="a"),
            "a": written(monkeypatch, "a", name="a", after="quantize"),
            "c": written(monkeypatch, "c", name="c", before="normal-form"),
        }
    )

    names = [stage.name for stage in pipeline()]
    made = deploy_graph(tiny_graph(), Options(), tiny_samples(), name="tiny")

    assert names[0] == "c"
    assert names[-5:] == ["quantize", "b", "a", "align", "map"]
    assert [record.name for record in made.passes if record.name in "abc"] == ["c", "b", "a"]


def test_an_exact_pass_that_changes_the_answer_is_refused_on_floats_and_on_integers(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from spikewright.hw_sim import DenseSynapses
    from spikewright.toolchain.integer import IntConnection
    from spikewright.toolchain.ir import Graph
    from spikewright.toolchain.ops import Op

    def negated(op: Op) -> Op:
        match op:
            case Affine(weight=weight):
                return replace(op, weight=-weight)
            case IntConnection(synapses=DenseSynapses(weight=weight)):
                return replace(op, synapses=DenseSynapses(-weight))
            case _:
                return op

    def negate(_: object, graph: Graph) -> Graph:
        return graph.map(negated)

    for anchor in ("normal-form", "quantize", "align"):
        with monkeypatch.context() as patch:
            install({"bad": written(patch, "bad", name="bad", after=anchor, __call__=negate)}, name=f"bad_{anchor}")
            with pytest.raises(PassError, match=r"pass 'bad': changes the answer by .* on the golden input"):
                deploy_graph(tiny_graph(), Options(), tiny_samples(), name="tiny")
            sys.path.pop(0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"name": "mine", "after": "quantise"},
            r"there is no stage 'quantise'.*did you mean 'quantize'\?",
        ),
        (
            {"name": "mine", "before": "nowhere"},
            r"there is no stage 'nowhere'.*see `spikewright passes`",
        ),
        ({"name": "align", "after": "quantize"}, "pass 'align' of own_pass: spikewright has a stage of this name"),
        ({"name": "mine", "after": "map"}, "pass 'mine' of own_pass: stands after 'map', which ends the graph"),
        ({"name": "mine"}, "pass 'mine' of own_pass: says not where it stands, or says it twice"),
        ({"name": "mine", "after": "align", "before": "map"}, "pass 'mine' of own_pass: says not where it stands"),
        ({"name": "../mine", "after": "align"}, r"pass 'mine' of own_pass: has the name '\.\./mine'"),
        ({"name": "mine", "after": "align", "check": "never"}, "pass 'mine' of own_pass: has the check 'never'"),
    ],
)
def test_a_pass_that_does_not_fit_is_refused(
    install: Install, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], message: str
) -> None:
    point = "align" if fields["name"] == "align" else "mine"
    install({point: written(monkeypatch, "mine", **fields)})

    with pytest.raises(PassError, match=f"(?s){message}"):
        pipeline()


def test_two_packages_with_one_name_are_refused(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install({"mine": written(monkeypatch, "one", name="mine", after="align")}, name="one")
    install({"mine": written(monkeypatch, "two", name="mine", after="align")}, name="two")

    with pytest.raises(PassError, match=r"pass 'mine' of (one|two): (one|two) has a stage of this name"):
        pipeline()


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("no_such_module:Made", "pass 'mine' of own_pass: cannot be loaded"),
        ("prune_small:nothing", "pass 'mine' of own_pass: cannot be loaded"),
        ("prune_small:np", "pass 'mine' of own_pass: prune_small:np is no Pass"),
    ],
)
def test_what_is_no_pass_is_refused(install: Install, point: str, message: str) -> None:
    install({"mine": point})

    with pytest.raises(PassError, match=message):
        pipeline()


def test_without_packages_the_pipeline_is_ours() -> None:
    assert pipeline() == PIPELINE
