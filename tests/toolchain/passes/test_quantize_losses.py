"""No silent loss: units from the worst sum, weights on the grid kept, read-outs that do not fade, every loss named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.quantize_loss import MEDIAN_LIMIT, float_row, grid_net, grid_row

from spikewright.toolchain import api
from spikewright.toolchain.calibration import Firing
from spikewright.toolchain.deployment import Deployment, Drift
from spikewright.toolchain.errors import InputError, PassError
from spikewright.toolchain.integer import IntConnection, IntNeuron, source_of
from spikewright.toolchain.interpret import run_float, run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.losses import losses
from spikewright.toolchain.ops import Accumulator, Affine, Array, Delay, Input, Lif, Op, Output
from spikewright.toolchain.passes import scales as sc
from spikewright.toolchain.passes.quantize import Quantize
from spikewright.toolchain.samples import Samples


def lif(name: str, *sources: str, n: int, threshold: float = 1.0, beta: float = 0.0) -> Lif:
    return Lif(name=name, inputs=sources, shape=(n,), beta=np.array(beta), v_threshold=np.array(threshold))


def net(weight: Array, *rest: Op, T: int = 4, bias: Array | None = None) -> Graph:
    first = Affine(name="fc", inputs=("in",), weight=weight, bias=bias)
    ops = (Input(name="in", shape=weight.shape[1:]), first, *rest)
    return Graph((*ops, Output(name="out", inputs=(ops[-1].name,))), timesteps=T)


def deploy(graph: Graph, x: Array, **options: object) -> Deployment:
    return api.deploy(graph, calibration=Samples(x, None, "x"), samples=Samples(x, None, "x"), name="net", **options)


@pytest.mark.parametrize("seed", range(8))
def test_a_net_on_the_chips_grid_keeps_every_spike(seed: int) -> None:
    row = grid_row(seed)

    assert (row.refused, row.differ, row.warnings) == ("", 0.0, ())


def test_integers_come_back_as_they_were() -> None:
    integer, graph, _ = grid_net(0)
    again = Quantize()(graph)

    for op in integer:
        if isinstance(op, IntConnection):
            made = again[op.name]
            assert isinstance(made, IntConnection)
            assert (made.synapses.weights << made.exponent == op.synapses.weights << op.exponent).all()


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("step", [1 / 64, 1 / 127, 0.03])
def test_a_read_out_on_the_grid_answers_exactly(step: float, biased: bool, rng: np.random.Generator) -> None:
    weight, answers = (step * rng.integers(-100, 100, shape) for shape in ((12, 20), (5, 12)))
    bias = step * rng.integers(-300, 300, 5) if biased else None
    last = Affine(name="fc2", inputs=("lif",), weight=answers, bias=bias)
    graph = net(weight, lif("lif", "fc", n=12, threshold=40.5 * step), last, T=16)
    x = (rng.random((16, 6, 20)) < 0.3).astype(float)

    made = deploy(graph, x)
    spikes = (x @ weight.T > 40.5 * step).astype(float)
    wanted = (spikes @ answers.T + (0.0 if bias is None else bias)).mean(axis=0)

    got = run_int(made.integer, x.astype(np.int64)).answer * made.answer_scale
    np.testing.assert_allclose(got, wanted, atol=1e-9)


def test_random_float_nets_lose_little_or_say_so() -> None:
    rows = [float_row(seed) for seed in range(12)]

    assert [row.seed for row in rows if row.silent or row.refused] == []
    assert np.median([row.differ for row in rows]) < MEDIAN_LIMIT


def test_many_active_pixels_do_not_wrap_a_current(rng: np.random.Generator) -> None:
    weight = np.stack([np.ones(784), np.tile([1.0, -1.0], 392)])
    graph = net(weight, lif("lif", "fc", n=2, threshold=10.5))
    quiet, busy = ((rng.random((4, 6, 784)) < share).astype(float) for share in (0.3, 0.9))

    made = deploy(graph, quiet)
    result = run_int(made.integer, busy.astype(np.int64))

    assert not result.saturations
    assert not made.diagnostics
    np.testing.assert_array_equal(result.recordings["lif"].out, run_float(graph, busy)["lif"])


def test_raw_pixels_keep_their_spikes(rng: np.random.Generator) -> None:
    weight = rng.normal(0, 0.05, (16, 784))
    graph = net(weight, lif("lif", "fc", n=16, threshold=20.0, beta=0.75))
    x = np.repeat(rng.integers(0, 256, (1, 20, 784)), 4, 0).astype(float)

    made = deploy(graph, x)
    result = run_int(made.integer, made.encode(x))

    assert not result.saturations
    assert (result.recordings["lif"].out != run_float(graph, x)["lif"]).mean() < 0.01


def test_a_wrap_that_data_alone_causes_is_told_by_the_run(rng: np.random.Generator) -> None:
    weight = np.abs(rng.normal(size=(2, 4000)))
    quiet, busy = ((rng.random((2, 2, 4000)) < share).astype(float) for share in (0.01, 0.99))
    made = deploy(net(weight, lif("lif", "fc", n=2, beta=0.9, threshold=50.0), T=2), quiet)

    assert not made.diagnostics
    for backend in ("interpreter", "hw_sim"):
        found = {one.code for one in made.run(busy, backend=backend).diagnostics}
        assert found == {"current-wraps", "spikes-differ"}  # the second by what it does to the spikes


@pytest.mark.parametrize(
    ("steps", "decay"), [(4, 1.0), (64, 1.0), (400, 1.0), (2000, 1.0), (400, 0.99), (64, None), (2000, None)]
)
def test_a_read_outs_precision_does_not_fall_with_its_steps(
    steps: int, decay: float | None, rng: np.random.Generator
) -> None:
    weight = rng.normal(size=(4, 6)) * 0.5
    leaky = () if decay is None else (Accumulator(name="i", inputs=("fc",), shape=(4,), decay=decay, rectify=False),)
    graph = net(weight, *leaky, T=steps)
    x = (rng.random((steps, 4, 6)) < 0.3).astype(float)

    made = deploy(graph, x)
    wanted = run_float(graph, x)["out"].mean(axis=0)

    got = run_int(made.integer, x.astype(np.int64)).answer * made.answer_scale
    assert np.abs(got - wanted).max() < (0.02 if decay is None else 0.01) * np.abs(wanted).max()
    assert [one for one in made.diagnostics if one.severity == "warning"] == []


def test_weights_that_vanish_beside_large_ones_get_a_second_projection(rng: np.random.Generator) -> None:
    weight = rng.normal(size=(8, 20))
    weight[:, 0] = 2000.0
    x = (rng.random((12, 16, 20)) < 0.4).astype(float)
    x[:, :, 0] = 0
    graph = net(weight, lif("lif", "fc", n=8, beta=0.8), T=12)

    made = deploy(graph, x)

    assert [one.code for one in made.diagnostics] == ["second-projection"]
    assert "second projections of 8 of 8 rows" in made.diagnostics[0].what
    assert "they cost 146 synapses beside 8, " in made.diagnostics[0].what
    lost = (run_int(made.integer, x.astype(np.int64)).recordings["lif"].out != run_float(graph, x)["lif"]).mean()
    assert lost < 0.03
    assert made.compare(limit=2).equal


def test_what_cannot_be_mended_is_named_and_strict_refuses_it(rng: np.random.Generator) -> None:
    huge = Affine(name="huge", inputs=("in",), weight=np.full((8, 20), 3e5))
    huge.weight[:, 1:] = 0
    graph = net(rng.normal(size=(8, 20)), huge, lif("lif", "fc", "huge", n=8, beta=0.9, threshold=2.0), T=20)
    x = (rng.random((20, 16, 20)) < 0.4).astype(float)
    x[:, :, 0] = 0

    found = {(one.code, one.where) for one in deploy(graph, x).diagnostics}

    assert {("weights-vanish", "map 'fc'"), ("layer-silent", "layer 'lif'")} <= found
    with pytest.raises(PassError, match="map 'fc': 100"):
        deploy(graph, x, strict=True)


def test_counts_have_room_and_bits_can_be_asked_for(rng: np.random.Generator) -> None:
    x = rng.integers(0, 16, (4, 6, 30)).astype(float)
    graph = net(rng.normal(size=(5, 30)) / 9, lif("lif", "fc", n=5))

    assert source_of(deploy(graph, x).integer).soma.payload_bits == 5
    assert source_of(deploy(graph, x, input_bits=9).integer).soma.payload_bits == 9
    with pytest.raises(InputError, match="3 bits hold counts below 8; the calibration data of 'net' has 15"):
        deploy(graph, x, input_bits=3)


def test_thresholds_and_biases_fit_a_smaller_field() -> None:
    chip = sc.ChipGrid(bias_max=2000, threshold_max=(1 << 15) - 1)
    graph = net(np.array([[0.5], [0.3]]), lif("lif", "fc", n=2), bias=np.array([0.4, -0.2]))

    made = Quantize(chip)(graph)["lif"]

    assert isinstance(made, IntNeuron)
    assert not list(made.soma.wrong(2))
    assert int(np.abs(made.soma.parameters()[2]).max()) <= 2000
    assert int(np.abs(made.soma.parameters()[3]).max()) <= (1 << 15) - 1


def test_a_bias_behind_a_delay_arrives_late() -> None:
    late = Delay(name="late", inputs=("fc",), steps=3)
    graph = net(np.array([[0.3]]), late, lif("lif", "late", n=1, beta=1.0, threshold=0.5), bias=np.array([0.2]), T=8)
    x = np.zeros((8, 1, 1))
    made = deploy(graph, x)
    got = made.backend("interpreter").run(made, made.encode(x), record=True).recordings["lif"].out
    np.testing.assert_array_equal(got, run_float(graph, x)["lif"])
    assert got.any()


def test_only_rows_with_outliers_get_a_second_projection(rng: np.random.Generator) -> None:
    weight = rng.normal(size=(16, 20))
    weight[[3, 11], 0] = 2000.0
    x = (rng.random((12, 16, 20)) < 0.4).astype(float)
    x[:, :, 0] = 0

    made = deploy(net(weight, lif("lif", "fc", n=16, beta=0.8), T=12), x)

    low = made.integer["fc.low"]
    assert isinstance(low, IntConnection)
    assert np.flatnonzero(low.synapses.weights.any(axis=1)).tolist() == [3, 11]
    assert "2 of 16 rows" in made.diagnostics[0].what
    assert made.drift is not None
    assert made.drift.spike_mismatch["lif"] < 0.02
    assert made.compare(limit=2).equal


ENDS = {
    "int8": lambda rng, shape: rng.integers(-128, 128, shape),
    "down to -256": lambda rng, shape: 2 * rng.integers(-128, 128, shape),
    "odd above 0": lambda rng, shape: rng.integers(0, 256, shape),
    "odd below 0": lambda rng, shape: -rng.integers(0, 256, shape),
}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("unit", [1.0, 2.0**-7, 0.013])
def test_weights_to_the_signed_ends_come_through_as_they_are(kind: str, unit: float, rng: np.random.Generator) -> None:
    weight = ENDS[kind](rng, (6, 40)).astype(float)
    weight[:, :2] = weight.min(), weight.max()
    bias = 1500.0 if kind == "odd below 0" else 0.0
    graph = net(
        weight * unit, lif("lif", "fc", n=6, beta=1.0, threshold=301.5 * unit), T=9, bias=np.full(6, bias) * unit
    )
    x = (rng.random((9, 8, 40)) < 0.3).astype(float)

    made = deploy(graph, x)

    held = made.integer["fc"]
    assert isinstance(held, IntConnection)
    whole = held.synapses.weights * 2.0**held.exponent
    np.testing.assert_allclose(
        whole * (weight[:, :1] / whole[:, :1] if weight.min() else weight[:, 1:2] / whole[:, 1:2]), weight
    )
    result = run_int(made.integer, made.encode(x))
    np.testing.assert_array_equal(result.recordings["lif"].out, run_float(graph, x)["lif"])
    assert result.recordings["lif"].out.any()
    assert made.compare(limit=1).equal


@pytest.mark.parametrize("bits", [20, 14])
def test_biases_to_the_signed_ends_of_a_chips_field_are_kept(bits: int) -> None:
    chip = sc.ChipGrid(bias_max=(1 << (bits - 1)) - 1)
    wanted = np.array([-4096.0, 4095.0, 17.0])

    assert sc.integer_bias(wanted, "layer", chip).tolist() == wanted.tolist()
    assert (
        sc.integer_bias(wanted * (1 << (bits - 13)), "layer", chip).tolist() == (wanted * (1 << (bits - 13))).tolist()
    )


@pytest.mark.parametrize("most", [3, 7, 15])
def test_exponents_are_those_of_the_chip(most: int, rng: np.random.Generator) -> None:
    small = Affine(name="small", inputs=("in",), weight=rng.normal(size=(8, 20)) * 1e-4)
    graph = net(rng.normal(size=(8, 20)), small, lif("lif", "fc", "small", n=8, beta=0.9, threshold=2.0))
    made = Quantize(sc.ChipGrid(exponent_min=0, exponent_max=most))(graph)

    exponents = [op.exponent for op in made if isinstance(op, IntConnection)]
    assert 0 <= min(exponents) < max(exponents) <= most


def test_a_huge_channel_leaves_the_others_their_unit(rng: np.random.Generator) -> None:
    size = np.array([1.0, 1.0, 1e6, 1e-6])
    graph = net(
        rng.normal(size=(4, 20)) * size[:, None],
        Lif(name="lif", inputs=("fc",), shape=(4,), beta=np.array(0.9), v_threshold=2 * size),
        T=12,
    )
    x = (rng.random((12, 16, 20)) < 0.4).astype(float)

    made = deploy(graph, x)

    assert not made.diagnostics
    assert (made.run(x, record=True).result.recordings["lif"].out != run_float(graph, x)["lif"]).mean() < 0.01  # type: ignore[union-attr]


def test_a_threshold_out_of_reach_costs_no_weight(rng: np.random.Generator) -> None:
    threshold = np.array([2.0, 2.0, 1e9])
    graph = net(
        rng.normal(size=(3, 20)),
        Lif(name="lif", inputs=("fc",), shape=(3,), beta=np.array(0.9), v_threshold=threshold),
        T=12,
    )
    x = (rng.random((12, 16, 20)) < 0.4).astype(float)

    made = deploy(graph, x)

    assert not made.diagnostics
    everything = run_int(made.integer, np.ones((12, 1, 20), np.int64)).recordings["lif"].out
    assert not everything[..., 2].any()
    assert everything[..., :2].any()


def test_silence_on_calibration_data_is_told_and_leaves_room(rng: np.random.Generator) -> None:
    graph = net(rng.normal(size=(8, 30)), lif("lif", "fc", n=8, beta=0.9, threshold=3.0), T=10)
    made = deploy(graph, np.zeros((10, 4, 30)))
    busy = (rng.random((10, 8, 30)) < 0.6).astype(float)

    assert [(one.code, one.severity) for one in made.diagnostics] == [("never-fires", "note")]
    result = made.run(busy, record=True).result
    assert result is not None
    assert (result.recordings["lif"].out != run_float(graph, busy)["lif"]).mean() < 0.01


def test_neurons_that_fall_silent_are_counted(rng: np.random.Generator) -> None:
    weight = np.ones((3, 30))
    weight[1, 0] = -1e7
    x = (rng.random((20, 8, 30)) < 0.4).astype(float)
    x[..., 0] = 0

    found = {
        one.code: one.what
        for one in deploy(net(weight, lif("lif", "fc", n=3, threshold=2.0, beta=0.9), T=20), x).diagnostics
    }

    assert found["neurons-silent"].startswith("1 of its 3 neurons send nothing")


def test_counts_of_spikes_are_compared_as_counts() -> None:
    wrong = Firing(4, counted=True)
    a, b = np.array([[0, 1, 2, 3]]), np.array([[0, 1, 3, 2]])

    assert wrong.differ(wrong.packed(a), wrong.packed(b)) == 2
    assert replace(wrong, counted=False).differ(*(replace(wrong, counted=False).packed(one) for one in (a, b))) == 0


def test_several_spikes_a_step_leave_the_host_as_counts(rng: np.random.Generator) -> None:
    many = replace(lif("lif", "fc", n=8, threshold=0.3), max_spikes=None, reset="subtract")
    graph = net(
        rng.normal(size=(8, 30)), many, Affine(name="next", inputs=("lif",), weight=rng.normal(size=(4, 8))),
        lif("last", "next", n=4), T=6,
    )  # fmt: skip
    x = rng.normal(size=(6, 8, 30))

    made = deploy(graph, x)

    assert made.host is not None
    np.testing.assert_array_equal(made.encode(x), run_float(graph, x)["lif"])
    assert made.check().spike_driven
    with pytest.raises(InputError, match="deploy again with --input-bits"):
        made.run(200 * x)


def test_busier_data_runs_whole_with_the_bits_that_take_it(rng: np.random.Generator) -> None:
    graph = net(rng.normal(size=(5, 30)) / 9, lif("lif", "fc", n=5))
    x = rng.integers(0, 16, (4, 6, 30))

    made = deploy(graph, x, input_bits=9)

    assert "input-saturates" not in {one.code for one in made.run(x * 20).diagnostics}
    np.testing.assert_array_equal(made.encode(x * 20), x * 20)


@pytest.mark.parametrize(("tolerance", "told"), [(0.0, True), (0.01, False), (0.5, False)])
def test_tolerance_holds_without_labels_and_for_one_sample(tolerance: float, told: bool) -> None:
    wanted, got = np.eye(4)[[0, 1, 2, 3]], np.eye(4)[[0, 1, 2, 0]]
    found = losses(Graph((), 1), Graph((), 1), Drift({}, 0.75, 0.1), wanted, got, None, tolerance)

    assert ("answers-change" in {one.code for one in found}) == told
