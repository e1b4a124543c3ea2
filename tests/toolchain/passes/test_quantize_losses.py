"""No silent loss: units from the worst sum, weights on the grid kept, read-outs that do not fade, every loss named."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.quantize_loss import MEDIAN_LIMIT, float_row, grid_net, grid_row

from spikewright.toolchain import api
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError, PassError
from spikewright.toolchain.integer import IntConnection, IntNeuron, source_of
from spikewright.toolchain.interpret import run_float, run_int
from spikewright.toolchain.ir import Graph
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
        assert found == {"current-wraps"}


@pytest.mark.parametrize("decay", [1.0, 0.99])
def test_a_read_out_of_many_steps_keeps_its_precision(decay: float, rng: np.random.Generator) -> None:
    weight = rng.normal(size=(4, 6)) * 0.5
    graph = net(weight, Accumulator(name="i", inputs=("fc",), shape=(4,), decay=decay, rectify=False), T=400)
    x = (rng.random((400, 4, 6)) < 0.3).astype(float)

    made = deploy(graph, x)
    wanted = run_float(graph, x)["out"].mean(axis=0)

    got = run_int(made.integer, x.astype(np.int64)).answer * made.answer_scale
    assert np.abs(got - wanted).max() < 0.02 * np.abs(wanted).max()
    assert made.compare(limit=2).equal


def test_weights_that_vanish_beside_large_ones_get_a_second_projection(rng: np.random.Generator) -> None:
    weight = rng.normal(size=(8, 20))
    weight[:, 0] = 2000.0
    x = (rng.random((12, 16, 20)) < 0.4).astype(float)
    x[:, :, 0] = 0
    graph = net(weight, lif("lif", "fc", n=8, beta=0.8), T=12)

    made = deploy(graph, x)

    assert [one.code for one in made.diagnostics] == ["second-projection"]
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
