"""FSVAE and TCJA-VAE deployed: two programs and a host's part; the same pictures on every backend; what is told and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import spikewright as sw
from spikewright.models.nets.fsvae import FSVAE, ThresholdBatchNorm
from spikewright.models.zoo.card import Card
from spikewright.models.zoo.checkpoint import save
from spikewright.toolchain.api import read_model
from spikewright.toolchain.autoencoder import Readout
from spikewright.toolchain.autoencoders import AutoencoderDeployment
from spikewright.toolchain.cli.main import main
from spikewright.toolchain.errors import ImportingError, InputError, UnsupportedNodeError
from spikewright.toolchain.options import Options

T, K, D = 16, 3, 5
SHAPE = {"widths": [3, 4, 5, 6], "latent": D, "samples": K, "hidden": [7, 8]}


def images(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.round(rng.random((count, 28, 28)) * (rng.random((count, 1, 28)) < 0.5) * 255)


def idx(path: Path, x: np.ndarray) -> None:
    header = (2048 + x.ndim).to_bytes(4, "big") + b"".join(int(n).to_bytes(4, "big") for n in x.shape)
    path.write_bytes(header + x.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    for stem, count in (("train", 12), ("t10k", 6)):
        idx(made / f"{stem}-images-idx3-ubyte", images(count, count))
        idx(made / f"{stem}-labels-idx1-ubyte", np.arange(count) % 10)
    return made


def net(readout: str) -> FSVAE:
    """Return a net whose norms have statistics, and whose neurons fire without training."""
    torch.manual_seed(2)
    module = FSVAE(T, readout=readout, **SHAPE)  # type: ignore[arg-type]
    for layer in module.modules():
        if isinstance(layer, ThresholdBatchNorm):
            torch.nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(layer.running_var, 0.05, 0.3)
            torch.nn.init.uniform_(layer.bias, 0.0, 0.3)
    return module


def checkpoint(folder: Path, readout: str) -> Path:
    arguments = {"T": T, "in_channels": 1, "readout": readout, **SHAPE}
    card = Card(
        f"vae-{readout}", "fsvae", arguments, "vanilla", "none", T, "fashion-mnist", "direct", False, "none", 0, None, {}, 1,
        0.1, 1.0, 1, "ours", "2", reconstruction_mse=0.5,
    )  # fmt: skip
    return save(net(readout), card, folder)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> dict[str, Path]:
    work = tmp_path_factory.mktemp("vae")
    made = {}
    for readout in ("leaky", "tcja-bytecode"):
        made[readout] = work / readout
        path = checkpoint(work, readout)
        assert main(["deploy", str(path), "--data", str(folder), "--seed", "3", "--out", str(made[readout])]) == 0
    return made


@pytest.fixture(scope="module")
def made(bundles: dict[str, Path]) -> AutoencoderDeployment:
    found = sw.load(bundles["tcja-bytecode"])
    assert isinstance(found, AutoencoderDeployment)
    return found


# ------------------------------------------------------------------------------------------ what is deployed
@pytest.mark.parametrize("readout", ["leaky", "tcja-bytecode"])
def test_pictures_of_both_programs_are_the_torch_nets_but_for_rounding_and_equal_on_all_backends(
    bundles: dict[str, Path], readout: str
) -> None:
    made = sw.load(bundles[readout])
    assert isinstance(made, AutoencoderDeployment)

    runs = [made.run(backend=name) for name in ("interpreter", "hw_sim")]
    floats = made.run(backend="interpreter", numbers="float")

    np.testing.assert_array_equal(runs[0].answer, runs[1].answer)
    assert runs[0].mse == runs[1].mse
    assert runs[0].pictures.shape == (6, 1, 32, 32)
    assert np.abs(runs[0].answer - floats.answer).mean() < 0.1 * np.abs(floats.answer).mean()
    module = sw.models.zoo.build(bundles[readout].parent / f"vae-{readout}.safetensors")[0].double()
    assert made.samples is not None
    wanted = torch.from_numpy(made.parts.images(made.samples.x))
    drawn = torch.from_numpy(made.parts.drawn(6, 3).copy())[..., None]
    with torch.no_grad():
        again = module.decode(module.drawn_latents(module.encoder(wanted.expand(T, *wanted.shape)), drawn))
    np.testing.assert_allclose(floats.pictures, again.numpy(), atol=1e-9)
    assert floats.mse == pytest.approx(float((again - wanted).square().mean()))
    assert made.compare().equal


def test_both_programs_are_bundles_of_their_own_whose_layers_all_fire(bundles: dict[str, Path]) -> None:
    whole = sw.load(bundles["leaky"])
    found = whole.compare()
    assert {layer.layer.split("/")[0] for layer in found.layers} == {"encoder", "decoder"}
    assert all(layer.spikes for layer in found.layers if not layer.layer.endswith(".sum"))
    encoder, decoder = (sw.load(bundles["leaky"] / name) for name in ("encoder", "decoder"))
    assert encoder.compare(limit=2).equal
    assert decoder.input_shape == (D,)
    assert decoder.compare(whole.encode(whole.choose().x)).equal


def test_indices_come_from_the_seed_and_a_samples_do_not_depend_on_the_others(made: AutoencoderDeployment) -> None:
    drawn = made.parts.drawn(6, made.seed)
    assert drawn.shape == (T, 6, D)
    assert set(np.unique(drawn)) == set(range(K))
    np.testing.assert_array_equal(made.parts.drawn(2, made.seed), drawn[:, :2])
    assert (made.parts.drawn(6, made.seed + 1) != drawn).any()
    np.testing.assert_array_equal(made.run(limit=2).answer, made.run().answer[:2])


# ------------------------------------------------------------------------------------------ what is told
@pytest.mark.slow
def test_deploy_manifest_and_report_say_what_is_drawn_and_what_the_host_does(
    bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bundles["tcja-bytecode"]
    told = {one["code"]: one["what"] for one in json.loads((folder / "manifest.json").read_text())["diagnostics"]}
    assert "80 indices a sample, each one of 3, are drawn on the host before the run (seed 3)" in told["latent-drawn"]
    macs = T * (7 * 2 * D + 8 * 7 + D * K * 8)
    assert "3 layers and a choice to z[t] within one step" in told["latent-on-host"]
    assert f"{macs:,} MACs a sample, 80 spikes read" in told["latent-on-host"]
    assert "attention over all 16 steps and tanh, on the host" in told["read-out-on-host"]
    assert "16,384 sums read (16 steps of 1,024)" in told["read-out-on-host"]
    assert "prior-left-out" in told

    files = {kind: tmp_path / f"r.{kind}" for kind in ("json", "html", "csv")}
    words = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    assert main(["report", str(folder), "--limit", "2", *words]) == 0
    text = capsys.readouterr().out
    assert "drawn on the host before the run (seed 3)" in text
    assert "answered worse" not in text  # pictures are no classes
    found = json.loads(files["json"].read_text())
    host = found["autoencoder"]["host"]
    assert host["latent"] == {"indices": 80, "choices": 3, "seed": 3, "macs": macs}
    assert host["values_read"] == {"encoder": 80, "decoder": 16384}
    one, other = (found["autoencoder"]["programs"][name] for name in ("encoder", "decoder"))
    assert found["autoencoder"]["host_macs"] == macs + host["readout"]["macs"] + one["host_macs"] + other["host_macs"]
    assert found["autoencoder"]["sops"]["total"] == pytest.approx(one["sops"]["total"] + other["sops"]["total"])
    assert found["autoencoder"]["energy_j"]["total"] > one["energy_j"]["total"] + other["energy_j"]["total"]
    assert "drawn on the host" in files["html"].read_text()
    assert {line.split(",")[0] for line in files["csv"].read_text().splitlines()} == {"program", "encoder", "decoder"}


@pytest.mark.slow
def test_run_and_check_say_error_and_verdict_of_the_whole(
    bundles: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(bundles["leaky"])
    assert main(["run", folder, "--limit", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["card_mse"] == 0.5
    assert 0 < found["mse"] < 4
    assert main(["check", folder]) == 1
    text = capsys.readouterr().out
    assert "the host computes it behind the encoder's spikes: 3 layers and a choice within one step" in text
    assert sw.load(folder).check().programs["decoder"].ok  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------ what is refused
def test_what_is_of_one_program_is_refused_for_two(
    bundles: dict[str, Path],
    made: AutoencoderDeployment,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, folder = folder, bundles["leaky"]
    for words in (
        ["run", str(folder), "--trace", str(tmp_path / "t.npz")],
        ["run", str(folder), "--save", str(tmp_path / "s.npz")],
        ["report", str(folder), "--overlay", str(tmp_path / "o.json")],
        ["report", str(folder), "--rate", "5"],
        ["deploy", str(folder.parent / "vae-leaky.safetensors"), "--stop-after", "quantize", "--data", str(data)],
        ["fit", str(folder)],
    ):
        assert main(words) == 2, words
        said = capsys.readouterr().err
        assert "one program" in said or "two programs" in said or "2 programs" in said, said
    assert not list(tmp_path.iterdir())
    with pytest.raises(UnsupportedNodeError, match="two nets that spike, and a latent between them"):
        sw.check(str(folder.parent / "vae-leaky.safetensors"), data=data)
    assert made.samples is not None
    moving = np.array(made.samples.x)
    moving[3] += 0.5
    with pytest.raises(InputError, match="changes over its steps"):
        made.run(moving)
    for labelled in (made.run, made.report):
        with pytest.raises(InputError, match="class numbers are given"):
            labelled(made.samples.x[:, :2], [0, 1])


def test_a_tolerance_is_for_what_answers_and_a_seed_for_what_draws(bundles: dict[str, Path], folder: Path) -> None:
    path = str(bundles["leaky"].parent / "vae-leaky.safetensors")
    x = np.zeros((T, 2, 1, *sw.load(bundles["leaky"]).input_shape[1:]), np.float32)

    with pytest.raises(InputError, match="--tolerance"):
        sw.deploy(path, data=folder, tolerance=0.3)
    read_model(path, options=Options(seed=5), calibration=x, data=folder)


def test_a_changed_program_or_host_part_is_noticed(bundles: dict[str, Path], tmp_path: Path) -> None:
    made = sw.load(bundles["leaky"])
    made.save(tmp_path / "a")
    (tmp_path / "a" / "encoder" / "mine.txt").write_text("kept")
    made.save(tmp_path / "a")
    assert (tmp_path / "a" / "encoder" / "mine.txt").read_text() == "kept"
    other = sw.load(bundles["tcja-bytecode"] / "encoder")
    (tmp_path / "a" / "posterior.npz").write_bytes(b"")
    with pytest.raises(ImportingError, match="was changed after deployment"):
        sw.load(tmp_path / "a")
    made.save(tmp_path / "b")
    for path in (tmp_path / "b" / "encoder").iterdir():
        path.unlink()
    (tmp_path / "b" / "encoder").rmdir()
    with pytest.raises(InputError, match="lies in the bundle"):
        other.save(tmp_path / "b" / "encoder")
    with pytest.raises(ImportingError, match="is not a bundle"):
        sw.load(tmp_path / "b")


def test_the_read_out_by_attention_is_the_byte_codes() -> None:
    """Z[t] = t and W = 1 give the scores that the byte-code's window has; its gates of padding alone are 1/2."""
    time = np.zeros((T, T))
    for i in range(T):
        time[i, [j for j in range(2 * i - 9, 2 * i - 5) if 0 <= j < T]] = 1
    r = np.broadcast_to(np.arange(T, dtype=float).reshape(T, 1, 1, 1, 1), (T, 2, 1, 3, 3))
    gain = Readout(None, time, np.eye(T)).weights(r)
    assert (time @ np.arange(T)).tolist() == [0, 0, 0, 0, 3, 10, 18, 26, 34, 42, 50, 42, 15, 0, 0, 0]
    assert gain[:, 0, 0][[0, 1, 2, 13, 14, 15]].tolist() == [0.5] * 6
