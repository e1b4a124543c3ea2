"""Every layer type of a netx file means what lava-dl means by it; what has no meaning here is refused by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from int_nets import int_gate_table
from mapped import mapped
from netx_nets import CUBA, changed, conv_net, dense, even, ints, joined, kernel_layer, write

from spikewright import deploy
from spikewright.export.lava import LavaBackend
from spikewright.export.netx import export_net, import_net
from spikewright.export.netx.entry import import_netx
from spikewright.export.netx.file import read
from spikewright.export.netx.read import build
from spikewright.export.netx.weights import LostError, chip_form, effective, loaded
from spikewright.hw_sim import Synapses, load_chip
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.integer import IntConnection, IntNeuron, IntOutput, separated, with_timesteps
from spikewright.toolchain.interpret import answer, run_float, run_int
from spikewright.toolchain.interpret.integers import connect
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.local_backends import HwSimBackend
from spikewright.toolchain.mapping import map_graph
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.align import Align
from spikewright.toolchain.shapes import shapes
from spikewright.toolchain.spike_driven import check_graph


def _module(package: str, path: str) -> ModuleType:
    """Load one file of a package without the package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, distribution(package).locate_file(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.lava
def test_weights_are_those_lava_dls_loader_and_lavas_dense_leave() -> None:
    netx = _module("lava-dl", "lava/lib/dl/netx/utils.py")
    units = _module("lava-nc", "lava/utils/weightutils.py")
    rng, lost, changed = np.random.default_rng(5), 0, 0
    for _ in range(400):
        low, high = sorted(rng.integers(-300, 300, 2).tolist())
        w = rng.integers(low, high + 1, (3, 4)) * int(rng.choice([1, 2, 4]))
        if not w.any():
            continue
        with np.errstate(divide="ignore"):
            raised, bits, exponent, _ = netx.optimize_weight_bits(w)
        mode = units.determine_sign_mode(raised)
        held = units.truncate_weights(units.clip_weights(raised, mode, 8), mode, bits)
        try:
            (mine,) = loaded(w)
        except LostError:
            lost += 1
            assert not held.any()
            continue
        wanted = held * 2.0**exponent
        changed += int((wanted != w).any())
        np.testing.assert_array_equal(mine.weight * 2.0**mine.exponent, wanted)
        assert mine.weight.min() >= -256
        assert mine.weight.max() <= 255
    assert lost > 10
    assert changed > 10


@pytest.mark.parametrize(
    ("weight", "exponent"), [([[-3, 5]], -1), ([[-4, 6]], 0), ([[3, 5]], 0), ([[-512, 4]], 1), ([[2, 508]], 1)]
)
def test_the_chips_form_of_integer_weights_is_the_same_map(weight: list[list[int]], exponent: int) -> None:
    form = chip_form(np.array(weight))

    assert form.exponent == exponent
    np.testing.assert_array_equal(effective(form.weight, form.exponent), weight)


@pytest.mark.parametrize(
    ("weights", "groups", "stride", "padding", "dilation"),
    [
        ((4, 3, 3, 2), 1, (1, 1), (1, 0), (1, 2)),
        ((4, 3, 2, 2), 2, (1, 1), (0, 0), (1, 1)),
        ((4, 3, 3, 3), 2, (2, 3), (1, 0), (1, 2)),
    ],
)
def test_a_transposed_convolution_is_torchs(
    weights: Any, groups: int, stride: Any, padding: Any, dilation: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    w, x = even(rng, *weights), rng.integers(0, 2, (1, 4, 5, 4))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    wanted = torch.nn.functional.conv_transpose2d(torch.tensor(x).double(), torch.tensor(w).double(), **options)[
        0
    ].numpy()
    start = {"type": "input", "shape": np.array([4, 5, 4])}

    net = import_net(write(tmp_path / "t.net", start, kernel_layer("convT", w, wanted.shape, **options)))

    link = next(op for op in net if isinstance(op, IntConnection))
    got = connect(link, x.reshape(-1), x.shape[1:], shapes(net)[link.name])
    np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("kind", ["pool", "unpool"])
def test_pooling_and_unpooling_take_every_channel_alone(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    w, x = np.full((1, 1, 2, 2), 32), rng.integers(0, 2, (1, 3, 4, 6))
    f = torch.nn.functional.conv2d if kind == "pool" else torch.nn.functional.conv_transpose2d
    wanted = f(torch.tensor(x).double(), torch.tensor(np.repeat(w, 3, 0)).double(), stride=2, groups=3)[0].numpy()  # type: ignore[operator]
    start = {"type": "input", "shape": np.array([3, 4, 6])}

    net = import_net(write(tmp_path / "p.net", start, kernel_layer(kind, w, wanted.shape, stride=[2, 2])))

    link = next(op for op in net if isinstance(op, IntConnection))
    got = connect(link, x.reshape(-1), x.shape[1:], shapes(net)[link.name])
    np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


def test_a_concat_layer_joins_the_layer_in_front_with_earlier_ones(tmp_path: Path, rng: np.random.Generator) -> None:
    a, b, c = even(rng, 4, 6) + 60, even(rng, 3, 4) + 60, even(rng, 2, 7) + 60
    file = write(
        tmp_path / "c.net", dense(a), dense(b), {"type": "concat", "shape": np.array([7]), "layers": [0]}, dense(c)
    )
    x = (rng.random((20, 1, 6)) < 0.5).astype(np.int64)

    result = run_int(import_net(file, timesteps=20), x)

    spikes = {name: recording.out for name, recording in result.recordings.items()}
    joined = np.concatenate([spikes["1.dense"], spikes["0.dense"]], axis=-1)
    plain = import_net(write(tmp_path / "d.net", dense(c)), timesteps=20)
    np.testing.assert_array_equal(run_int(plain, joined).recordings["0.dense"].out, spikes["3.dense"])
    assert spikes["3.dense"].any()


def test_an_average_layer_is_a_read_out_of_group_rates(tmp_path: Path, rng: np.random.Generator) -> None:
    file = write(
        tmp_path / "a.net", dense(even(rng, 6, 5)), {"type": "average", "shape": np.array([2, 1, 1])}, tSample=25, Ts=1
    )
    net = import_net(file)
    x = (rng.random((25, 2, 5)) < 0.5).astype(np.int64)

    result = run_int(net, x)

    rates = result.recordings["0.dense"].out.reshape(25, 2, 2, 3).mean(axis=(0, 3))
    scale = next(op for op in net if isinstance(op, IntOutput)).scale
    np.testing.assert_allclose(result.answer * scale, rates)
    assert rates.any()


@pytest.mark.parametrize("axis", [0, 1])
def test_delays_hold_back_each_neurons_or_each_inputs_synapses(
    axis: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    w, steps = even(rng, 3, 5), 12
    delay = rng.integers(0, 5, w.shape[axis]).astype(np.float32)
    x = rng.integers(0, 2, (steps, 1, 5))
    current = np.zeros((steps + 4, 3), np.int64)
    for t in range(steps):
        for o, i in np.ndindex(w.shape):
            current[t + int(delay[(o, i)[axis]]), o] += w[o, i] * x[t, 0, i]
    neuron = {"neuron/iDecay": 4096, "neuron/vDecay": 4096, "neuron/vThMant": (1 << 18) - 1}

    net = import_net(write(tmp_path / "d.net", dense(w, delay=delay, **neuron)), timesteps=steps)

    np.testing.assert_array_equal(run_int(net, x).recordings["0.dense"].v[:, 0], current[:steps] << 6)


@pytest.mark.lava
def test_all_delays_of_a_layer_are_one_connection_and_one_lava_process(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """One delay a neuron, one an input, and both of a recurrent layer: interpreter = machine = Lava, as one a connection."""
    square = dense(even(rng, 6, 6), delay=rng.integers(0, 9, 6))
    layers = [
        dense(even(rng, 6, 8), delay=rng.integers(2, 40, 8)),
        square,
        dense(even(rng, 4, 6), delay=rng.integers(0, 63, 4)),
    ]
    recurrent = {**square, "type": "dense_rec", "weight_rec": even(rng, 6, 6).astype(np.float32)}
    nets = [
        Align()(import_net(write(tmp_path / f"{k}.net", *some), timesteps=50))
        for k, some in enumerate((layers, [layers[0], recurrent]))
    ]
    x = (rng.random((50, 2, 8)) < 0.3).astype(np.int64)

    lava = LavaBackend().run_many([(net, x) for net in nets], record=True)

    for net, of_lava in zip(nets, lava, strict=True):
        assert sum(isinstance(op, IntConnection) for op in net) <= 3
        wanted = run_int(net, x)
        program = map_graph(net, load_chip("loihi2"))
        others = (of_lava, HwSimBackend().run(mapped(net, program), x, record=True), run_int(separated(net), x))
        for name, recording in wanted.recordings.items():
            assert recording.out.any()
            for other in others:
                np.testing.assert_array_equal(other.recordings[name].out, recording.out, err_msg=name)
                np.testing.assert_array_equal(other.recordings[name].v, recording.v, err_msg=name)


def test_a_check_finds_each_delay_of_a_layer_loaded_and_a_weight_of_one_that_is_not_the_files(tmp_path: Path) -> None:
    file = write(tmp_path / "d.net", dense([[2], [4]], delay=[0, 2]), dense([[2, 2]], delay=[1, 3]))
    made = deploy(str(file), samples=np.ones((6, 3, 1), np.float32), timesteps=6)
    assert len(made.program.projections) == 4
    found = made.check()
    assert found.ok
    assert found.faithful is not None
    assert found.faithful.faults == ()

    first, *others = made.program.projections
    other = replace(first, synapses=first.synapses.with_weights(first.synapses.weights * 2))
    found = replace(made, program=replace(made.program, projections=(other, *others))).check()
    assert found.faithful is not None
    assert not found.ok
    assert repr(first.name) in found.faithful.faults[0]


def test_a_refractory_delay_of_a_file_holds_neurons_and_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / "r.net", dense([[2]], **{"neuron/refDelay": 3, "neuron/vThMant": 1}))

    made = import_netx(str(file))

    assert made is not None
    assert made.integer is not None
    ones = np.ones((9, 1, 1), np.int64)
    assert run_int(with_timesteps(made.integer, 9), ones).recordings["0.dense"].out.ravel().tolist() == [1, 0, 0] * 3
    assert [str(told) for told in made.diagnostics] == [
        "note: r.net: layer 0 (dense): neurons are silent for 2 steps behind a spike (refDelay 3), as on the chip; lava-dl's "
        "own loader ignores it"
    ]


def test_neurons_of_a_file_fire_above_their_threshold_unless_comparison_says_at_it(tmp_path: Path) -> None:
    """SLAYER trains v >= threshold, chips and Lava fire at v > threshold, and the file says neither."""
    file = str(write(tmp_path / "c.net", dense([[2]], **{"neuron/vThMant": 2})))
    event = np.array([1, 0, 0], np.float32).reshape(3, 1, 1)  # which takes v to its threshold

    usual, asked = (deploy(file, samples=event, timesteps=3, comparison=said) for said in (None, "ge"))

    assert [made.run().answer.item() for made in (usual, asked)] == [0, 1]
    assumed = [one for one in usual.diagnostics if one.code == "comparison-unsaid"]
    assert [(one.where, one.what, one.severity) for one in assumed] == [
        ("c", "neurons fire at v > threshold, as the chip and Lava have it (--comparison)", "assumption")
    ]
    assert "SLAYER" in assumed[0].help
    assert "comparison-unsaid" not in [one.code for one in asked.diagnostics]

    for said, fires in ((None, 0), ("gt", 0), ("ge", 1)):
        as_float = load_model(file).float_graph(timesteps=3, reading=Options(comparison=said))
        assert run_float(as_float, event)["0.dense"].sum() == fires


@pytest.mark.parametrize(("delay", "told"), [(3, []), (4, ["delay-outlasts"]), (9, ["delay-outlasts"])])
def test_delays_that_outlast_the_run_are_warned_of(delay: int, told: list[str], tmp_path: Path) -> None:
    file = write(tmp_path / "d.net", dense([[2], [4]], delay=[0, delay]), dense([[2, 2]]))

    made = deploy(str(file), samples=np.ones((4, 1, 1), np.float32), timesteps=4)

    warned = [one for one in made.diagnostics if one.severity == "warning"]
    assert [one.code for one in warned] == told
    assert all(f"by {delay} steps nothing arrives within T = 4 steps" in one.what for one in warned)


@pytest.mark.parametrize("shape", [(4,), (2, 2, 1)])
def test_parameters_of_one_value_a_neuron_or_a_channel_are_taken(shape: tuple[int, ...], tmp_path: Path) -> None:
    decays = np.array([1024, 900, 2048, 4096]) if len(shape) == 1 else np.array([1024, 2048])
    of_neurons = {"neuron/iDecay": decays, "neuron/vDecay": decays[::-1], "neuron/vThMant": np.arange(len(decays)) + 5}
    flat = dense(np.full((4, 1), 2), **of_neurons)
    kernel = kernel_layer("conv", np.full((2, 1, 1, 1), 2), shape, **of_neurons)
    layers = [flat] if len(shape) == 1 else [{"type": "input", "shape": np.array([1, *shape[1:]])}, kernel]

    soma = next(op for op in import_net(write(tmp_path / "p.net", *layers)) if isinstance(op, IntNeuron)).soma

    spread = np.repeat(decays, 4 // len(decays))
    np.testing.assert_array_equal(soma.decay_u, spread)
    np.testing.assert_array_equal(soma.decay_v, np.repeat(decays[::-1], 4 // len(decays)))
    np.testing.assert_array_equal(soma.threshold, np.repeat(np.arange(len(decays)) + 5, 4 // len(decays)) << 6)


READOUTS = {
    "no neuron": {},
    "u sums": {"neuron/type": "CUBA", "neuron/iDecay": 0, "neuron/vDecay": 4096, "neuron/vThMant": 1 << 17},
    "v sums": {"neuron/type": "CUBA", "neuron/iDecay": 4096, "neuron/vDecay": 0, "neuron/vThMant": (1 << 17) - 1},
    "both leak": {"neuron/type": "CUBA", "neuron/iDecay": 1024, "neuron/vDecay": 99, "neuron/vThMant": 1 << 18},
    "each its own": {
        "neuron/type": "CUBA",
        "neuron/iDecay": [9, 0],
        "neuron/vDecay": [0, 4096],
        "neuron/vThMant": 1 << 18,
    },
    "with a bias": {
        "neuron/type": "CUBA",
        "neuron/iDecay": 0,
        "neuron/vDecay": 4096,
        "neuron/vThMant": 1 << 17,
        "bias": [3, -2],
    },
}


@pytest.mark.parametrize("kind", READOUTS)
def test_a_read_out_is_of_class_a_however_it_is_written(kind: str, tmp_path: Path) -> None:
    last = {key: value for key, value in dense([[2, 4], [6, -8]]).items() if not key.startswith("neuron")}
    file = write(
        tmp_path / "n.net",
        dense([[90], [80]]),
        last | {k: np.array(v) if k != "neuron/type" else v for k, v in READOUTS[kind].items()},
    )

    verdict = check_graph(to_float(import_net(file, timesteps=5)), input_kind="binary")

    assert verdict.spike_driven
    assert {block.cost_class for block in verdict.blocks} == {"A"}


def test_sums_in_the_current_and_in_the_membrane_answer_and_read_alike(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    last = {key: value for key, value in dense([[2, 4], [6, -8]]).items() if not key.startswith("neuron")}
    x = rng.integers(0, 2, (5, 3, 1))
    answers = []
    for kind in ("no neuron", "u sums", "v sums"):
        net = import_net(write(tmp_path / "n.net", dense([[90], [80]]), {**last, **READOUTS[kind]}), timesteps=5)
        float_answer = answer(twin := to_float(net), run_float(twin, x.astype(np.float64)))
        answers += [run_int(net, x).answer, np.round(float_answer * 5)]
    for other in answers[1:]:
        np.testing.assert_array_equal(other, answers[0])


def test_a_layer_without_neurons_integrates_and_never_fires(tmp_path: Path) -> None:
    layer = {key: value for key, value in dense([[2, 4]]).items() if not key.startswith("neuron")}
    net = import_net(write(tmp_path / "n.net", layer), timesteps=5)

    result = run_int(net, np.ones((5, 1, 2), np.int64))

    np.testing.assert_array_equal(result.recordings["0.dense"].v.ravel(), np.arange(1, 6) * (6 << 6))
    assert next(op for op in net if isinstance(op, IntOutput)).readout == "membrane"


LOST: dict[str, tuple[dict[str, Any], str, str]] = {
    "fractions": (
        dense([[0.4, 3.5]]),
        "netx-fractions",
        "of 2 of 2 values of 'weight' are cut off, 1 of them become 0",
    ),
    "a threshold": (dense([[2, 4]], **{"neuron/vThMant": 80.7}), "netx-fractions", "values of 'neuron/vThMant'"),
    "large weights": (dense([[300, -2]]), "netx-weights-clip", "1 of 2 weights, -2 .. 300, are clipped to -256 .. 254"),
    "long delays": (
        dense([[2], [4]], delay=[3, 63]),
        "netx-delays-clip",
        "1 of 2 delays, up to 63 steps, are cut to 62",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_what_lava_dls_loader_loses_is_told(name: str, tmp_path: Path) -> None:
    layer, code, words = LOST[name]

    _, notes = build(read(write(tmp_path / "n.net", layer)))

    assert [(note.code, note.severity) for note in notes] == [(code, "warning")]
    assert words in notes[0].what
    assert notes[0].where == "n.net: layer 0 (dense)"


COMPLEX = {
    "type": "dense",
    "shape": np.array([2]),
    "weight/real": np.ones((2, 3)),
    "weight/imag": np.ones((2, 3)),
    **CUBA,
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "resonate": (dense([[2]], **{"neuron/type": "RF_IZHIKEVICH"}), "turns a complex state"),
    "adaptive": (dense([[2]], **{"neuron/type": "ALIF"}), "moves its own threshold"),
    "unknown neuron": (dense([[2]], **{"neuron/type": "HH"}), "'HH': CUBA, LOIHI and SDNN are known here"),
    "complex weights": (COMPLEX, "complex weights"),
    "layer type": ({**dense([[2]]), "type": "dense_comp"}, "its type 'dense_comp'"),
    "decay": (dense([[2]], **{"neuron/vDecay": 5000}), "'neuron/vDecay' is 5000; 0 .. 4096 is allowed"),
    "not finite": (dense([[np.nan]]), "not an array of finite numbers"),
    "one-sided": (dense([[300, 2]]), "would turn them into zeros"),
    "delays": (dense([[2, 4], [6, 8]], delay=np.array([1, 2, 3])), "has 3 delays"),
    "size": (dense([[2, 4]], shape=np.array([3])), "'weight' has shape (1, 2)"),
    "missing": ({"type": "dense", "shape": np.array([2])}, "no dataset 'weight'"),
    "no input size": (kernel_layer("conv", np.ones((1, 1, 1, 1)), (1, 2, 2)), "says no input size"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_integer_op_is_refused_by_layer_and_reason(name: str, tmp_path: Path) -> None:
    layer, words = BAD[name]

    with pytest.raises(ImportingError) as caught:
        import_net(write(tmp_path / "bad.net", layer))

    assert words in str(caught.value)
    assert "layer 0" in caught.value.where
    assert caught.value.help


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "empty"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "x.net"
    if damage == "text":
        file.write_text("hello")
    elif damage == "cut":
        write(file, dense(np.full((50, 50), 2)))
        file.write_bytes(file.read_bytes()[:3000])
    elif damage == "empty":
        write(file)

    with pytest.raises(ImportingError) as caught:
        import_net(file)

    assert str(file) in caught.value.where


def gated(net: Graph) -> Graph:
    table = int_gate_table(name="table", shape=(3,), table=np.full((1, 3), 128))
    return net.with_ops([*net.ops[:-1], table, net.ops[-1]])


UNHELD: dict[str, tuple[Callable[[Graph], Graph], str, str]] = {
    "gate": (gated, "table", "GateTable"),
    "gates": (lambda g: changed(g, "l4", gates=1), "l4", "gain port"),
    "join": (joined, "l4", "in sequence"),
    "subtract": (lambda g: changed(g, "l4", reset="subtract", v_reset=ints(80 << 6)), "l4", "resets by subtraction"),
    "reset value": (lambda g: changed(g, "l4", v_reset=ints(64)), "l4", "reset to zero"),
    "rectifier": (lambda g: changed(g, "l4", rectify=True), "l4", "rectifies"),
    "threshold": (lambda g: changed(g, "l3", threshold=ints(900 * 64 + 1)), "l3", "multiples of 64"),
    "thresholds": (lambda g: changed(g, "l4", threshold=ints(64, 128, 64)), "l4", "one value for a layer"),
    "bias": (lambda g: changed(g, "l3", bias=ints(1)), "l3", "off the grid of 64"),
    "large bias": (lambda g: changed(g, "l3", bias=ints(4096 << 6)), "l3", "-4096 .. 4095"),
    "exponent": (lambda g: changed(g, "d3", exponent=3), "l3", "8 bits hold -255 .. 0 or 0 .. 255"),
    "fraction": (lambda g: changed(g, "d3", exponent=-3), "d3", "shifts below 1"),
    "late conv": (lambda g: changed(g, "c2", lag=1), "c2", "delays of convolutions"),
    "answer": (lambda g: changed(g, "y", inputs=("l3",)), "y", "last layer is the answer"),
}


@dataclass(frozen=True, eq=False)
class Shuffled(Synapses):
    """A synapse kind that no exporter has heard of."""

    weight: np.ndarray
    delivers: tuple[int, ...]

    def shape(self, source: tuple[int, ...]) -> tuple[int, ...]:
        return self.delivers


@pytest.mark.parametrize("op", ["c1", "c2", "d3", "d4"])
def test_a_synapse_kind_the_format_has_no_layer_for_is_refused_by_name(
    op: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    net = conv_net(rng)
    new = Shuffled(ints(1), shapes(net)[op])
    net = net.map(
        lambda other: replace(other, synapses=new) if isinstance(other, IntConnection) and other.name == op else other
    )

    with pytest.raises(UnsupportedNodeError, match="holds Shuffled; netx has no layer for it") as caught:
        export_net(net, tmp_path / "x.net")

    assert caught.value.where == f"op {op!r}"


@pytest.mark.parametrize("name", UNHELD)
def test_what_the_format_cannot_hold_is_refused_by_op_and_reason(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    change, op, words = UNHELD[name]

    with pytest.raises(UnsupportedNodeError) as caught:
        export_net(change(conv_net(rng)), tmp_path / "x.net")

    assert caught.value.where == f"op {op!r}"
    assert words in caught.value.what
    assert not (tmp_path / "x.net").exists()
