"""The authors' checkpoints: every released key lands in its place, and whatever does not fit is refused by name."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from argparse import ArgumentParser, Namespace
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from released_keys import DIGESTS, RELEASED_KEYS, Keys, digest, drawn, gac_cifar, ma, numbered, original, td_norm
from safetensors.torch import save_file
from torch import Tensor, nn

from spikewright.models import zoo
from spikewright.models.datasets import load
from spikewright.models.errors import CheckpointError, DatasetError
from spikewright.models.import_command import add_import
from spikewright.models.neurons import LIF
from spikewright.models.released import RELEASED, import_checkpoint
from spikewright.models.released.example import example
from spikewright.toolchain.cli.outcome import Outcome
from spikewright.toolchain.importing import load_model

pytestmark = pytest.mark.slow

BIG = ("att-resnet34", "att-resnet104", "gac-imagenet34", "tcja-ncaltech101")
"""Above 20 million parameters."""
ATTENTIONS = {"no": "", "TA": "T", "CA": "C", "SA": "S", "TCA": "TC", "TSA": "TS", "CSA": "CS", "TCSA": "TCS"}


def gesture(attention: str = "TCSA") -> Keys:
    return ma((64, 128, 128), 8192, 11, 60, 5, attention if attention != "no" else "")


def written(path: Path, state: Any, name: str = "gac-cifar10") -> Path:
    """Write a state dict as the authors' script of this net does."""
    if name.startswith("ma-"):
        inside = {"net": {f"module.{key}": value for key, value in state.items()}, "acc": 97.2, "acc_record": [1.0]}
        torch.save(inside, path, _use_new_zipfile_serialization=False)
    elif name.startswith("tcja") and not name.endswith("tet"):
        moments = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(1), "exp_avg_sq": torch.zeros(1)}
        adam = {"state": {0: moments}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}]}
        torch.save({"net": OrderedDict(state), "optimizer": adam, "epoch": 3, "max_test_acc": 0.5}, path)
    elif "imagenet" in name or name.startswith("att"):
        torch.save(OrderedDict((f"module.{key}", value) for key, value in state.items()), path)
    else:
        torch.save(OrderedDict(state), path)
    return path


def refused(path: Path, name: str = "ma-gesture", **options: Any) -> CheckpointError:
    with pytest.raises(CheckpointError) as info:
        import_checkpoint(path, name, **options)
    assert info.value.where
    assert info.value.help
    return info.value


