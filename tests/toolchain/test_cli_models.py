"""Models and options that cannot be deployed: exit 2 with where, what and help, never a traceback, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from command_line import Cli, linear, spikes, untouched
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from spikewright.models import zoo
from spikewright.toolchain import nirx


# ------------------------------------------------------------------------------------------------ models
def test_a_nir_file_deploys(cli: Cli, tmp_path: Path, out: Path) -> None:
    nirx.write(tmp_path / "net.nir", linear())
    data = spikes(tmp_path / "data.npz")

    code, _, stderr = cli(
        "deploy", tmp_path / "net.nir", "--out", out, "--timesteps", 4, "--dt", 1e-3, "--calibrate", data
    )

    assert code == 0, stderr
    assert (out / "manifest.json").is_file()


def test_a_truncated_nir_file_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    nirx.write(tmp_path / "net.nir", linear())
    whole = (tmp_path / "net.nir").read_bytes()
    (tmp_path / "half.nir").write_bytes(whole[: len(whole) // 2])

    error = cli.refused("deploy", tmp_path / "half.nir", "--out", out)

    assert "half.nir" in error
    untouched(out)


def test_nan_weights_in_a_nir_file_are_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    graph = linear()
    graph.nodes["affine"].weight[0, 1] = np.nan
    nir.write(tmp_path / "nan.nir", graph)

    error = cli.refused("deploy", tmp_path / "nan.nir", "--out", out, "--timesteps", 4)

    assert "finite" in error
    untouched(out)


def test_an_unsupported_op_is_refused_by_name(cli: Cli, tmp_path: Path, out: Path) -> None:
    nirx.write(tmp_path / "odd.nir", linear())
    with h5py.File(tmp_path / "odd.nir", "r+") as file:
        kind = file["node/nodes/lif/type"]
        kind[()] = b"Softmax"

    error = cli.refused("deploy", tmp_path / "odd.nir", "--out", out, "--timesteps", 4)

    assert "Softmax" in error
    untouched(out)


def test_an_unsupported_torch_op_is_refused_by_name(cli: Cli, tmp_path: Path, out: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.fft.fft(x).real.mean(0)\n"
        "def make():\n"
        "    return Net(), torch.zeros(4, 1, 3)\n"
    )

    error = cli.refused("deploy", f"{file}:make", "--out", out)

    assert "fft" in error
    untouched(out)


def test_a_torch_net_with_no_timesteps_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("import torch\ndef make():\n    return torch.nn.Linear(3, 2), torch.zeros(0, 1, 3)\n")

    cli.refused("deploy", f"{file}:make", "--out", out)

    untouched(out)


def test_weights_of_another_net_are_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    with safe_open(zoo.checkpoint_path("ma-digits"), "np") as file:
        card = file.metadata()
    save_file(load_file(zoo.checkpoint_path("gac-digits")), tmp_path / "other.safetensors", metadata=card)

    error = cli.refused("deploy", tmp_path / "other.safetensors", "--out", out)

    assert "weights of another net" in error
    untouched(out)


def test_nan_weights_in_a_checkpoint_are_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    with safe_open(zoo.checkpoint_path("ma-digits"), "np") as file:
        card = file.metadata()
    tensors = load_file(zoo.checkpoint_path("ma-digits"))
    name = next(name for name, value in tensors.items() if value.dtype == np.float32 and value.ndim > 1)
    tensors[name].flat[0] = np.nan
    save_file(tensors, tmp_path / "nan.safetensors", metadata=card)

    error = cli.refused("deploy", tmp_path / "nan.safetensors", "--out", out)

    assert f"tensor {name!r} holds 1 values that are not finite" in error
    untouched(out)


@pytest.mark.parametrize(
    "spec", ["no-such-net", "no/such/file.nir", "no/such/file.py:make", "no/such.safetensors", "no/such.net", "", "."]
)
@pytest.mark.parametrize("verb", ["deploy", "check"])
def test_a_model_that_is_not_there_is_refused(cli: Cli, verb: str, spec: str, out: Path) -> None:
    cli.refused(verb, spec, *(("--out", out) if verb == "deploy" else ()))

    untouched(out)


def test_a_refused_model_leaves_no_new_folder_above_its_place(cli: Cli, tmp_path: Path) -> None:
    cli.refused("deploy", "no-such-net", "--out", tmp_path / "new" / "deep" / "net")

    assert not (tmp_path / "new").exists()


def test_a_folder_above_the_bundle_is_made(cli: Cli, tmp_path: Path) -> None:
    nirx.write(tmp_path / "net.nir", linear())
    words = ["--timesteps", 4, "--calibrate", spikes(tmp_path / "data.npz"), "--out", tmp_path / "new" / "deep" / "net"]

    assert cli("deploy", tmp_path / "net.nir", *words)[0] == 0
    assert (tmp_path / "new" / "deep" / "net" / "manifest.json").is_file()


def test_a_foreign_file_is_checked_with_the_steps_it_does_not_say(cli: Cli, tmp_path: Path) -> None:
    nirx.write(tmp_path / "net.nir", linear())

    assert "give T (--timesteps)" in cli.refused("check", tmp_path / "net.nir")
    assert cli("check", tmp_path / "net.nir", "--timesteps", 4, "--dt", 1e-3)[0] == 0
    assert "--payload-bits" in cli.refused("check", "ma-digits", "--payload-bits", -3)


# ----------------------------------------------------------------------------------------------- options
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--timesteps", 0),
        ("--timesteps", -1),
        ("--weight-bits", 1),
        ("--weight-bits", 99),
        ("--payload-bits", 0),
        ("--seed", -1),
    ],
)
def test_an_option_out_of_range_is_refused(cli: Cli, tmp_path: Path, out: Path, option: str, value: int) -> None:
    nirx.write(tmp_path / "net.nir", linear())
    words = ["deploy", tmp_path / "net.nir", "--out", out, "--calibrate", spikes(tmp_path / "data.npz")]

    error = cli.refused(*words, *(() if option == "--timesteps" else ("--timesteps", 4)), option, value)

    assert option in error or "T is at least 1" in error
    untouched(out)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("no-such-verb",),
        ("deploy",),
        ("deploy", "ma-digits", "--out", "x", "--no-such-option"),
        ("deploy", "ma-digits", "--out", "x", "--weight-bits", "many"),
        ("run", "x", "--input", "a.npz", "--dataset", "digits"),
    ],
)
def test_words_that_cannot_be_parsed_are_refused(cli: Cli, words: tuple[str, ...]) -> None:
    cli.refused(*words)


def test_an_unknown_option_is_refused_verbatim(cli: Cli) -> None:
    assert cli.refused("chips", "--colour") == (
        "spikewright chips: unrecognized arguments: --colour\n  help: see spikewright chips --help\n"
    )


def test_a_net_that_does_not_fit_the_chip_is_refused(cli: Cli, tmp_path: Path, out: Path) -> None:
    nirx.write(tmp_path / "net.nir", linear(outputs=4 * 1024 + 1))  # the chip has 4 cores of 1024 neurons
    data = spikes(tmp_path / "data.npz")

    error = cli.refused(
        "deploy", tmp_path / "net.nir", "--chip", "demo", "--timesteps", 4, "--calibrate", data, "--out", out
    )

    assert "demo" in error
    untouched(out)


@pytest.mark.parametrize("chip", ["no-such-chip", "pyproject.toml"])
def test_an_unknown_chip_is_refused(cli: Cli, tmp_path: Path, out: Path, chip: str) -> None:
    nirx.write(tmp_path / "net.nir", linear())
    data = spikes(tmp_path / "data.npz")

    cli.refused("deploy", tmp_path / "net.nir", "--out", out, "--chip", chip, "--timesteps", 4, "--calibrate", data)

    untouched(out)
