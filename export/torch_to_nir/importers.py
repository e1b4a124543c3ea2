"""Importers of what torch made: checkpoints, the zoo's or a user's, factories, modules in memory; torch comes when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import nir

from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.importing import Imported, import_nir, no_layout

EXAMPLES = 4
"""Training samples a checkpoint is captured and compared on."""


class _Checkpoints:
    """Imports a zoo name, or a ``.safetensors`` file; ``data``: folder of the data set it was trained on.

    Raises:
        SpikewrightError: The file is not a whole checkpoint of its net.
    """

    def names(self) -> tuple[str, ...]:
        """Return the names of the zoo."""
        from spikewright.models import zoo

        return zoo.names()

    def __call__(self, model: Any, data: Path | None = None, example: Any = None) -> Imported | None:
        return _checkpoint(model, data) if isinstance(model, str) else None


import_checkpoint = _Checkpoints()


def _checkpoint(spec: str, data: Path | None) -> Imported | None:
    from spikewright.models import zoo

    if spec not in zoo.names() and not spec.endswith(".safetensors"):
        return None
    _need_torch(spec)
    import torch

    from spikewright.export.torch_to_nir.autoencoder import autoencoder_of
    from spikewright.export.torch_to_nir.capture import capture_of
    from spikewright.models import datasets
    from spikewright.models.errors import DatasetError
    from spikewright.models.nets.fsvae import FSVAE
    from spikewright.models.released.example import example

    module, card = zoo.build(spec)
    try:
        x = datasets.load(
            card.dataset, split="train", coding=cast(datasets.Coding, card.coding), timesteps=card.timesteps,
            limit=EXAMPLES, root=data, side=card.side, window_us=card.window_us,
        ).x  # fmt: skip
    except DatasetError:
        if card.source_file is None:
            raise
        x = example(card)  # an author's net: whoever brings it may have its data in files of another form
    if isinstance(module, FSVAE):
        parts = autoencoder_of(module, x.astype("float64"), name=card.name)
        note = f"taken apart from torch: latent spikes and pictures equal on {x.shape[1]} samples, float64"
        return Imported(None, card.name, card.dataset, asdict(card), note, reads_data=True, autoencoder=parts)
    found = capture_of(module, torch.from_numpy(x), name=card.name)
    return _with_card(found.graph, card.name, card.dataset, asdict(card), found.compared)


def import_factory(
    spec: Any, data: Path | None = None, example: Any = None, *, layout: str | None = None
) -> Imported | None:
    """Import ``path/to/file.py:factory``, a module's or a ``nir.NIRGraph``'s; ``data`` is not looked at.

    Raises:
        SpikewrightError: The file, the factory or the net cannot be used.
    """
    path, colon, _ = spec.rpartition(":") if isinstance(spec, str) else ("", "", "")
    if not colon or not path.endswith(".py"):
        return None
    _need_torch(spec)
    from spikewright.export.torch_to_nir.capture import capture_of
    from spikewright.export.torch_to_nir.factory import load_factory

    made = load_factory(spec)
    name = spec.rpartition("/")[2].replace(".py:", "-")
    if isinstance(made, nir.NIRGraph):
        if layout is not None:
            raise no_layout(spec, "a nir.NIRGraph")
        found = import_nir(made)
        return None if found is None else replace(found, name=name)
    module, example = made
    captured = capture_of(module, example, name=name, layout=layout)
    return _with_card(captured.graph, name, None, {}, captured.compared)


def import_module(
    model: Any, data: Path | None = None, example: Any = None, *, layout: str | None = None
) -> Imported | None:
    """Import a ``torch.nn.Module`` in memory, with an example of its input; ``data`` is not looked at.

    Raises:
        SpikewrightError: There is no example, or the net cannot be captured.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        return None
    name = type(model).__name__
    if example is None:
        raise ImportingError(
            "a module says nothing about the shape of its input",
            where=name,
            help="give an example, a few samples (T, B, C, H, W): deploy(module, example)",
        )
    from spikewright.export.torch_to_nir.capture import capture_of

    found = capture_of(model, example, name=name, layout=layout)
    x = found.example.astype("float32", copy=False)
    return replace(_with_card(found.graph, name, None, {}, found.compared), example=x)


def _with_card(graph: Any, name: str, dataset: str | None, card: dict[str, Any], count: int) -> Imported:
    if dataset is not None:
        graph.metadata["dataset"] = dataset
    if card:
        graph.metadata["card"] = json.dumps(card)
    note = f"captured from torch: spikes of every layer equal on {count} samples and on random events, float64"
    told = tuple(_told(graph, name))
    return Imported(graph, name, dataset, card, note, diagnostics=told, reads_data=dataset is not None)


def _told(graph: Any, name: str) -> Iterator[Diagnostic]:
    """Yield what a capture assumed, and where the module itself answers otherwise."""
    for text in str(graph.metadata.get("assumed", "")).splitlines():
        if text:
            yield Diagnostic("capture", name, text, severity="assumption")
    for text in str(graph.metadata.get("unlike", "")).splitlines():
        if text:
            yield Diagnostic(
                "capture-unlike",
                name,
                text,
                "the float64 net is deployed; if this is no rounding, write forward without casts and branches on dtype",
                "note" if "cannot be run" in text else "warning",
            )


def _need_torch(spec: str) -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ImportingError(
            f"torch cannot be imported ({error})", where=spec, help="pip install 'spikewright[models]'"
        ) from error
