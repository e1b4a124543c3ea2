"""The papers' own settings, for the data a user has: nets, losses, optimisers, schedules, batch and epochs as published.

The CIFAR-10 nets that ship, ``gac-cifar10`` and ``staa-cifar10``, have the papers' geometry, narrow enough for a CPU.

Where the loop has no such thing, the recipe says so: MA's windows start at a clip's first event (released code: at a random
one), STAA's weight decay is ours. None of the papers' own was run to its end by us.
"""

from __future__ import annotations

from spikewright.models.train.recipe import Recipe

_MA = "MA-SNN, Yao et al., TPAMI 45(8):9393, 2023, released code"
_GAC = "GAC, Qiu et al., AAAI 38(1):601, 2024, released code"
_TCJA = "TCJA, Zhu et al., IEEE TNNLS, 2024, released code"
_STAA = "reconstruction of STAA, Zhang et al., CVPR 2025, from secondary sources; settings of the sibling FSTA-SNN"

_NARROW = "; {} of its channels and few epochs, for a CPU: settings ours"

NARROW_RECIPES = (
    Recipe(
        "gac-cifar10", "gac_ms_resnet_cifar", "gac", "code", 2, "cifar10", "direct", "cross-entropy",
        {"T": 2, "width": 0.125}, epochs=2, batch=64, learning_rate=3e-3, shift=2, flip=True,
        provenance=_GAC + _NARROW.format("1/8"),
    ),
    Recipe(
        "staa-cifar10", "staa_resnet", "staa", "reconstruction", 2, "cifar10", "direct", "cross-entropy",
        {"T": 2, "depth": 20, "width": 0.1875}, epochs=2, batch=64, learning_rate=3e-3, shift=2, flip=True,
        provenance=_STAA + _NARROW.format("3/16"),
    ),
)  # fmt: skip

PAPER_RECIPES = (
    Recipe(
        "ma-gesture-paper", "ma_event", "ma", "code", 60, "dvs128gesture", "time", "mse-rate",
        {"plan": "gesture"}, epochs=300, batch=128, learning_rate=1e-4, weight_decay=0.0, shift=0, optimizer="adam",
        schedule="plateau", side=32, window_us=25_000.0, provenance=_MA,
    ),
    Recipe(
        "ma-cifar10-dvs-paper", "ma_event", "ma", "code", 20, "cifar10-dvs", "time", "mse-rate",
        {"plan": "cifar10-dvs"}, epochs=300, batch=128, learning_rate=1e-3, weight_decay=0.0, shift=0,
        optimizer="adam", schedule="plateau", window_us=10_000.0, provenance=_MA,
    ),
    *(
        Recipe(
            f"gac-cifar{classes}-paper", "gac_ms_resnet_cifar", "gac", "code", 6, f"cifar{classes}", "direct",
            "cross-entropy", {"T": 6, "classes": classes}, epochs=250, batch=64, learning_rate=0.1, weight_decay=5e-5,
            shift=4, flip=True, cutmix=0.5, optimizer="sgd", schedule="cosine", provenance=_GAC,
        )
        for classes in (10, 100)
    ),
    Recipe(
        "tcja-dvs128-paper", "tcja", "tcja", "published", 20, "dvs128gesture", "count", "mse-rate",
        {"plan": "dvs128"}, epochs=1024, batch=16, learning_rate=1e-3, weight_decay=0.0, shift=0, optimizer="adam",
        schedule="cosine", provenance=_TCJA,
    ),
    Recipe(
        "tcja-cifar10-dvs-paper", "tcja", "tcja", "published", 10, "cifar10-dvs", "count", "cross-entropy",
        {"plan": "cifar10-dvs"}, epochs=1024, batch=16, learning_rate=1e-3, weight_decay=0.0, shift=5, flip=True,
        optimizer="adam", schedule="cosine", provenance=_TCJA,
    ),
    Recipe(
        "tcja-cifar10-dvs-tet-paper", "tcja", "tcja", "published", 10, "cifar10-dvs", "count", "tet",
        {"plan": "cifar10-dvs-tet"}, epochs=1024, batch=64, learning_rate=1e-3, weight_decay=0.0, shift=5, flip=True,
        optimizer="adam", schedule="cosine", side=48, provenance=_TCJA,
    ),
    *(
        Recipe(
            f"staa-cifar{classes}-paper", "staa_resnet", "staa", "reconstruction", 4, f"cifar{classes}", "direct",
            "cross-entropy", {"depth": 19, "T": 4, "classes": classes}, epochs=600, batch=128, learning_rate=0.1,
            weight_decay=5e-5, shift=4, flip=True, cutout=16, optimizer="sgd", schedule="cosine", provenance=_STAA,
        )
        for classes in (10, 100)
    ),
    Recipe(
        "staa-cifar10-dvs-paper", "staa_resnet", "staa", "reconstruction", 10, "cifar10-dvs", "count",
        "cross-entropy", {"depth": 20, "T": 10, "side": 64, "in_channels": 2}, epochs=500, batch=32,
        learning_rate=0.02, weight_decay=5e-5, shift=0, optimizer="sgd", schedule="cosine", side=64, provenance=_STAA,
    ),
)  # fmt: skip
