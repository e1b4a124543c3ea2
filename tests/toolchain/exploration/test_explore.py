"""An exploration: one table whoever evaluates it, kept on disk, gone on with; refusals are rows, bad axes are errors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checked_nets import attention, conv, lif, net
from command_line import Cli
from report_nets import coded
from tiny import tiny_graph, tiny_samples

from spikewright.hw_sim.chip import load_chip
from spikewright.toolchain import nirx
from spikewright.toolchain.content import code, digest
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import BackendError, InputError
from spikewright.toolchain.exploration import Exploration, explore
from spikewright.toolchain.exploration.job import Evaluator, Job, groups, unpack
from spikewright.toolchain.exploration.point import Measured, Refused, from_text, to_text
from spikewright.toolchain.exploration.space import TRAINED, Axes, Configuration, configurations, default_axes
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import PIPELINE, deploy_graph
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.to_nir import to_nir

AXES: Axes = {"weight_bits": (8, 4), "mapping": ("greedy", "vendor")}


def gated_graph() -> Graph:
    """Return a net with one MA block, which has a causal and a static lowering."""
    answer = Affine(name="fc", inputs=("lif2",), weight=np.random.default_rng(3).normal(size=(3, 256)))
    block = attention("causal", "C")
    block = replace(block, parameters={name: block.parameters[name] for name in block.expected()})
    return net(conv("conv1", "in", 4, 1), block, conv("conv2", "ma", 4, 4), lif("lif2", "conv2"), answer)


def gated_samples(count: int = 8) -> Samples:
    rng = np.random.default_rng(4)
    return Samples((rng.random((8, count, 1, 8, 8)) < 0.3).astype(np.float32), rng.integers(0, 3, count), "random")


def job(graph: Graph | None = None, samples: Samples | None = None, **options: Any) -> Job:
    samples = samples or gated_samples()
    asked = Options(**options)
    return Job("net", graph or gated_graph(), load_chip("loihi2"), asked, samples, samples, {}, code=code())


def tiny(out: Path, **more: Any) -> Exploration:
    chosen: dict[str, Any] = {"axes": AXES, "calibration": tiny_samples(), "samples": tiny_samples()} | more
    return explore(tiny_graph(), out=out, **chosen)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Exploration:
    """Return a table with a refused row."""
    out = tmp_path_factory.mktemp("explore") / "net.sqlite"
    axes = {"gates.ma": ("causal", "static", "barrier"), "weight_bits": (8, 4), "mapping": ("greedy", "vendor")}
    data = gated_samples()
    return explore(gated_graph(), axes=axes, out=out, calibration=data, samples=data)


# --------------------------------------------------------------------------------------------- the table
def test_every_configuration_is_a_row_and_a_refused_one_says_why(table: Exploration) -> None:
    rows = table.rows()

    assert [(row["gates.ma"], row["weight_bits"], row["mapping"]) for row in rows] == [
        (g, w, m) for g in ("causal", "static", "barrier") for w in (8, 4) for m in ("greedy", "vendor")
    ]
    assert [row["refused"] is not None for row in rows] == [False] * 8 + [True] * 4
    assert "cannot be lowered by 'barrier'" in rows[-1]["refused"]
    assert rows[-1]["help"]
    assert table.headline().startswith("net on loihi2: 12 configurations, 4 refused; ")


def test_a_row_is_what_deploy_run_and_check_say(table: Exploration) -> None:
    data = gated_samples()
    made = deploy_graph(
        gated_graph(), Options(gates="static", weight_bits=4, mapping="vendor"), data, name="net", samples=data
    )
    point = table.outcomes[7]
    assert isinstance(point, Measured)

    run, check = made.run().to_dict(), made.check()
    assert (point.sops_binary, point.sops_graded) == (run["sops"]["binary"], run["sops"]["graded"])
    assert (point.energy_j, point.energy_low_j) == (run["energy_j"]["total"], run["energy_j"]["low"])
    assert (point.latency_s, point.gate_multiplies) == (run["latency_s"], run["gate_multiplies"])
    assert (point.accuracy, point.spike_driven) == (run["accuracy"], check.ok)
    wanted = made.run_float(data.x).argmax(axis=1)
    assert point.float_accuracy == (wanted == data.y).mean()
    assert point.drop == pytest.approx(point.float_accuracy - point.accuracy)
    assert point.drop_bound >= point.drop


def test_the_front_is_marked_and_drawn(table: Exploration) -> None:
    goals = {i: table.goals(i) for i in table.measured if table.outcomes[i].spike_driven}  # type: ignore[union-attr]

    assert table.front
    for i in table.front:
        assert not any(all(a <= b for a, b in zip(g, goals[i], strict=True)) and g != goals[i] for g in goals.values())
    text, page = table.text(), table.html()
    assert sum(line.startswith("*  ") for line in text.splitlines()) == len(table.front)
    assert page.count('class="c0"><title>') == len(table.front)
    assert page.count("<circle") == len(table.measured)
    assert "cannot be lowered" in text
    assert "cannot be lowered" in page
    assert len(table.csv().splitlines()) == 13
    assert "<table>" in table._repr_html_()
    assert json.loads(json.dumps(table.to_dict()))["front"] == list(table.front)


def test_points_survive_their_text(table: Exploration) -> None:
    for point in table.outcomes:
        assert isinstance(point, Measured | Refused)
        assert from_text(to_text(point)) == point
    with pytest.raises(ValueError, match="no point"):
        from_text("[]")


# ----------------------------------------------------------------------------------------- shared stages
def test_configurations_share_the_stages_in_front_of_what_they_vary() -> None:
    axes: Axes = {"gates": ("causal", "static"), "weight_bits": (8, 4), "mapping": ("greedy", "vendor")}
    evaluator = Evaluator(job())

    for one in configurations(axes):
        evaluator.deployed(one)

    ran = evaluator.prefixes.ran
    assert (ran["normal-form"], ran["lower-gates"], ran["quantize"], ran["align"], ran["map"]) == (1, 2, 4, 4, 8)
    assert evaluator.prefixes.shared["lower-gates"] == 6


def test_a_shared_stage_gives_what_a_deployment_of_its_own_gives() -> None:
    axes: Axes = {
        "gate_kind": (TRAINED, "pow2"),
        "gates": ("static", "causal", "host"),
        "weight_bits": (8, 4),
        "headroom": (1.5, 3.0),
        "mapping": ("greedy", "vendor"),
    }
    evaluator, data = Evaluator(job()), gated_samples()
    for one in configurations(axes)[::11]:
        evaluator.deployed(one)
    for one in configurations(axes)[3::9]:
        shared = evaluator.deployed(one)
        alone = deploy_graph(
            evaluator._graph(one.gate_kind), one.options(Options()), data, name="net", samples=data
        )  # fmt: skip
        assert parts(shared) == parts(alone), one


def parts(made: Deployment) -> tuple[Any, ...]:
    return (
        digest(made.program, made.integer, made.lowered, made.strategies),
        made.options,
        made.diagnostics,
        [replace(record, answer_error=round(record.answer_error, 9)) for record in made.passes],
    )


def test_no_stage_reads_what_it_does_not_name() -> None:
    later = {name: at for at, stage in enumerate(PIPELINE) for name in stage.options}
    read: list[str] = []

    class Strategies(dict[str, str]):
        def __getattribute__(self, name: str) -> Any:
            read.append("strategies")
            return super().__getattribute__(name)

    class Watched(Options):
        def __getattribute__(self, name: str) -> Any:
            if name in later:
                read.append(name)
            return super().__getattribute__(name)

    class Watching:
        def begin(self, context: Any) -> Any:
            return replace(context, options=watched)

        def take(self, stage: Any, context: Any) -> Any:
            context = replace(context, strategies=Strategies(context.strategies))
            read.clear()
            after = stage.run(context)
            early = {name for name in read if later.get(name, -1) > PIPELINE.index(stage)}
            assert not early, (stage.name, early)
            assert "strategies" not in read or "strategies" in stage.needs, stage.name
            seen.update(read)
            return after

    watched, seen, data = Watched(), set[str](), gated_samples()
    deploy_graph(gated_graph(), Options(), data, name="net", memory=Watching())
    assert seen == {*later, "strategies"}


def test_a_job_is_the_same_in_another_process() -> None:
    still = np.broadcast_to(np.ones((1, 3, 1, 8, 8), np.float32), (8, 3, 1, 8, 8))
    one = job(samples=Samples(still, None, "still"))
    other = unpack(one.pack())

    assert other.key == one.key
    assert other.samples.x.strides[0] == 0
    with pytest.raises(BackendError, match="other code"):
        Evaluator(replace(one, code="older"))


def test_groups_share_all_but_the_mapping() -> None:
    numbered = list(enumerate(configurations({"weight_bits": (8, 4), "mapping": ("greedy", "vendor", "balanced")})))
    assert [[number for number, _ in group] for group in groups(numbered)] == [[0, 1, 2], [3, 4, 5]]


# ---------------------------------------------------------------------------------------------- the store
def test_what_is_known_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Configuration] = []
    real = Evaluator.point

    def counted(self: Evaluator, one: Configuration) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(one)
        return real(self, one)

    monkeypatch.setattr(Evaluator, "point", counted)
    with pytest.raises(KeyboardInterrupt):
        tiny(tmp_path / "half.sqlite")
    monkeypatch.setattr(Evaluator, "point", real)
    progress: list[tuple[int, int]] = []
    gone_on = tiny(tmp_path / "half.sqlite", progress=lambda *now: progress.append(now))
    at_once = tiny(tmp_path / "whole.sqlite")

    assert progress[0] == (2, 4)
    assert gone_on.rows() == at_once.rows()
    monkeypatch.setattr(Evaluator, "point", counted)  # refuses any further work
    assert tiny(tmp_path / "half.sqlite").rows() == at_once.rows()


def test_other_data_or_options_are_other_rows(tmp_path: Path) -> None:
    few, axes = tmp_path / "few.sqlite", {"mapping": ("greedy",)}
    for more in ({}, {"limit": 4}, {"headroom": 2.0}, {}):
        tiny(few, axes=axes, **more)
    with sqlite3.connect(few) as file:
        assert file.execute("SELECT count(*) FROM point").fetchone() == (3,)
    file.close()


def not_ours(path: Path) -> Iterator[str]:
    path.write_bytes(b"this is no database, and longer than its header would be: " + b"x" * 100)
    yield "is not a database"
    path.unlink()
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE mine (x)")
    file.close()
    yield "is a database of something else"
    path.unlink()
    path.mkdir()
    yield "is a folder"


def test_a_file_that_is_none_of_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    for what in not_ours(path):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(InputError, match=what):
            tiny(path)
        assert before is None or path.read_bytes() == before


# ------------------------------------------------------------------------------------------------- the axes
def test_the_default_grid_varies_what_the_net_has() -> None:
    graph = gated_graph()

    assert default_axes(graph, Options(), 8) == {
        "gate_kind": (TRAINED, "pow2"),
        "gates.ma": ("static", "causal"),
        "weight_bits": (8, 6, 4),
        "mapping": ("balanced", "vendor"),
    }
    assert default_axes(coded(), Options(), 8)["payload_bits"] == (8, 4)
    assert list(default_axes(tiny_graph(), Options(mapping="greedy"), 8)) == ["weight_bits"]


@pytest.mark.parametrize(
    ("words", "what", "help"),
    [
        (["--axis", "weight_bit=8"], "there is no such axis", "did you mean 'weight_bits'"),
        (["--axis", "weight_bits"], "NAME=VALUE,... is expected", "e.g. --axis"),
        (["--axis", "weight_bits=eight"], "'eight'; a int is expected", "give values of this type"),
        (["--axis", "mapping=balance"], "'balance'; greedy, balanced", "did you mean 'balanced'"),
        (["--axis", "gates.lif9=static"], "there is no attention block 'lif9'", "gates.BLOCK"),
        (["--axis", "gate_kind=soft"], "'soft'; trained, sigmoid", "choose one of these"),
        (["--axis", "mapping=greedy", "--axis", "mapping=vendor"], "is given twice", "join the values"),
        (["--axis", "mapping=greedy", "--mapping", "vendor"], "--mapping fixes what this varies", "leave one"),
        (["--objectives", "cost"], "'cost'; drop, energy", "choose some of these"),
        (["--limit", "0"], "0; at least 1 is allowed", "leave --limit out"),
        (["--workers", "2", "--scheduler", "tcp://x:1"], "has its own workers", "leave one"),
        ([], "there is no data to run", "give it with --samples"),
    ],
)
def test_what_cannot_be_explored_is_refused_before_any_work(
    cli: Cli, tmp_path: Path, words: list[str], what: str, help: str
) -> None:
    model, store = tmp_path / "net.nir", tmp_path / "net.sqlite"
    nirx.write(model, to_nir(tiny_graph()))
    stderr = cli.refused("explore", model, "--out", store, *words)

    assert what in stderr
    assert help in stderr
    assert not store.exists()


def test_ctrl_c_says_how_to_go_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, progress: Any, **__: Any) -> Exploration:
        progress(1, 4)
        raise KeyboardInterrupt

    monkeypatch.setattr("spikewright.toolchain.cli.explore.explore", interrupted)

    code, stdout, stderr = cli("explore", "net.nir")

    assert (code, stdout) == (130, "")
    assert "1 of 4 configurations are done and kept; the same command goes on with the others" in " ".join(
        stderr.split()
    )
