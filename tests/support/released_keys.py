"""Keys and shapes of the authors' released checkpoints, written down from their classes, with digests taken from those."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Keys = dict[str, tuple[int, ...]]


def conv(path: str, out: int, *inside: int, bias: bool = False) -> Keys:
    return {f"{path}.weight": (out, *inside)} | ({f"{path}.bias": (out,)} if bias else {})


def norm(path: str, channels: int) -> Keys:
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{path}.{name}": (channels,) for name in names} | {f"{path}.num_batches_tracked": ()}


def mlp(path: str, width: int, hidden: int, axes: int = 3) -> Keys:
    ones = (1,) * axes
    return {f"{path}.sharedMLP.0.weight": (hidden, width, *ones), f"{path}.sharedMLP.2.weight": (width, hidden, *ones)}


# ---------------------------------------------------------------------------------------------- TCJA
def cextnet(
    channels: tuple[int, ...], gates: dict[int, tuple[int, int]], T: int, features: int, fc: tuple[int, int]
) -> Keys:
    keys: Keys = {}
    place, before = 0, 2
    for stage, out in enumerate(channels):
        keys |= conv(f"conv.{place}.0", out, before, 3, 3) | norm(f"conv.{place}.1", out)
        place += 2
        if stage in gates:
            over_channels, over_time = gates[stage]
            keys |= {
                f"conv.{place}.conv.weight": (T, T, over_channels),
                f"conv.{place}.conv_c.weight": (out, out, over_time),
            }
            place += 1
        place += 1
        before = out
    return keys | conv("fc.2.0", fc[0], features) | conv("fc.5.0", fc[1], fc[0])


def vggnet() -> Keys:
    keys: Keys = {}
    place, before = 1, 2
    for stage, out in enumerate((64, 128, 256, 256, 512, 512, 512, 512)):
        keys |= conv(f"conv.{place}.0", out, before, 3, 3, bias=True) | norm(f"conv.{place}.1", out)
        place += 2
        if stage in (5, 7):
            keys |= {f"conv.{place}.conv.weight": (10, 10, 4), f"conv.{place}.conv_c.weight": (512, 512, 4)}
            place += 1
        place += stage % 2
        before = out
    return keys | conv("fc.1.0", 10, 512 * 9, bias=True)


def vggsnn_tcja() -> Keys:
    keys: Keys = {}
    place, before = 0, 2
    for stage, out in enumerate((64, 128, 256, 256, 512, 512, 512, 512)):
        path = f"features.{place}.fwd.module"
        keys |= conv(f"{path}.0", out, before, 3, 3, bias=True) | norm(f"{path}.1", out)
        place += 1
        if stage == 1:
            keys |= {"features.2.conv.0.weight": (10, 10, 2), "features.2.conv_c.weight": (128, 128, 2)}
            place += 1
        place += stage % 2
        before = out
    return keys | conv("classifier.module", 10, 512 * 9, bias=True)


# ---------------------------------------------------------------------------------------------- MA
def ma(channels: tuple[int, ...], features: int, classes: int, T: int, t_ratio: int, attention: str) -> Keys:
    keys: Keys = {}
    before = 2
    for i, out in enumerate(channels):
        path = f"convAttLIF{i}"
        keys |= conv(f"{path}.conv2d", out, before, 3, 3, bias=True) | norm(f"{path}.BNLayer", out)
        if "C" in attention:
            keys |= mlp(f"{path}.attention.ca", out, out // 8)
        if "T" in attention:
            keys |= mlp(f"{path}.attention.ta", T, T // t_ratio)
        if "S" in attention:
            keys[f"{path}.attention.sa.conv.weight"] = (1, 2, 3, 3)
        before = out
    for i, (inside, out) in enumerate(((features, 256), (256, classes))):
        keys |= conv(f"FC{i}.linear", out, inside, bias=True) | norm(f"FC{i}.BNLayer", out)
        if "T" in attention:
            keys |= mlp(f"FC{i}.attention.ta", T, T // t_ratio, axes=1)
    return keys


def masnn() -> Keys:
    keys: Keys = {}
    before = 2
    for i, out in enumerate((64, 128, 128)):
        path = f"conv_blocks.{i}"
        keys |= conv(f"{path}.conv", out, before, 3, 3, bias=True) | norm(f"{path}.bn", out)
        keys |= mlp(f"{path}.attn.ta", 60, 12) | mlp(f"{path}.attn.ca", out, out // 8)
        keys[f"{path}.attn.sa.conv.weight"] = (1, 2, 3, 3)
        before = out
    for i, (inside, out) in enumerate(((8192, 256), (256, 11))):
        path = f"fc_blocks.{i}"
        keys |= conv(f"{path}.linear", out, inside, bias=True) | norm(f"{path}.bn", out)
        keys |= mlp(f"{path}.attn", 60, 12, axes=0)
    return keys


# ---------------------------------------------------------------------------------------------- MS-ResNets
def blocks(counts: tuple[int, ...]) -> Iterator[tuple[str, int, int, bool]]:
    before = 64
    for stage, (out, count) in enumerate(zip((64, 128, 256, 512), counts, strict=True), start=2):
        for i in range(count):
            yield f"conv{stage}_x.{i}", before, out, i == 0
            before = out


def att_resnet(counts: tuple[int, ...]) -> Keys:
    keys = conv("conv1.0", 64, 3, 7, 7) | norm("conv1.1.bn", 64)
    for path, before, out, first in blocks(counts):
        function = f"{path}.residual_function"
        keys |= conv(f"{function}.1", out, before, 3, 3) | norm(f"{function}.2.bn", out)
        keys |= conv(f"{function}.4", out, out, 3, 3) | norm(f"{function}.5.bn", out)
        keys |= mlp(f"{function}.6.attention.ca", out, out // 8)
        keys[f"{function}.6.attention.sa.conv.weight"] = (1, 2, 3, 3)
        if first:
            keys |= conv(f"{path}.shortcut.1", out, before, 1, 1) | norm(f"{path}.shortcut.2.bn", out)
    return keys | conv("fc", 1000, 512, bias=True)


def encoding(T: int) -> Keys:
    sca = {f"encoding.SCA.sharedMLP.{i}.weight": (64, 64, 4, 4) for i in (0, 2)}
    return mlp("encoding.TA", T, T // 2) | sca


def gac_imagenet(counts: tuple[int, ...]) -> Keys:
    keys = conv("conv1.0", 64, 3, 7, 7) | norm("conv1.1.bn", 64) | encoding(4)
    for path, before, out, first in blocks(counts):
        keys |= conv(f"{path}.conv1", out, before, 3, 3) | norm(f"{path}.bn1.bn", out)
        keys |= conv(f"{path}.conv2", out, out, 3, 3) | norm(f"{path}.bn2.bn", out)
        if first:
            keys |= conv(f"{path}.shortcut.0", out, before, 1, 1) | norm(f"{path}.shortcut.1.bn", out)
    return keys | conv("fc1", 1000, 512, bias=True) | conv("fc1_s.layer.module", 1000, 512, bias=True)


def td_norm(path: str, channels: int) -> Keys:
    return norm(f"{path}.bn", channels) | norm(f"{path}.seqbn.module", channels)


def gac_cifar(classes: int, *, using_gac: bool = True) -> Keys:
    keys = conv("conv1", 64, 3, 3, 3) | td_norm("bn1", 64)
    keys |= conv("conv1_s.layer.module", 64, 3, 3, 3) | td_norm("conv1_s.bn", 64)
    before = 64
    for stage, (out, count) in enumerate(((128, 3), (256, 3), (512, 2)), start=1):
        for i in range(count):
            path = f"layer{stage}.{i}"
            insides = (before, out)
            for n, inside in enumerate(insides, start=1):
                keys |= conv(f"{path}.conv{n}", out, inside, 3, 3) | td_norm(f"{path}.bn{n}", out)
            if i == 0:
                keys |= conv(f"{path}.downsample.layer.module", out, before, 1, 1)
                keys |= td_norm(f"{path}.downsample.bn", out)
            for n, inside in enumerate(insides, start=1):
                keys |= conv(f"{path}.conv{n}_s.layer.module", out, inside, 3, 3) | td_norm(f"{path}.conv{n}_s.bn", out)
            before = out
    keys |= conv("fc1", classes, 512, bias=True) | conv("fc1_s.layer.module", classes, 512, bias=True)
    return keys | (encoding(6) if using_gac else {})


_GESTURE = ((64, 128, 128), 8192, 11, 60, 5)
_FIVE = (32, 64, 128, 256, 512)

RELEASED_KEYS: dict[str, Callable[[], Keys]] = {
    "tcja-dvs128": lambda: cextnet((128,) * 5, {3: (4, 4), 4: (4, 4)}, 20, 2048, (512, 110)),
    "tcja-cifar10dvs": vggnet,
    "tcja-cifar10dvs-tet": vggsnn_tcja,
    "tcja-ncaltech101": lambda: cextnet((64, 128, 256, 256, 512), {3: (4, 4), 4: (2, 4)}, 14, 17920, (1024, 101)),
    "ma-gesture": lambda: ma(*_GESTURE, "TCSA"),
    "ma-gait": lambda: ma(_FIVE, 2048, 21, 8, 2, "TCSA"),
    "ma-cifar10dvs": lambda: ma(_FIVE, 2048, 10, 20, 2, "TCSA"),
    "att-resnet18": lambda: att_resnet((2, 2, 2, 2)),
    "att-resnet34": lambda: att_resnet((3, 4, 6, 3)),
    "att-resnet104": lambda: att_resnet((3, 8, 32, 8)),
    "gac-cifar10": lambda: gac_cifar(10),
    "gac-cifar100": lambda: gac_cifar(100),
    "gac-imagenet18": lambda: gac_imagenet((2, 2, 2, 2)),
    "gac-imagenet34": lambda: gac_imagenet((3, 4, 6, 3)),
    "masnn": masnn,
}

DIGESTS = {
    "tcja-dvs128": "58049174d65f9332",
    "tcja-cifar10dvs": "013e238138e21516",
    "tcja-cifar10dvs-tet": "cf6ebc54ba9ae846",
    "tcja-ncaltech101": "f9f130a3654ba617",
    "ma-gesture": "d906f3b70143cf24",
    "ma-gait": "935dd4f0bb747477",
    "ma-cifar10dvs": "734ce2410a7fbcb5",
    "att-resnet18": "cf70012a6ecdb338",
    "att-resnet34": "32476a7f6515a526",
    "att-resnet104": "34ec143f6b32fba9",
    "gac-cifar10": "b482e9d3557839b0",
    "gac-cifar100": "f525228af5cc2f83",
    "gac-imagenet18": "9a98f8d24c5f9506",
    "gac-imagenet34": "958750b2ccf33a33",
    "masnn": "06f3089e4a6ee65a",
}
"""First 16 digits of the SHA-256 of the sorted lines "key shape" of the released classes' own state dicts."""


