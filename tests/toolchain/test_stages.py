"""The pipeline is data: stop after any stage, keep every stage, and no work twice."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Cli, linear, spikes
from golden_nets import NETS
from tiny import tiny_graph, tiny_samples

from spikewright.hw_sim import load_program
from spikewright.toolchain import graph_io, nirx, pipeline
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import GateLoweringError, InputError, PassError
from spikewright.toolchain.integer_deploy import deploy_integer
from spikewright.toolchain.interpret import FloatRun, IntRun, answer, run_float, run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Lif
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.base import Check
from spikewright.toolchain.passes.lower_gates import Strategy
from spikewright.toolchain.pipeline import PIPELINE, deploy_graph
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.stage import GOLDEN_SAMPLES, Context, Stage, Stopped, passed

pytestmark = pytest.mark.slow

NAMES = [stage.name for stage in PIPELINE]
SPLIT = 1 + NAMES.index("split-host")
SAMPLES = 36
"""A whole chunk and a bit, none as many as the golden samples."""


def golden(name: str) -> tuple[Graph, Samples]:
    """Return a golden net, and more than one chunk of data for it."""
    make, data = NETS[name]
    graph = make()
    x = np.tile(data(graph), (1, SAMPLES // 4, *(1,) * (data(graph).ndim - 2)))
    return graph, Samples(x.astype(np.float32), None, "random", simulated=True)


def deploy(name: str, gates: Strategy = "auto", **more: Any) -> Deployment:
    graph, samples = golden(name)
    return deploy_graph(graph, Options(gates=gates), samples, name=name, samples=samples, **more)


def stopped_after(stage: str, make: Callable[..., Deployment], *arguments: Any, **more: Any) -> Stopped:
    with pytest.raises(Stopped) as stopped:
        make(*arguments, stop_after=stage, **more)
    return stopped.value


def same(one: Graph, other: Graph) -> None:
    left, right = graph_io.to_parts(one), graph_io.to_parts(other)
    assert left[0] == right[0]
    assert left[1].keys() == right[1].keys()
    for key, array in left[1].items():
        np.testing.assert_array_equal(array, right[1][key])


# ------------------------------------------------------------------------------------------ the stages
def test_every_stage_is_named_once_and_says_what_it_does_and_needs() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for stage in PIPELINE:
        assert stage.what
        assert "\n" not in stage.what
        assert set(stage.needs) <= set(Context.__dataclass_fields__)


def test_one_file_is_one_pass_is_one_name() -> None:
    folder = Path(pipeline.__file__).parent / "passes"
    for name in NAMES[:-1]:
        file = folder / f"{name.removesuffix('-2').replace('-', '_')}.py"
        assert file.is_file(), name
        assert file.read_text().count("(Pass):") <= 1, name


def test_the_verb_lists_the_stages_in_order(cli: Cli) -> None:
    code, text, _ = cli("passes")
    assert code == 0
    assert [line.split()[1] for line in text.splitlines()] == NAMES

    _, out, _ = cli("passes", "--json")
    rows = json.loads(out)
    assert [row["name"] for row in rows] == NAMES
    assert rows[NAMES.index("split-host")]["check"] == "cut"
    assert rows[NAMES.index("quantize")]["needs"] == ["options", "code", "x"]
    assert {row["origin"] for row in rows} == {"spikewright"}


# ------------------------------------------------------------------------------------------ stop-after
@pytest.mark.parametrize("stage", NAMES)
def test_a_deployment_stops_after_any_stage(stage: str) -> None:
    told: list[str] = []

    stopped = stopped_after(stage, deploy_graph, tiny_graph(), Options(), tiny_samples(), name="tiny", note=told.append)

    made = stopped.context
    assert told == NAMES[: NAMES.index(stage) + 1]
    assert (stopped.stage, made.program is not None) == (stage, stage == "map")
    assert [record.name for record in made.records] == [n for n in told if n not in ("split-host", "map")]
    assert stopped.text().startswith(f"tiny after {stage}, and no further:\n")
    assert str(made.graph if made.program is None else made.program) in stopped.text()
    assert stopped.to_dict()["ops"] == [op.name for op in made.graph]


def test_where_it_stops_is_where_the_whole_way_passes() -> None:
    whole = deploy("ma", "causal")
    lowered, integer = (stopped_after(stage, deploy, "ma", "causal").context for stage in ("lower-bias", "align"))

    same(lowered.graph, whole.lowered)
    same(integer.graph, whole.integer)


@pytest.mark.parametrize("stage", ["normal-form", "lower-gates", "normal-form-2", "quantize", "align"])
def test_auto_stops_with_the_graph_of_the_strategy_that_wins(stage: str, tmp_path: Path) -> None:
    chosen = deploy("ma", "auto")
    strategy: Any = next(iter(chosen.strategies.values()))

    stopped = stopped_after(stage, deploy, "ma", "auto", keep_stages=tmp_path).context
    wanted = stopped_after(stage, deploy, "ma", strategy).context

    same(stopped.graph, wanted.graph)
    last = sorted(path.name for path in tmp_path.glob("*.npz"))[-1]
    assert last == f"{NAMES.index(stage) + 1:02d}-{stage}.npz"
    same(graph_io.load(tmp_path / last), wanted.graph)


def test_a_model_that_is_integer_already_takes_the_stages_behind_quantize() -> None:
    integer = deploy_graph(tiny_graph(), Options(), tiny_samples(), name="tiny").integer
    told: list[str] = []

    stopped = stopped_after(
        "align", deploy_integer, integer, Options(), name="tiny", samples=tiny_samples(), note=told.append
    )

    assert told == ["align"]
    same(stopped.context.graph, integer)
    with pytest.raises(InputError, match="there is no stage 'quantize'; there are align, map"):
        deploy_integer(integer, Options(), name="tiny", stop_after="quantize")
    short = replace(tiny_samples(), x=tiny_samples().x[:3])
    with pytest.raises(InputError, match=r"samples data: x has shape \(3, 12, 2, 4, 4\); the net takes \(5, samples"):
        deploy_integer(integer, Options(), name="tiny", samples=short)


def test_an_unknown_stage_is_refused_before_any_work(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(
        InputError, match=r"(?s)--stop-after: there is no stage 'quantise'; .*did you mean 'quantize'\?"
    ):
        deploy_graph(
            tiny_graph(),
            Options(),
            tiny_samples(),
            name="tiny",
            note=told.append,
            stop_after="quantise",
            keep_stages=tmp_path / "kept",
        )
    assert told == []
    assert not (tmp_path / "kept").exists()


# ----------------------------------------------------------------------------------------- keep-stages
def spied(monkeypatch: pytest.MonkeyPatch, before: Callable[[Stage, Context], None]) -> None:
    """Call ``before`` as each stage starts."""

    def wrapped(stage: Stage) -> Stage:
        def run(context: Context) -> Context:
            before(stage, context)
            return stage.run(context)

        return replace(stage, run=run)

    monkeypatch.setattr(pipeline, "PIPELINE", tuple(wrapped(stage) for stage in PIPELINE))


@pytest.mark.parametrize("name", ["gac", "ma", "residual"])
def test_every_stage_is_kept_as_what_the_next_one_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[int, Graph] = {}
    spied(monkeypatch, lambda stage, context: read.update({NAMES.index(stage.name): context.graph}))

    made = deploy(name, "host" if name == "gac" else "causal", keep_stages=tmp_path)

    for number, stem in enumerate(["captured", *NAMES[:-1]]):
        same(graph_io.load(tmp_path / f"{number:02d}-{stem}.npz"), read[number])
        assert (tmp_path / f"{number:02d}-{stem}.txt").read_text() == f"{read[number]}\n"
    last = f"{len(NAMES):02d}-map"
    assert (tmp_path / f"{last}.txt").read_text() == f"{made.program}\n"
    assert str(load_program(tmp_path / last)) == str(made.program)
    hosts = sorted(path.name for path in tmp_path.glob("*.host.*"))
    assert hosts == (
        [] if made.host is None else [f"{SPLIT:02d}-split-host.host.npz", f"{SPLIT:02d}-split-host.host.txt"]
    )
    if made.host is not None:
        same(graph_io.load(tmp_path / hosts[0]), made.host.graph)
    records = json.loads((tmp_path / "stages.json").read_text())
    assert [record["name"] for record in records] == [record.name for record in made.passes]


@pytest.mark.parametrize("stage", ["normal-form", "lower-gates", "quantize", "map"])
def test_what_was_done_before_a_stage_that_fails_is_kept_whole(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(at: Stage, _: Context) -> None:
        if at.name == stage:
            raise KeyboardInterrupt

    spied(monkeypatch, fail)
    with pytest.raises(KeyboardInterrupt):
        deploy("ma", "causal", keep_stages=tmp_path)

    stems = [f"{number:02d}-{name}" for number, name in enumerate(["captured", *NAMES]) if name != stage]
    done = stems[: NAMES.index(stage) + 1]
    files = {"stages.json", *(f"{stem}.{kind}" for stem in done for kind in ("txt", "npz"))}
    assert {path.name for path in tmp_path.iterdir()} == files
    for stem in done:
        assert str(graph_io.load(tmp_path / f"{stem}.npz")) + "\n" == (tmp_path / f"{stem}.txt").read_text()


def test_a_folder_that_holds_something_else_is_refused_before_any_work(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "thesis.txt").write_text("mine")

    for folder, what in ((tmp_path, "is not empty and holds no stages"), (tmp_path / "thesis.txt", "is not a folder")):
        with pytest.raises(InputError, match=what):
            deploy_graph(tiny_graph(), Options(), tiny_samples(), name="tiny", note=told.append, keep_stages=folder)

    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_listing_of_something_else_makes_no_folder_of_stages(tmp_path: Path) -> None:
    (tmp_path / "stages.json").write_text('[{"stage": "Giro"}]')
    (tmp_path / "01-plan.txt").write_text("mine")

    with pytest.raises(InputError, match="holds no stages"):
        deploy_graph(tiny_graph(), Options(), tiny_samples(), name="tiny", keep_stages=tmp_path)

    assert (tmp_path / "01-plan.txt").read_text() == "mine"


def test_stages_kept_before_give_way_and_other_files_stay(tmp_path: Path) -> None:
    deploy("ma", "causal", keep_stages=tmp_path)
    (tmp_path / "notes.txt").write_text("mine")

    stopped_after("normal-form", deploy, "ma", "causal", keep_stages=tmp_path)

    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [
        "00-captured.npz",
        "00-captured.txt",
        "01-normal-form.npz",
        "01-normal-form.txt",
        "notes.txt",
        "stages.json",
    ]


def test_the_command_line_stops_keeps_and_refuses(cli: Cli, tmp_path: Path) -> None:
    model, data = tmp_path / "net.nir", spikes(tmp_path / "data.npz")
    nirx.write(model, linear())
    words = ("deploy", model, "--timesteps", 4, "--dt", 1e-3, "--calibrate", data)

    code, text, _ = cli(*words, "--stop-after", "quantize", "--keep-stages", tmp_path / "kept")
    assert code == 0
    assert text.startswith("net after quantize, and no further:\n")
    number = 1 + NAMES.index("quantize")
    assert (tmp_path / "kept" / f"{number:02d}-quantize.txt").read_text() in text + "\n"
    assert not (tmp_path / "kept" / f"{number + 1:02d}-align.txt").exists()

    code, out, _ = cli(*words, "--stop-after", "map", "--json")
    assert (code, json.loads(out)["stage"]) == (0, "map")
    assert "did you mean 'lower-gates'?" in cli.refused(*words, "--stop-after", "lower_gates")
    assert "--out, --stop-after: no bundle is written" in cli.refused(
        *words, "--stop-after", "map", "--out", tmp_path / "out"
    )
    assert "--out: the folder of the bundle is missing" in cli.refused(*words)
    assert "is not empty and holds no stages" in cli.refused(
        *words, "--out", tmp_path / "out", "--keep-stages", tmp_path
    )
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------------------- no work twice
class Counted:
    """How often the golden input, and all calibration data, ran through a graph; mappings; checks of the options."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: dict[str, list[int]] = {"run_float": [], "run_int": [], "map_graph": [], "check_options": []}
        self.changed = 0
        for owner, attribute, name in (
            (FloatRun, "advance", "run_float"),
            (IntRun, "advance", "run_int"),
            (pipeline, "map_graph", "map_graph"),
            (pipeline, "check_options", "check_options"),
        ):
            monkeypatch.setattr(owner, attribute, self.counted(name, getattr(owner, attribute)))

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            x = arguments[1]
            self.calls[name].append(x.shape[1] if isinstance(x, np.ndarray) else 1)
            return function(*arguments, **more)

        return call

    def golden(self, name: str) -> int:
        return self.calls[name].count(GOLDEN_SAMPLES)

    def whole(self, name: str) -> float:
        return sum(n for n in self.calls[name] if n != GOLDEN_SAMPLES) / SAMPLES


