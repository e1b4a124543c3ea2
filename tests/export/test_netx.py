"""netx ``.net`` files: imported nets spike as lava-dl's own loader makes them in Lava, exported nets load there again."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from netx_in_lava import Seen, run
from numpy.typing import NDArray

import toolchain
from export.netx import export_net, import_net
from export.netx.weights import LostError, chip_form, effective, loaded
from export.netx.write import loading
from hw_sim.fixed_point import STATE_MAX
from toolchain import bundle
from toolchain.backends import RunResult
from toolchain.dequantize import to_float
from toolchain.errors import ImportingError, InputError, ToolchainError, UnsupportedNodeError
from toolchain.int_ops import IntConv, IntDense, IntGateTable, IntIdentity, IntInput, IntLif, IntOutput
from toolchain.interpret import answer, run_float, run_int
from toolchain.interpret.integers import connect
from toolchain.ir import Graph
from toolchain.local_backends import HwSimBackend
from toolchain.ops import Op

Ints = NDArray[np.int64]
T = 12


# ---------------------------------------------------------------------------------------------- helpers
def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


def even(rng: np.random.Generator, *shape: int) -> Ints:
    return rng.integers(-60, 61, shape) * 2


def lif(name: str, *inputs: str, shape: tuple[int, ...], **fields: Any) -> IntLif:
    default = {"decay_v": ints(500), "bias": ints(0), "threshold": ints(80 << 6)}
    return IntLif(name=name, inputs=inputs, shape=shape, **default | fields)


def graph(*ops: Op, timesteps: int = T) -> Graph:
    """Close a net: the last neuron's spikes are the answer."""
    return Graph((*ops, IntOutput(name="y", inputs=(ops[-1].name,), readout="spikes")), timesteps)