def digest(keys: Keys) -> str:
    lines = sorted(f"{key} {shape}" for key, shape in keys.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def original(key: str) -> str:
    """Return the key whose copy this one is, in GAC's state dicts."""
    for copy, of in (
        ("conv1_s.layer.module", "conv1"), ("conv2_s.layer.module", "conv2"), ("fc1_s.layer.module", "fc1"),
        ("conv1_s.bn", "bn1"), ("conv2_s.bn", "bn2"), ("seqbn.module", "bn"),
    ):  # fmt: skip
        key = key.replace(copy, of)
    return key


def numbered(keys: Keys) -> dict[str, Tensor]:
    """Return a state dict in which every tensor holds one number, another for each, copies the same; a few kB on disk."""
    numbers: dict[str, float] = {}
    state = {}
    for key, shape in keys.items():
        number = numbers.setdefault(original(key), 1.0 + len(numbers) / 1024)
        count = key.endswith("num_batches_tracked")
        state[key] = torch.tensor(7 if count else number).expand(shape)
    return state


def drawn(keys: Keys) -> dict[str, Tensor]:
    """Return a state dict drawn by each key's own seed, so that all layers spike; copies share their memory."""
    state: dict[str, Tensor] = {}
    for key, shape in keys.items():
        source = original(key)
        if source not in state:
            state[source] = _drawn(source, shape)
        state[key] = state[source]
    return {key: state[key] for key in keys}


def _drawn(key: str, shape: tuple[int, ...]) -> Tensor:
    g = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    leaf = key.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return torch.tensor(7)
    if leaf == "running_var":
        return 0.3 + 0.5 * torch.rand(shape, generator=g)
    if leaf == "running_mean":
        return 0.1 * torch.randn(shape, generator=g)
    if len(shape) == 1:
        return (
            0.1 + 0.3 * torch.randn(shape, generator=g)
            if leaf == "bias"
            else 0.6 + 0.8 * torch.rand(shape, generator=g)
        )
    fan_in = max(1, torch.Size(shape[1:]).numel())
    return (2.0 * torch.rand(shape, generator=g) - 1.0) / fan_in**0.5