def changing(deploy: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many float stages change the graph that data runs through."""
    graphs: list[Graph] = []

    def with_data(_stage: Stage, context: Context) -> None:
        if context.x is not None:
            graphs.append(context.graph)

    with monkeypatch.context() as patch:
        spied(patch, with_data)
        deploy()
    floats = graphs[: NAMES.index("quantize") + 1]
    return sum(one is not other for one, other in itertools.pairwise(floats))


@pytest.mark.parametrize(
    ("name", "gates", "floats", "why"),
    [
        ("ma", "causal", 1, "the lowered net"),
        ("ma", "static", 2, "the net with its gates, for their means, and the lowered net"),
        ("gac", "host", 2, "the host part, and the lowered net"),
        ("residual", "auto", 1, "the lowered net"),
    ],
)
def test_data_runs_through_a_net_once(
    name: str, gates: Strategy, floats: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = changing(lambda: deploy(name, gates), monkeypatch)
    counted = Counted(monkeypatch)

    deploy(name, gates)

    assert counted.whole("run_float") == floats, why
    assert counted.whole("run_int") == 1
    assert counted.golden("run_float") == 1 + changes
    assert counted.golden("run_int") <= 1
    assert len(counted.calls["check_options"]) == 1


def test_auto_runs_and_maps_the_exact_lowering_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, samples = golden("ma")
    counted = Counted(monkeypatch)

    made = deploy_graph(graph, Options(tolerance=0.5), samples, name="ma")

    assert set(made.strategies.values()) == {"causal"}
    assert made.options.gates == "auto"
    assert counted.whole("run_float") == 1, "the lowered net: nothing else is asked for the means of its gates"
    assert counted.whole("run_int") == 1
    assert len(counted.calls["map_graph"]) == 1


def test_where_no_candidate_is_good_enough_nothing_is_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, samples = golden("ma")
    counted = Counted(monkeypatch)

    with pytest.raises(GateLoweringError, match=r"causal loses .* on the 36 calibration samples"):
        deploy_graph(graph, Options(tolerance=-1.0), samples, name="ma")

    assert counted.calls["map_graph"] == []


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("name", ["ma", "tcja", "staa"])
def test_auto_takes_the_exact_lowering_where_it_stays_within_the_tolerance(name: str, labelled: bool) -> None:
    graph, samples = golden(name)
    if labelled:
        samples = replace(samples, y=np.random.default_rng(5).integers(0, 3, SAMPLES))
    wanted = answer(graph, run_float(graph, samples.x)).argmax(axis=1)
    truth = wanted if samples.y is None else samples.y
    made = deploy_graph(graph, Options(gates="causal"), samples, name=name)
    got = run_int(made.integer, made.encode(samples.x)).answer.argmax(axis=1)
    lost = float((wanted == truth).mean() - (got == truth).mean())

    for tolerance in (lost, lost + 0.2):
        auto = deploy_graph(graph, Options(tolerance=tolerance), samples, name=name)
        assert set(auto.strategies.values()) == {"causal"}
    with pytest.raises(GateLoweringError, match="causal loses"):
        deploy_graph(graph, Options(tolerance=lost - 1e-9), samples, name=name)


def test_bad_options_are_refused_before_data_is_read() -> None:
    def read() -> Samples:
        raise AssertionError("was read")

    with pytest.raises(InputError, match="--weight-bits: 9"):
        deploy_graph(tiny_graph(), Options(weight_bits=9), read, samples=read, name="tiny")


@pytest.mark.parametrize("check", ["exact", "cut"])
def test_a_stage_that_changes_the_answer_is_refused(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(context: Context) -> Context:
        graph = context.graph
        grown = graph.map(lambda op: replace(op, bias=op.bias + 1) if isinstance(op, Affine) else op)
        return passed(context, "wrong", grown, check, "float")

    stage = Stage("wrong", "Shift biases.", check, wrong)
    monkeypatch.setattr(pipeline, "PIPELINE", (*PIPELINE[:4], stage, *PIPELINE[4:]))

    with pytest.raises(PassError, match=r"pass 'wrong': changes the answer by .* at most 1e-06 is rounding"):
        deploy_graph(tiny_graph(), Options(), tiny_samples(), name="tiny")


def test_drift_counts_graded_spikes_as_spikes() -> None:
    made = deploy("tcja", "causal")
    assert made.drift is not None
    graded = [op.name for op in made.lowered if isinstance(op, Lif) and op.output_gate]
    assert graded
    _, samples = golden("tcja")
    signals = run_float(made.lowered, samples.x)
    recordings = run_int(made.integer, made.encode(samples.x)).recordings
    for name, share in made.drift.spike_mismatch.items():
        wrong = (signals[name] != 0) != (recordings[name].out != 0)
        assert share == wrong.mean(), name
    assert all(made.drift.spike_mismatch[name] < 0.1 for name in graded)