def conv_net(rng: np.random.Generator) -> Graph:
    """Convolutions with stride, padding, dilation and groups, biases one a channel and one a neuron, then dense."""
    return graph(
        IntInput(name="x", shape=(2, 9, 7)),
        IntConv(name="c1", inputs=("x",), weight=even(rng, 4, 2, 3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        lif("l1", "c1", shape=(4, 5, 5), bias=np.repeat(rng.integers(-9, 9, 4) * 64, 25), decay_u=ints(2048)),
        IntConv(name="c2", inputs=("l1",), weight=even(rng, 6, 2, 2, 3), padding=(0, 1), groups=2, exponent=1),
        lif("l2", "c2", shape=(6, 4, 5), bias=rng.integers(-9, 9, 120) * 64, threshold=ints(200 << 6)),
        IntDense(name="d3", inputs=("l2",), weight=rng.integers(0, 200, (5, 120))),
        lif("l3", "d3", shape=(5,), bias=rng.integers(-900, 100, 5) * 64, threshold=ints(900 << 6)),
        IntDense(name="d4", inputs=("l3",), weight=-rng.integers(0, 30, (3, 5)) * 2),
        lif("l4", "d4", shape=(3,), bias=ints(78, 94, 110) << 6, decay_v=ints(0)),
    )


def delayed_net(rng: np.random.Generator) -> Graph:
    """One delay a neuron in the first layer, one an input in the second, one for all in the third."""
    first, second = even(rng, 6, 8), even(rng, 5, 6)
    rows, columns = rng.integers(0, 3, 6), rng.integers(0, 3, 6)
    by_row = [
        IntDense(name=f"a{d}", inputs=("x",), weight=first * (rows == d)[:, None], lag=d)
        for d in range(3)
        if (rows == d).any()
    ]
    by_column = [
        IntDense(name=f"b{d}", inputs=("l1",), weight=second * (columns == d), lag=d)
        for d in range(3)
        if (columns == d).any()
    ]
    return graph(
        IntInput(name="x", shape=(8,)),
        *by_row,
        lif("l1", *(op.name for op in by_row), shape=(6,)),
        *by_column,
        lif("l2", *(op.name for op in by_column), shape=(5,), threshold=ints(40 << 6)),
        IntDense(name="c", inputs=("l2",), weight=even(rng, 5, 5) + 40, lag=2),
        lif("l3", "c", shape=(5,), threshold=ints(10 << 6)),
        timesteps=30,
    )


def recurrent_net(rng: np.random.Generator) -> Graph:
    return graph(
        IntInput(name="x", shape=(8,)),
        IntDense(name="w", inputs=("x",), weight=even(rng, 6, 8)),
        IntDense(name="r", inputs=("l1",), weight=even(rng, 6, 6) // 8 * 2, lag=1),
        lif("l1", "w", "r", shape=(6,), decay_u=ints(1024)),
        IntDense(name="d", inputs=("l1",), weight=even(rng, 4, 6)),
        lif("l2", "d", shape=(4,)),
        timesteps=40,
    )


def driven_net(rng: np.random.Generator) -> Graph:
    """Input neurons driven by their bias, as PilotNet's; an identity; a threshold off the grid where v stays on it."""
    return graph(
        IntInput(name="x", shape=(2, 4, 3), payload_bits=12, signed=True),
        IntIdentity(name="i", inputs=("x",), weight=1),
        lif("l0", "i", shape=(2, 4, 3), threshold=ints(60 << 6)),
        IntIdentity(name="j", inputs=("l0",), weight=90),
        lif("l1", "j", shape=(2, 4, 3), threshold=ints((95 << 6) + 17), decay_v=ints(0), bias=ints(6 << 6)),
        IntDense(name="d", inputs=("l1",), weight=even(rng, 4, 24)),
        lif("l2", "d", shape=(4,)),
    )


NETS: dict[str, Callable[[np.random.Generator], Graph]] = {
    "conv": conv_net,
    "delayed": delayed_net,
    "recurrent": recurrent_net,
    "driven": driven_net,
}


def payloads(net: Graph, rng: np.random.Generator, samples: int) -> Ints:
    source = next(op for op in net if isinstance(op, IntInput))
    if source.signed:
        frame = rng.integers(-20, 60, (1, samples, *source.shape))
        return np.repeat(frame, net.timesteps, axis=0)
    return (rng.random((net.timesteps, samples, *source.shape)) < 0.4).astype(np.int64)


def spikes_equal(result: RunResult, seen: Seen, sample: int, start: int, timesteps: int) -> int:
    """Compare every layer with what Lava sent in the sample's window; return how many spikes there were."""
    total = 0
    recorded = list(result.recordings.values())[: len(seen.spikes)]
    assert len(recorded) == len(seen.spikes)
    for i, recording in enumerate(recorded):
        mine = recording.out[:, sample]
        window = seen.spikes[i][start + i : start + i + timesteps].reshape(-1, *mine.shape[1:])
        np.testing.assert_array_equal(mine[: len(window)], window, err_msg=f"layer {i}")
        total += int(window.sum())
    return total


def last_states_equal(result: RunResult, seen: Seen, steps: int) -> None:
    """Compare v (and u) of every layer after the last chip step; layer i is i + 1 steps behind the input."""
    for i, recording in enumerate(result.recordings.values()):
        at = steps - i - 2
        np.testing.assert_array_equal(recording.v[at, 0], seen.v[i].reshape(recording.v.shape[2:]), err_msg=f"v {i}")
        if recording.u is not None:
            np.testing.assert_array_equal(
                recording.u[at, 0], seen.u[i].reshape(recording.v.shape[2:]), err_msg=f"u {i}"
            )


def write(path: Path, *layers: Mapping[str, Any], **simulation: float) -> Path:
    """Write a file as lava-dl does."""
    with h5py.File(path, "w") as file:
        for i, values in enumerate(layers):
            for key, value in values.items():
                data: Any = [value.encode()] if key == "type" else value
                file.create_dataset(f"layer/{i}/{key}", data=data)
        for key, value in simulation.items():
            file.create_dataset(f"simulation/{key}", data=value)
    return path


CUBA = {"neuron/type": "CUBA", "neuron/iDecay": 4096, "neuron/vDecay": 100, "neuron/vThMant": 80}


def dense(weight: Any, **fields: Any) -> dict[str, Any]:
    return {
        "type": "dense",
        "shape": np.array([len(weight)]),
        "weight": np.asarray(weight, np.float32),
        **CUBA,
        **fields,
    }


# ------------------------------------------------------------------------------ against lava-dl in Lava
@pytest.mark.lava
@pytest.mark.parametrize("name", ["mnist_784_128_64_10", "oxford_200_256_200"])
def test_intels_nets_spike_as_in_lava(name: str, data_dir: Path, tmp_path: Path) -> None:
    file, steps = data_dir / "nets" / f"{name}.net", 120
    net = import_net(file, timesteps=steps)
    size = next(op for op in net if isinstance(op, IntInput)).shape[0]
    if name.startswith("oxford"):
        x = np.load(data_dir / "nets/oxford_in.npz")["a"].T[:steps].astype(np.int64)
    else:
        x = (np.random.default_rng(3).random((steps, size)) < 0.1).astype(np.int64)

    mine, lava = run_int(net, x[:, None]), run(file, tmp_path / "lava", steps, x=x)

    assert spikes_equal(mine, lava, 0, 1, steps) > 500
    last_states_equal(mine, lava, steps)


def test_the_oxford_net_gives_its_published_spikes(data_dir: Path) -> None:
    x, wanted = (np.load(data_dir / f"nets/oxford_{what}.npz")["a"].T.astype(np.int64) for what in ("in", "out"))
    net = import_net(data_dir / "nets/oxford_200_256_200.net", timesteps=len(x))

    spikes = run_int(net, x[:, None]).recordings["0.dense"].out[:, 0]

    assert wanted.sum() == 1826
    np.testing.assert_array_equal(spikes[:-1], wanted[1:])  # Lava's synapse takes a step


def test_pilotnet_runs_on_its_biases_with_the_sops_of_the_silicon(data_dir: Path) -> None:
    """Loihi 2 counted 22.89e9 synaptic operations in 10,000 steps (read off Intel's plot), at these rates of conv1 .. conv4."""
    made = toolchain.deploy(str(data_dir / "silicon/pilotnet_snn.net"))
    x = np.zeros((16, 1, 3, 66, 200), np.int64)

    result = HwSimBackend().run(made.integer, made.program, made.encode(x), record=True)

    rates = {name: recording.out.mean() for name, recording in result.recordings.items()}
    assert rates["0.input"] == 0
    for name, rate in {"1.conv": 0.354, "2.conv": 0.236, "3.conv": 0.104, "4.conv": 0.077}.items():
        assert rates[name] == pytest.approx(rate, abs=6e-4)
    assert result.trace is not None
    assert result.trace.sops_binary.sum() / 16 == pytest.approx(2.289e6, rel=0.012)
    assert sum(p.size for p in made.program.populations if (p.core >= 0).all()) == 158_509


@pytest.mark.lava
@pytest.mark.parametrize("name", NETS)
def test_an_exported_net_spikes_in_lava_as_in_the_interpreter(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    net = NETS[name](rng)
    alone = name in ("delayed", "recurrent")
    samples, steps = (1, net.timesteps) if alone else (2, 2 * net.timesteps + 4)
    x = payloads(net, rng, samples)
    export_net(net, tmp_path / "net.net")
    options: dict[str, Any] = {} if alone else {"reset_interval": net.timesteps}
    if name == "driven":
        sent: dict[str, Any] = {"bias": x[0, 0]}
        x = np.repeat(x[:, :1], 2, axis=1)
    else:
        options |= {} if alone else {"reset_offset": 1}
        fed = np.zeros((steps, *x.shape[2:]), np.int64)
        fed[: samples * net.timesteps] = x.swapaxes(0, 1).reshape(-1, *x.shape[2:])
        sent = {"x": fed}
    assert all(f"{key}={value}" in loading(net) for key, value in options.items())

    mine = run_int(net, x)
    lava = run(tmp_path / "net.net", tmp_path / "lava", steps, **sent, **options)

    behind = 0 if name == "driven" else 1
    for sample in range(samples):
        assert spikes_equal(mine, lava, sample, sample * net.timesteps + behind, net.timesteps) > 20


# ------------------------------------------------------------------------------------------ round trips
@pytest.mark.parametrize("name", NETS)
def test_import_of_an_export_is_the_same_net(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    net = NETS[name](rng)
    x = payloads(net, rng, 3)
    export_net(net, tmp_path / "a.net")

    back = import_net(tmp_path / "a.net")
    wanted, got = run_int(net, x), run_int(back, x)

    for a, b in zip(wanted.recordings.values(), got.recordings.values(), strict=True):
        np.testing.assert_array_equal(a.out, b.out)
        np.testing.assert_array_equal(a.v, b.v)
    assert (back.timesteps, back.dt_s) == (net.timesteps, net.dt_s)
    export_net(back, tmp_path / "b.net")
    assert (tmp_path / "a.net").read_bytes() == (tmp_path / "b.net").read_bytes()


@pytest.mark.parametrize("name", ["nets/mnist_784_128_64_10", "nets/oxford_200_256_200", "silicon/pilotnet_snn"])
def test_intels_nets_come_back_from_an_export_op_by_op(name: str, data_dir: Path, tmp_path: Path) -> None:
    net = import_net(data_dir / f"{name}.net")
    export_net(net, tmp_path / "again.net")

    back = import_net(tmp_path / "again.net")

    for one, two in zip((op for op in net), (op for op in back), strict=True):
        assert type(one) is type(two)
        for key, value in vars(one).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(
                    np.broadcast_to(vars(two)[key], value.shape), value, err_msg=f"{one.name} {key}"
                )
            elif key not in ("name", "inputs", "block"):
                assert vars(two)[key] == value, (one.name, key)


# --------------------------------------------------------------------------------------------- weights
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


# ---------------------------------------------------------------------------------------- other layers
def _layer(kind: str, weight: Ints, shape: tuple[int, ...], **fields: Any) -> dict[str, Any]:
    pairs = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1, **fields}
    arrays = {key: np.array(value) for key, value in pairs.items()}
    return {"type": kind, "shape": np.array(shape), "weight": weight.astype(np.float32)[..., None], **CUBA, **arrays}


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

    net = import_net(write(tmp_path / "t.net", start, _layer("convT", w, wanted.shape, **options)))

    link = next(op for op in net if isinstance(op, IntConv | IntDense))
    np.testing.assert_array_equal(connect(link, x).reshape(wanted.shape), wanted)


@pytest.mark.parametrize("kind", ["pool", "unpool"])
def test_pooling_and_unpooling_take_every_channel_alone(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    w, x = np.full((1, 1, 2, 2), 32), rng.integers(0, 2, (1, 3, 4, 6))
    f = torch.nn.functional.conv2d if kind == "pool" else torch.nn.functional.conv_transpose2d
    wanted = f(torch.tensor(x).double(), torch.tensor(np.repeat(w, 3, 0)).double(), stride=2, groups=3)[0].numpy()  # type: ignore[operator]
    start = {"type": "input", "shape": np.array([3, 4, 6])}

    net = import_net(write(tmp_path / "p.net", start, _layer(kind, w, wanted.shape, stride=[2, 2])))

    link = next(op for op in net if isinstance(op, IntConv | IntDense))
    np.testing.assert_array_equal(connect(link, x).reshape(wanted.shape), wanted)


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


def test_a_layer_without_neurons_integrates_and_never_fires(tmp_path: Path) -> None:
    layer = {key: value for key, value in dense([[2, 4]]).items() if not key.startswith("neuron")}
    net = import_net(write(tmp_path / "n.net", layer), timesteps=5)

    result = run_int(net, np.ones((5, 1, 2), np.int64))

    np.testing.assert_array_equal(result.recordings["0.dense"].v.ravel(), np.arange(1, 6) * (6 << 6))
    assert next(op for op in net if isinstance(op, IntOutput)).readout == "membrane"


# ---------------------------------------------------------------------------------------------- refusals
COMPLEX = {
    "type": "dense",
    "shape": np.array([2]),
    "weight/real": np.ones((2, 3)),
    "weight/imag": np.ones((2, 3)),
    **CUBA,
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "sigma-delta": (dense([[2]], **{"neuron/type": "SDNN"}), "no integer op here has a send threshold"),
    "resonate": (dense([[2]], **{"neuron/type": "RF_IZHIKEVICH"}), "turns a complex state"),
    "adaptive": (dense([[2]], **{"neuron/type": "ALIF"}), "moves its own threshold"),
    "unknown neuron": (dense([[2]], **{"neuron/type": "HH"}), "'HH': CUBA and LOIHI are known here"),
    "complex weights": (COMPLEX, "complex weights"),
    "layer type": ({**dense([[2]]), "type": "dense_comp"}, "its type 'dense_comp'"),
    "decay": (dense([[2]], **{"neuron/vDecay": 5000}), "vDecay is 5000; 0 .. 4096 is allowed"),
    "not finite": (dense([[np.nan]]), "not an array of finite numbers"),
    "one-sided": (dense([[300, 2]]), "would turn them into zeros"),
    "delays": (dense([[2, 4], [6, 8]], delay=np.array([1, 2, 3])), "has 3 delays"),
    "size": (dense([[2, 4]], shape=np.array([3])), "'weight' has shape (1, 2)"),
    "missing": ({"type": "dense", "shape": np.array([2])}, "no dataset 'weight'"),
    "no input size": (_layer("conv", np.ones((1, 1, 1, 1)), (1, 2, 2)), "says no input size"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_integer_op_is_refused_by_layer_and_reason(name: str, tmp_path: Path) -> None:
    layer, words = BAD[name]

    with pytest.raises(ImportingError) as caught:
        import_net(write(tmp_path / "bad.net", layer))

    assert words in str(caught.value)
    assert "layer 0" in caught.value.where
    assert caught.value.help


def test_intels_sigma_delta_pilotnet_is_refused_by_name(tmp_path: Path) -> None:
    start = {"type": "input", "shape": np.array([3, 8, 8]), "neuron/type": "SDNN", "neuron/vThMant": 0}
    with pytest.raises(ImportingError, match="sigma-delta"):
        import_net(write(tmp_path / "s.net", start))


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


def changed(net: Graph, name: str, **fields: Any) -> Graph:
    return net.map(lambda op: replace(op, **fields) if op.name == name else op)


def joined(net: Graph) -> Graph:
    """Let the last layer also read the first one."""
    skip = IntDense(name="skip", inputs=("l1",), weight=np.full((3, 100), 2))
    ops = list(net)
    at = ops.index(net["l4"])
    return net.with_ops([*ops[:at], skip, replace(net["l4"], inputs=("d4", "skip")), *ops[at + 1 :]])


def gated(net: Graph) -> Graph:
    table = IntGateTable(name="table", shape=(3,), table=np.full((1, 3), 128))
    return net.with_ops([*net.ops[:-1], table, net.ops[-1]])


UNHELD: dict[str, tuple[Callable[[Graph], Graph], str, str]] = {
    "gate": (gated, "table", "IntGateTable"),
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


# -------------------------------------------------------------------------------------------- the road
def test_a_net_file_deploys_and_its_bundle_holds_it_again(tmp_path: Path, rng: np.random.Generator) -> None:
    net = conv_net(rng)
    export_net(net, tmp_path / "mine.net")
    x = payloads(net, rng, 2)

    made = toolchain.deploy(str(tmp_path / "mine.net"))
    bundle.save(made, tmp_path / "out")
    again = bundle.load(tmp_path / "out")

    wanted = run_int(net, x)
    result = HwSimBackend().run(again.integer, again.program, again.encode(x.astype(np.float64)))
    np.testing.assert_array_equal(result.answer, wanted.answer)
    assert (tmp_path / "out/net.net").read_bytes() == (tmp_path / "mine.net").read_bytes()
    assert "reset_interval=12" in bundle.read_manifest(tmp_path / "out")["exports"]["net.net"]
    assert again.name == "mine"


def test_a_bundle_without_net_file_names_the_op(tmp_path: Path, rng: np.random.Generator) -> None:
    export_net(conv_net(rng), tmp_path / "mine.net")
    made = toolchain.deploy(str(tmp_path / "mine.net"))
    bundle.save(replace(made, integer=joined(conv_net(rng))), tmp_path / "out")

    note = bundle.read_manifest(tmp_path / "out")["exports"]["net.net"]

    assert note == "not written: op 'l4' reads 'l1'; netx layers are in sequence, and 'l3' is in front"
    assert not (tmp_path / "out/net.net").exists()


def test_a_file_without_a_sample_length_asks_for_it(tmp_path: Path) -> None:
    file = str(write(tmp_path / "n.net", dense([[2, 4]])))

    with pytest.raises(InputError, match="how many steps"):
        toolchain.deploy(file)

    assert toolchain.deploy(file, toolchain.Options(timesteps=7)).integer.timesteps == 7


def test_a_net_that_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError):
        import_net(write(tmp_path / "n.net", dense([[2, 4]]), dense([[2, 4, 6]])))


def test_the_float_reading_of_a_net_that_never_rounds_has_its_spikes(rng: np.random.Generator) -> None:
    whole = {"decay_v": ints(0), "decay_u": ints(4096)}
    net = recurrent_net(rng).map(lambda op: replace(op, **whole) if isinstance(op, IntLif) else op)
    silent = graph(
        *net.ops[:-2],
        lif("o", "d", shape=(4,), threshold=ints(STATE_MAX), **{**whole, "bias": ints(128)}),
        timesteps=40,
    )
    silent = silent.map(lambda op: replace(op, readout="membrane", scale=1 / 40) if isinstance(op, IntOutput) else op)
    x = payloads(net, rng, 3)

    for integer in (net, silent):
        twin = to_float(integer)
        signals, result = run_float(twin, x.astype(np.float64)), run_int(integer, x)

        np.testing.assert_array_equal(signals["l1"], result.recordings["l1"].out)
        unit = 1 / 40
        np.testing.assert_allclose(answer(twin, signals), result.answer * unit)
        assert result.answer.any()