def plain(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of convolutions, norms and linear maps, in their order."""
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)
    paths = [path for path, part in module.named_modules() if isinstance(part, kinds)]
    return {key: v for path in paths for key, v in module.state_dict().items() if key.rpartition(".")[0] == path}


# ---------------------------------------------------------------------------------------------- what is read
@pytest.mark.parametrize("name", RELEASED_KEYS)
def test_the_keys_of_these_tests_are_the_released_classes(name: str) -> None:
    assert digest(RELEASED_KEYS[name]()) == DIGESTS[name]
    assert set(RELEASED_KEYS) == set(RELEASED)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in BIG else ()) for n in RELEASED_KEYS])
def test_a_released_checkpoint_fills_every_tensor_of_our_net_in_the_nets_order(name: str, tmp_path: Path) -> None:
    keys = RELEASED_KEYS[name]()
    state = numbered(keys)

    found = import_checkpoint(written(tmp_path / "net.pth", state, name), name)

    originals = list(dict.fromkeys(map(original, keys)))
    gates = [key for key in originals if "sharedMLP" in key or ".sa." in key or len(keys[key]) == 3]
    ours = [float(value.flatten()[0]) for value in plain(found.module).values()]
    assert ours == [float(state[key].flatten()[0]) for key in originals if key not in gates]
    every = {float(v.flatten()[0]) for key, v in found.module.state_dict().items() if not key.endswith("_extra_state")}
    assert every == {float(v.flatten()[0]) for v in state.values()}
    assert not found.module.training
    assert all(value.is_contiguous() for value in found.module.state_dict().values())


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_attention_of_ma_is_read_off_the_keys(attention: str, tmp_path: Path) -> None:
    state = numbered(gesture(attention))

    found = import_checkpoint(written(tmp_path / "net.t7", state, "ma-gesture"), "ma-gesture")

    dims = ATTENTIONS[attention]
    assert found.card.arguments == {"plan": "gesture", **({"dims": dims} if dims else {"attention": False}), "T": 60}
    assert (found.card.family, found.card.variant) == (("ma", "code") if dims else ("vanilla", "none"))
    tensors = found.module.state_dict()
    if "T" in dims:
        assert torch.equal(
            tensors["layers.2.ta_w0"], state["convAttLIF0.attention.ta.sharedMLP.0.weight"].reshape(12, 60)
        )
        assert torch.equal(tensors["layers.17.ta_w1"], state["FC1.attention.ta.sharedMLP.2.weight"].reshape(60, 12))
    if "C" in dims:
        assert torch.equal(
            tensors["layers.6.ca_w1"], state["convAttLIF1.attention.ca.sharedMLP.2.weight"].reshape(128, 16)
        )
    if "S" in dims:
        assert torch.equal(tensors["layers.10.sa_kernel"], state["convAttLIF2.attention.sa.conv.weight"])
    assert any("LIAF" in text for text in found.assumed)


def test_tcjas_two_kernels_land_where_their_names_do_not_say(tmp_path: Path) -> None:
    """N-Caltech101's last gate is TCJA(2, 4): ``conv`` slides over channels, ``conv_c`` over time."""
    state = numbered(RELEASED_KEYS["tcja-ncaltech101"]())

    tensors = import_checkpoint(written(tmp_path / "n.pth", state), "tcja-ncaltech101").module.state_dict()

    assert torch.equal(tensors["layers.20.cla"], state["conv.15.conv.weight"])
    assert torch.equal(tensors["layers.20.tla"], state["conv.15.conv_c.weight"])


def test_gac_without_its_encoder_is_the_released_net_without_one(tmp_path: Path) -> None:
    state = numbered(gac_cifar(10, using_gac=False))

    found = import_checkpoint(written(tmp_path / "net.pth", state), "gac-cifar10")

    assert found.card.arguments == {"classes": 10, "attention": False, "T": 6}
    assert (found.card.family, found.card.variant) == ("vanilla", "none")
    assert isinstance(found.module.encoder, nn.Identity)
    assert found.assumed == ("T = 6: no weight says it",)


@pytest.mark.parametrize(
    ("name", "key", "T"), [("gac-cifar10", "encoding.TA", 4), ("gac-imagenet18", "encoding.TA", 6)]
)
def test_t_is_read_where_a_weights_shape_says_it(name: str, key: str, T: int, tmp_path: Path) -> None:
    keys = RELEASED_KEYS[name]()
    keys[f"{key}.sharedMLP.0.weight"], keys[f"{key}.sharedMLP.2.weight"] = (T // 2, T, 1, 1, 1), (T, T // 2, 1, 1, 1)
    path = written(tmp_path / "net.pth", numbered(keys), name)

    assert import_checkpoint(path, name).card.timesteps == T
    assert import_checkpoint(path, name, timesteps=T).card.arguments["T"] == T
    assert f"trained for T = {T}, as 'encoding.TA.sharedMLP.0.weight'" in refused(path, name, timesteps=T + 1).what


def test_t_is_taken_from_the_caller_where_no_weight_says_it(tmp_path: Path) -> None:
    path = written(tmp_path / "net.pth", numbered(RELEASED_KEYS["att-resnet18"]()), "att-resnet18")

    assert "T = 1: no weight says it" in import_checkpoint(path, "att-resnet18").assumed
    found = import_checkpoint(path, "att-resnet18", timesteps=4)
    assert found.card.timesteps == found.card.arguments["T"] == 4
    assert found.card.command == "spikewright import net.pth --as att-resnet18 --timesteps 4"
    assert refused(path, "att-resnet18", timesteps=0).what == "T = 0; allowed are 1 to 4096"


def test_containers_prefixes_counters_and_extra_state_do_not_matter(tmp_path: Path) -> None:
    state = numbered(gesture())
    bare = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    twice = {f"module._orig_mod.{key}": value for key, value in state.items()} | {
        "module._orig_mod.FC0._extra_state": None
    }
    forms = {
        "bare.pth": bare,
        "state_dict.pth.tar": {"state_dict": state, "epoch": 3},
        "model.pt": {"model": twice, "optimizer": {"param_groups": []}},
        "lightning.ckpt": {"state_dict": {f"model.snn.{key}": value for key, value in state.items()}, "global_step": 3},
        "nested.pth": {"checkpoint": {"best": state, "optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}}}},
        "thop.pth": state | {"total_ops": torch.zeros(1), "FC0.total_params": torch.zeros(1)},
    }
    for name, form in forms.items():
        torch.save(form, tmp_path / name)
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "net.safetensors")

    whole = import_checkpoint(written(tmp_path / "net.t7", state, "ma-gesture"), "ma-gesture").module.state_dict()

    for name in (*forms, "net.safetensors"):
        tensors = import_checkpoint(tmp_path / name, "ma-gesture").module.state_dict()
        assert list(tensors) == list(whole)
        assert all(
            torch.equal(tensors[k], whole[k]) for k in whole if not k.endswith("tracked") or name != "bare.pth"
        ), name
        assert int(tensors["layers.1.num_batches_tracked"]) == (0 if name == "bare.pth" else 7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in numbered(gesture("no")).items()}

    found = import_checkpoint(written(tmp_path / "net.pth", state), "ma-gesture").module.state_dict()

    assert found["layers.0.weight"].dtype == torch.float32
    assert torch.equal(found["layers.0.weight"], state["convAttLIF0.conv2d.weight"].float())


def test_a_norm_with_vth_scales_by_it(tmp_path: Path) -> None:
    """GAC's ImageNet ``tdBatchNorm`` is a BatchNorm2d that multiplies by a buffer ``Vth``: y = Vth w (x - m) / sd + b."""
    keys = gac_cifar(10)
    norms = [key.removesuffix(".bn.running_var") for key in keys if key.endswith(".bn.running_var")]
    for path in norms:
        for key in td_norm(path, 1):
            shape = keys.pop(key)
            if ".seqbn" not in key:
                keys[path + key.removeprefix(f"{path}.bn")] = shape
    state = drawn(keys) | {f"{path}.Vth": torch.tensor(0.5) for path in norms}
    path = written(tmp_path / "net.pth", state)

    norm = import_checkpoint(path, "gac-cifar10").module.get_submodule("blocks.0.bn1")

    x = torch.randn(2, 1, 128, 3, 3)
    w, b, mean, var = (
        state[f"layer1.0.bn1.{leaf}"].reshape(-1, 1, 1) for leaf in ("weight", "bias", "running_mean", "running_var")
    )
    torch.testing.assert_close(norm(x), 0.5 * w * (x - mean) / torch.sqrt(var + 1e-5) + b)
    state["bn1.Vth"] = torch.tensor([0.5, 0.5])
    assert "'bn1.Vth' (2,): expected one number" in refused(written(path, state), "gac-cifar10").what


# ---------------------------------------------------------------------------------------------- what a net answers
ANSWERS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "masnn": (
        (0.08598, 0.00594, 0.00777, 0.28138, 0.32273),
        (0.0, 1.0, 0.8667, 0.0, 0.7667, 0.0, 0.05, 0.0),
    ),
    "ma-gesture": (
        (0.08184, 0.01725, 0.00918, 0.38464, 0.29242),
        (0.0, 0.0, 0.0, 0.5167, 0.0, 0.0, 1.0, 0.9833),
    ),
    "gac-cifar10": (
        (
            0.18093, 5e-05, 0.05614, 0.13104, 0.06579, 0.23784, 0.07657, 0.30824, 0.0784, 0.23113, 0.10489, 0.26224,
            0.08121, 0.30548, 0.10793, 0.24017, 0.08354, 0.2791,
        ),
        (0.4407, -0.0255, 0.6689, -0.013, 0.1977, 0.4039, 0.1658, 0.4111),
    ),
    "tcja-cifar10dvs-tet": (
        (0.23849, 0.18172, 0.16693, 0.14981, 0.19854, 0.16824, 0.17518, 0.1923),
        (-0.5117, 0.16, 0.5282, 0.0026, 0.3958, 0.4625, -0.3454, -0.1566),
    ),
    "att-resnet18": (
        (
            0.29544, 0.24741, 0.3094, 0.221, 0.34376, 0.21308, 0.22127, 0.19493, 0.27363, 0.22015, 0.27928, 0.2096,
            0.32163, 0.21652, 0.30939, 0.21277, 0.34794,
        ),
        (0.8004, -0.083, 1.2779, 0.3734, 0.8992, -0.1853, -0.5795, 0.7199),
    ),
}  # fmt: skip
"""Of the released classes, run beside ours once: rate of each spiking layer, and the first outputs, with ``drawn`` weights."""


def fed(name: str) -> Tensor:
    """Return what the net is fed here, (T, 1, C, H, W)."""
    g = torch.Generator().manual_seed(5)
    shapes = {"gac-cifar10": (6, 3, 32), "tcja-cifar10dvs-tet": (10, 2, 48), "att-resnet18": (1, 3, 224)}
    T, channels, side = shapes.get(name, (60, 2, 32))
    if channels == 3:
        return (2.0 * torch.rand(1, 1, 3, side, side, generator=g) - 0.6).expand(T, 1, 3, side, side)
    return torch.floor(4.0 * torch.rand(T, 1, 2, side, side, generator=g) ** 4)


@pytest.mark.parametrize("name", ["masnn", "ma-gesture", "gac-cifar10", "tcja-cifar10dvs-tet", "att-resnet18"])
def test_an_imported_net_answers_as_the_released_class_does(name: str, tmp_path: Path) -> None:
    rates, outputs = ANSWERS[name]
    module = import_checkpoint(written(tmp_path / "net.pth", drawn(RELEASED_KEYS[name]()), name), name).module
    found: list[float] = []
    for part in module.modules():
        if isinstance(part, LIF):
            part.register_forward_hook(lambda _part, _inputs, spikes: found.append(float(spikes.mean())))

    with torch.no_grad():
        y = module(fed(name))[0]

    assert min(rates) > 0
    np.testing.assert_allclose(found, rates, atol=1e-3)
    np.testing.assert_allclose(y[: len(outputs)].numpy(), outputs, atol=0.02)


# ---------------------------------------------------------------------------------------------- what is written
def run(*words: str) -> Outcome:
    parser = ArgumentParser()
    add_import(parser.add_subparsers())
    arguments: Namespace = parser.parse_args(("import", *words))
    outcome: Outcome = arguments.run(arguments)
    return outcome


def test_the_verb_writes_a_checkpoint_of_ours_with_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = drawn(gesture())
    written(tmp_path / "best.t7", state, "ma-gesture")

    outcome = run("best.t7", "--as", "ma-gesture", "--json")

    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.t7", "ma-gesture.json", "ma-gesture.safetensors"]
    module, card = zoo.build("ma-gesture.safetensors")
    assert torch.equal(module.state_dict()["layers.3.weight"], state["convAttLIF1.conv2d.weight"])
    assert (card.family, card.variant, card.dataset, card.coding) == ("ma", "code", "dvs128gesture", "time")
    assert (card.timesteps, card.side, card.window_us) == (60, 32, 25_000.0)
    assert (card.accuracy, card.spike_rate, card.seed, card.epochs, card.torch) == (None,) * 5
    assert card.command == "spikewright import best.t7 --as ma-gesture"
    assert card.source_file == "best.t7"
    assert card.source_sha256 is not None
    assert len(card.source_sha256) == 64
    assert card.parameters == 2_340_535
    assert json.loads(Path("ma-gesture.json").read_text()) == json.loads(card.to_json())
    assert outcome.data["checkpoint"] == "ma-gesture.safetensors"
    assert outcome.data["source_sha256"] == card.source_sha256
    assert "accuracy: not measured" in outcome.text
    assert "assumed: spiking cells" in outcome.text


@pytest.mark.parametrize("standing", ["x.safetensors", "x.json"])
def test_files_that_stand_there_are_written_over_by_force_only(standing: str, tmp_path: Path) -> None:
    path = written(tmp_path / "net.t7", numbered(gesture("no")), "ma-gesture")
    (tmp_path / standing).write_text("mine")
    words = (str(path), "--as", "ma-gesture", "--out", str(tmp_path / "x.safetensors"))

    with pytest.raises(CheckpointError, match="exists, and is not written over"):
        run(*words)
    assert (tmp_path / standing).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2

    run(*words, "--force")
    assert zoo.card(tmp_path / "x.safetensors").name == "x"


def test_an_out_that_cannot_be_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    itself = tmp_path / "itself.safetensors"
    save_file({"a": torch.zeros(1)}, itself)
    for source, out, what in (
        ("none.pth", tmp_path / "x.pth", "'x.pth' does not end in .safetensors"),
        ("none.pth", tmp_path / "folder.safetensors", "a folder of that name exists"),
        (str(itself), itself, "is the checkpoint itself"),
    ):
        with pytest.raises(CheckpointError) as info:
            run(source, "--as", "ma-gesture", "--out", str(out), "--force")
        assert info.value.what == what
    with pytest.raises(CheckpointError, match=r"no released net 'gac-cifar'; there are tcja-dvs128, .*masnn") as info:
        run("none.pth", "--as", "gac-cifar")
    assert info.value.help.startswith("use --as gac-cifar10")


# ---------------------------------------------------------------------------------------------- what does not fit
def test_each_missing_surplus_and_misshapen_key_is_named(tmp_path: Path) -> None:
    keys = gesture()
    del keys["convAttLIF1.conv2d.bias"]
    keys |= {"convAttLIF0.conv2d.weight": (64, 3, 3, 3), "convAttLIF0.network.ConvIF.alpha": (64, 1, 1)}
    state: dict[str, Any] = {**numbered(keys), "note": "hello"}

    error = refused(written(tmp_path / "net.t7", state, "ma-gesture"))

    assert error.what.splitlines() == [
        "the file does not fit ma-gesture: 1 missing, 2 surplus, 1 misshapen",
        "  missing 'convAttLIF1.conv2d.bias': our layers.3.bias (128,)",
        "  surplus 'convAttLIF0.network.ConvIF.alpha' (64, 1, 1)",
        "  surplus 'note', no tensor",
        "  misshapen 'convAttLIF0.conv2d.weight' (64, 3, 3, 3): our layers.0.weight (64, 2, 3, 3)",
    ]


def test_another_released_net_is_recognised(tmp_path: Path) -> None:
    path = written(tmp_path / "net.pth", numbered(RELEASED_KEYS["masnn"]()))

    error = refused(path)

    assert error.help == "most of its keys are those of --as masnn"
    assert "missing" in error.what
    classes = refused(written(path, numbered(gac_cifar(100))), "gac-cifar10")
    assert "misshapen 'fc1.weight' (100, 512): our fc.weight (10, 512)" in classes.what
    assert classes.help == "the net was made with other sizes than gac-cifar10 has in the released code"


def test_batch_norm_without_running_statistics_is_refused_with_the_reason(tmp_path: Path) -> None:
    state = {k: v for k, v in numbered(gesture("no")).items() if "running" not in k and "tracked" not in k}

    error = refused(written(tmp_path / "net.t7", state, "ma-gesture"))

    assert "10 missing" in error.what
    assert "track_running_stats=False" in error.help


def test_a_liaf_net_is_refused_by_the_name_the_released_code_gives_it(tmp_path: Path) -> None:
    path = written(tmp_path / "TCSA_SNN(CNN)_LIAF-DVS-Gesture_dt=25ms_T=60.t7", numbered(gesture()), "ma-gesture")

    assert (
        refused(path).what == "its name says LIAF, a net with the keys of ma-gesture that sends membranes, not spikes"
    )


def test_copies_that_differ_are_named(tmp_path: Path) -> None:
    state = drawn(gac_cifar(10))
    state["layer1.0.conv1_s.bn.seqbn.module.weight"] = state["layer1.0.bn1.bn.weight"] + 1

    error = refused(written(tmp_path / "net.pth", state), "gac-cifar10")

    assert error.what.splitlines()[1:] == [
        "  unequal 'layer1.0.bn1.bn.weight', of which 'layer1.0.conv1_s.bn.seqbn.module.weight' must be a copy"
    ]


def test_a_file_without_the_copies_is_whole(tmp_path: Path) -> None:
    keys = gac_cifar(10)
    path = written(tmp_path / "net.pth", numbered({key: shape for key, shape in keys.items() if original(key) == key}))

    assert import_checkpoint(path, "gac-cifar10").card.parameters == 12_633_198


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("FC1.linear.bias", torch.full((11,), float("nan")), "11 values are not finite"),
        ("FC1.linear.bias", torch.full((11,), 1e300, dtype=torch.float64), "11 values are not finite"),
        ("FC1.BNLayer.running_var", torch.full((11,), -1.0), "11 variances are below 0"),
        ("FC1.linear.bias", torch.ones(11, dtype=torch.int8), "values of torch.int8; expected floating point numbers"),
        (
            "FC1.linear.bias",
            torch.ones(11, dtype=torch.complex64),
            "values of torch.complex64; expected floating point",
        ),
        ("FC1.BNLayer.num_batches_tracked", torch.tensor(1.5), "values of torch.float32; expected whole numbers"),
        ("FC1.linear.bias", torch.ones(11).to_sparse(), "a torch.sparse_coo tensor"),
    ],
)
def test_values_that_no_net_can_have_are_named(key: str, value: Tensor, line: str, tmp_path: Path) -> None:
    path = written(tmp_path / "net.pth", numbered(gesture("no")) | {key: value})

    assert f"  unfit '{key}': {line}" in refused(path).what


