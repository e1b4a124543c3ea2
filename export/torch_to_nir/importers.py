"""Importers of what torch made: checkpoints, the zoo's or of ``spikewright train``, and factories; torch comes when asked."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from spikewright.export.torch_to_nir.refusal import refuse_autoencoder
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.importing import Imported

EXAMPLES = 4
"""Training samples a checkpoint is captured and compared on."""


def import_checkpoint(spec: str, data: Path | None = None) -> Imported | None:
    """Import a zoo name, or a ``.safetensors`` file; ``data``: folder of the data set it was trained on.

    Raises:
        SpikewrightError: The file is not a whole checkpoint of its net.
    """
    from spikewright.models import zoo

    if spec not in zoo.names() and not spec.endswith(".safetensors"):
        return None
    found = zoo.card(spec)
    refuse_autoencoder(spec, found.net, dict(found.arguments))
    _need_torch(spec)
    import torch

    from spikewright.export.torch_to_nir.capture import capture
    from spikewright.models import datasets

    module, card = zoo.build(spec)
    samples = datasets.load(
        card.dataset, split="train", coding=cast(datasets.Coding, card.coding), timesteps=card.timesteps, limit=EXAMPLES,
        root=data, side=card.side, window_us=card.window_us,
    )  # fmt: skip
    graph = capture(module, torch.from_numpy(samples.x), name=card.name)
    return _with_card(graph, card.name, card.dataset, asdict(card), len(samples.y))


def import_factory(spec: str, data: Path | None = None) -> Imported | None:
    """Import ``path/to/file.py:factory``; ``data`` is not looked at.

    Raises:
        SpikewrightError: The file, the factory or the net cannot be used.
    """
    path, colon, _ = spec.rpartition(":")
    if not colon or not path.endswith(".py"):
        return None
    _need_torch(spec)
    from spikewright.export.torch_to_nir.capture import capture
    from spikewright.export.torch_to_nir.factory import load_factory

    module, example = load_factory(spec)
    name = spec.rpartition("/")[2].replace(".py:", "-")
    graph = capture(module, example, name=name)
    return _with_card(graph, name, None, {}, int(example.shape[1]) if example.ndim > 2 else int(example.shape[0]))


def _with_card(graph: Any, name: str, dataset: str | None, card: dict[str, Any], count: int) -> Imported:
    if dataset is not None:
        graph.metadata["dataset"] = dataset
    if card:
        graph.metadata["card"] = json.dumps(card)
    note = f"captured from torch: spikes of every layer equal on {count} samples and on random events, float64"
    if "assumed" in graph.metadata:
        note += f"; {graph.metadata['assumed']}"
    return Imported(graph, name, dataset, card, note)


def _need_torch(spec: str) -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ImportingError(
            f"torch cannot be imported ({error})", where=spec, help="pip install 'spikewright[models]'"
        ) from error
