"""netx files: imported nets spike as lava-dl's loader makes them in Lava, exported nets load there again, and come back."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from int_nets import changed, is_lif
from netx_in_lava import run
from netx_nets import (
    NETS,
    conv_net,
    dense,
    even,
    graph,
    ints,
    joined,
    kernel_layer,
    last_states_equal,
    lif,
    payloads,
    recurrent_net,
    spikes_equal,
    write,
)

from spikewright import toolchain
from spikewright.export.netx import export_net, import_net
from spikewright.export.netx.write import loading
from spikewright.hw_sim.fixed_point import STATE_MAX
from spikewright.toolchain import bundle, manifest
from spikewright.toolchain.api import deploy
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.errors import ImportingError, InputError, ToolchainError
from spikewright.toolchain.integer import IntConnection, IntInput, IntOutput
from spikewright.toolchain.interpret import answer, run_float, run_int
from spikewright.toolchain.local_backends import HwSimBackend


@pytest.mark.lava
@pytest.mark.slow
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

    result = HwSimBackend().run(made, made.encode(x), record=True)

    rates = {name: recording.out.mean() for name, recording in result.recordings.items()}
    assert rates["0.input"] == 0
    for name, rate in {"1.conv": 0.354, "2.conv": 0.236, "3.conv": 0.104, "4.conv": 0.077}.items():
        assert rates[name] == pytest.approx(rate, abs=6e-4)
    assert result.trace is not None
    assert result.trace.sops_binary.sum() / 16 == pytest.approx(2.289e6, rel=0.012)
    assert sum(p.size for p in made.program.populations if (p.core >= 0).all()) == 158_509


@pytest.mark.lava
@pytest.mark.slow
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
        same_fields(one, two, one.name)


def same_fields(one: object, two: object, path: str) -> None:
    assert type(one) is type(two), path
    for key, value in vars(one).items():
        other = vars(two)[key]
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(np.broadcast_to(other, value.shape), value, err_msg=f"{path} {key}")
        elif is_dataclass(value):
            same_fields(value, other, f"{path} {key}")
        elif key not in ("name", "inputs", "block"):
            assert other == value, (path, key)


def test_a_net_file_deploys_and_its_bundle_holds_it_again(tmp_path: Path, rng: np.random.Generator) -> None:
    net = conv_net(rng)
    export_net(net, tmp_path / "mine.net")
    x = payloads(net, rng, 2)

    made = toolchain.deploy(str(tmp_path / "mine.net"))
    bundle.save(made, tmp_path / "out")
    again = bundle.load(tmp_path / "out")

    wanted = run_int(net, x)
    result = HwSimBackend().run(again, again.encode(x.astype(np.float64)))
    np.testing.assert_array_equal(result.answer, wanted.answer)
    assert (tmp_path / "out/net.net").read_bytes() == (tmp_path / "mine.net").read_bytes()
    assert "reset_interval=12" in manifest.read(tmp_path / "out")["exports"]["net.net"]
    assert again.name == "mine"


def test_the_bundle_of_a_net_with_many_delays_is_read_again(tmp_path: Path, rng: np.random.Generator) -> None:
    late = {"delay": rng.integers(0, 9, 8), "neuron/iDecay": 1024}
    write(tmp_path / "d.net", dense(even(rng, 8, 6), **late), dense(even(rng, 8, 8), **late), dense(even(rng, 3, 8)))
    x = (rng.random((30, 4, 6)) < 0.4).astype(np.float32)
    for steps in ("layer", "chip"):
        made = deploy(str(tmp_path / "d.net"), timesteps=30, samples=x, steps=steps)
        assert any(op.late is not None for op in made.integer if isinstance(op, IntConnection))

        made.save(tmp_path / steps)
        again = bundle.load(tmp_path / steps)

        assert again.compare().equal
        assert again.check()
        np.testing.assert_array_equal(again.run().answer, run_int(made.integer, x.astype(np.int64)).answer)


def test_a_bundle_without_net_file_names_the_op(tmp_path: Path, rng: np.random.Generator) -> None:
    export_net(conv_net(rng), tmp_path / "mine.net")
    made = toolchain.deploy(str(tmp_path / "mine.net"))
    bundle.save(replace(made, integer=joined(conv_net(rng))), tmp_path / "out")

    note = manifest.read(tmp_path / "out")["exports"]["net.net"]

    assert note == "not written: op 'l4' reads 'l1'; netx layers are in sequence, and 'l3' is in front"
    assert not (tmp_path / "out/net.net").exists()


def test_a_file_without_a_sample_length_asks_for_it(tmp_path: Path) -> None:
    file = str(write(tmp_path / "n.net", dense([[2, 4]])))

    with pytest.raises(InputError, match="how many steps"):
        toolchain.deploy(file)

    assert toolchain.deploy(file, options=toolchain.Options(timesteps=7)).integer.timesteps == 7


def test_a_net_that_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError):
        import_net(write(tmp_path / "n.net", dense([[2, 4]]), dense([[2, 4, 6]])))


def test_the_float_reading_of_a_net_that_never_rounds_has_its_spikes(rng: np.random.Generator) -> None:
    whole = {"decay_v": ints(0), "decay_u": ints(4096)}
    net = recurrent_net(rng).map(lambda op: changed(op, **whole) if is_lif(op) else op)
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


def test_a_net_that_begins_with_a_convolution_takes_its_size_from_the_samples_or_the_option(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    file = write(
        tmp_path / "c.net", kernel_layer("conv", even(rng, 3, 2, 3, 2), (3, 5, 3), stride=[1, 2], padding=[1, 0])
    )
    x = (rng.random((4, 3, 2, 5, 6)) < 0.4).astype(np.float32)

    sized = [deploy(str(file), timesteps=4, **how) for how in ({"samples": x}, {"input_shape": "2,5,6"})]

    assert [made.integer.input.shape for made in sized] == [(2, 5, 6)] * 2
    with pytest.raises(ImportingError, match="says no input size"):
        deploy(str(file), timesteps=4)
    with pytest.raises(InputError, match="sizes from 1 on are expected"):
        deploy(str(file), timesteps=4, input_shape="2,0,6")


@pytest.mark.parametrize("dt", [float("nan"), float("inf"), 0.0, -1e-3])
def test_a_length_of_a_step_that_is_none_is_refused(dt: float, tmp_path: Path) -> None:
    file = write(tmp_path / "d.net", dense([[2]]))
    with pytest.raises(InputError) as caught:
        deploy(str(file), timesteps=4, dt_s=dt)
    assert caught.value.where == "--dt"