# ---------------------------------------------------------------------------------------------- what is no checkpoint
class Runs:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("held", "named"),
    [(Runs(), "system"), (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"), ({"a": np.float64(1)}, "scalar")],
)
def test_what_would_have_to_be_unpickled_is_refused(
    held: object, named: str, legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"net": held, "a": torch.zeros(1)}, "x.pth", _use_new_zipfile_serialization=not legacy)

    error = refused(Path("x.pth"))

    assert named in error.what
    assert "would have to be unpickled" in error.what
    assert error.help.startswith("where you trust the file, save the weights alone")
    assert not Path("ran").exists()


def test_a_file_that_declares_more_than_it_holds_is_refused_unread(tmp_path: Path) -> None:
    state = {"a": torch.zeros(200)}
    torch.save(state, tmp_path / "zip.pth")
    with (
        zipfile.ZipFile(tmp_path / "zip.pth") as source,
        zipfile.ZipFile(tmp_path / "z.pth", "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for record in source.infolist():
            out.writestr(record.filename, source.read(record.filename))
    torch.save(state, tmp_path / "legacy.t7", _use_new_zipfile_serialization=False)
    data = (tmp_path / "legacy.t7").read_bytes()
    assert data.count(b"K\xc8") >= 1  # BININT1 200
    (tmp_path / "l.t7").write_bytes(data.replace(b"K\xc8", b"J\xff\xff\xff\x7f", 1))

    assert "or are compressed; the file has" in refused(tmp_path / "z.pth").what
    assert refused(tmp_path / "l.t7").what.startswith("declares a tensor of 2,147,483,647 elements; the file has")


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_file_that_is_cut_or_altered_is_refused(form: str, tmp_path: Path) -> None:
    state, path = {"a": torch.arange(40.0)}, tmp_path / "whole"
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for i in range(60):
        broken = bytearray(data[: rng.integers(0, len(data))] if i % 2 else data)
        for place in rng.integers(0, max(1, len(broken)), 3) if broken else ():
            broken[place] = rng.integers(0, 256)
        path.write_bytes(bytes(broken))
        refused(path)


def test_what_holds_no_state_dict_is_refused(tmp_path: Path) -> None:
    state = {"a": torch.zeros(1)}
    for held, what in (
        ([torch.zeros(1)], "holds list, no state dict"),
        ({"epoch": 3}, "holds 'epoch'; expected tensors, or just one of net, state_dict, model, model_state_dict"),
        ({"net": state, "model": state}, "holds 'net', 'model'; expected tensors, or just one of"),
        (
            {"student": {"a.weight": state["a"]}, "teacher": {"a.weight": state["a"]}},
            "holds 'student', 'teacher'; expected",
        ),
        ({"net": {"lr": 0.1}}, "holds no tensor"),
        ({3: torch.zeros(1)}, "has the key 3, which is no name"),
        ({}, "holds nothing; expected tensors"),
        ({"\x1b[2J": torch.zeros(1)}, "'\\x1b[2J' (1,)"),
    ):
        torch.save(held, tmp_path / "x.pth")
        assert what in refused(tmp_path / "x.pth").what
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(state["a"].numpy()))
    refused(tmp_path / "plain.pkl")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, what in (
        (tmp_path / "none.pth", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: is a folder"),
        (tmp_path / "pipe", "cannot be read: is no regular file but a pipe, socket or device"),
        (Path("/dev/zero"), "cannot be read: is no regular file but a pipe, socket or device"),
    ):
        assert refused(path).what == what
    (tmp_path / "empty.pth").write_bytes(b"")
    assert "neither a file of torch.save nor" in refused(tmp_path / "empty.pth").what
    assert refused(zoo.checkpoint_path("ma-digits")).what == "already a checkpoint of this package"


# ---------------------------------------------------------------------------------------------- what a net is fed
def test_cifar_comes_normalised_as_gacs_released_code_feeds_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder, names, labels in (
        ("cifar-10-batches-bin", [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"], 1),
        ("cifar-100-binary", ["train.bin", "test.bin"], 2),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            rng.integers(0, 10, (4, labels + 3072), dtype=np.uint8).tofile(tmp_path / folder / name)
    for name, mean, deviation in (
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ("cifar100", (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    ):
        raw, fed = (load(n, root=tmp_path, timesteps=2) for n in (name, f"{name}-normalized"))

        m, d = (np.reshape(np.float32(v), (-1, 1, 1)) for v in (mean, deviation))
        np.testing.assert_allclose(fed.x, (raw.x - m) / d, rtol=1e-6)
        assert (fed.y == raw.y).all()
        assert RELEASED[f"gac-{name}"].dataset == f"{name}-normalized"
        with pytest.raises(DatasetError, match="coding 'rate' takes 0 to 1"):
            load(f"{name}-normalized", root=tmp_path, coding="rate")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("tcja-dvs128", (20, 1, 2, 128, 128)), ("tcja-cifar10dvs-tet", (10, 1, 2, 48, 48)),
        ("tcja-ncaltech101", (14, 1, 2, 180, 240)), ("ma-gesture", (60, 1, 2, 32, 32)), ("ma-gait", (8, 1, 2, 128, 128)),
        ("masnn", (60, 1, 2, 32, 32)), ("gac-cifar100", (6, 1, 3, 32, 32)), ("att-resnet34", (1, 1, 3, 224, 224)),
    ],
)  # fmt: skip
def test_an_example_has_the_shape_the_net_takes(name: str, shape: tuple[int, ...]) -> None:
    net = RELEASED[name]
    like = replace(
        zoo.card("ma-digits"), net=net.net, arguments=net.arguments, timesteps=net.timesteps, coding=net.coding
    )

    x = example(like, count=1)

    assert x.shape == shape
    assert x.dtype == np.float32
    assert x.std() > 0
    assert (x == x[0]).all() == (net.coding == "direct")
    assert (x == example(like, count=1)).all()


def test_a_net_whose_data_set_is_not_at_hand_is_captured_on_drawn_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = drawn(gesture("no"))
    found = import_checkpoint(written(tmp_path / "net.t7", state, "ma-gesture"), "ma-gesture", timesteps=3)
    path = found.save(tmp_path / "mine.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))

    imported = load_model(str(path))

    assert imported.name == "mine"
    assert imported.card["source_sha256"] == found.card.source_sha256
    assert imported.note == (
        "captured from torch: spikes of every layer equal on 2 samples and on random events, float64"
    )
