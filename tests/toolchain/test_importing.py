"""A model by its spec: the importer of its kind is asked, and an unknown one is refused with what would be understood."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

from spikewright.toolchain import nirx
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.importing import Imported, import_nir, importers, load_model


def plain(**metadata: object) -> nir.NIRGraph:
    nodes = {"input": nir.Input(np.array([2])), "s": nir.Scale(np.ones(2)), "output": nir.Output(np.array([2]))}
    return nir.NIRGraph(nodes, [("input", "s"), ("s", "output")], metadata=dict(metadata), type_check=False)


def test_a_nir_file_brings_its_name_dataset_and_card(tmp_path: Path) -> None:
    nirx.write(tmp_path / "net.nir", plain(dt=1e-3, dataset="digits", card='{"accuracy": 0.98}'))

    found = load_model(str(tmp_path / "net.nir"))

    assert (found.name, found.dataset, found.card) == ("net", "digits", {"accuracy": 0.98})
    assert [text for text in found.assumed(dt_s=None, reading=None) if "dt" in text.what] == []


def test_a_foreign_nir_file_has_neither_card_nor_dt(tmp_path: Path) -> None:
    nirx.write(tmp_path / "net.nir", plain())

    found = load_model(str(tmp_path / "net.nir"))

    assert (found.dataset, found.card) == (None, {})
    assert found.assumed(dt_s=None, reading=None)[0].what == "dt 0.0001 s (--dt)"


def test_a_card_that_is_not_json_is_refused(tmp_path: Path) -> None:
    nirx.write(tmp_path / "net.nir", plain(card="{"))

    with pytest.raises(ImportingError, match="metadata card is not JSON"):
        load_model(str(tmp_path / "net.nir"))


def test_only_the_importer_of_the_kind_is_asked() -> None:
    asked: list[str] = []

    def importer(kind: str) -> object:
        def run(spec: str) -> Imported | None:
            asked.append(kind)
            return Imported(plain(), spec) if kind in spec or kind == "checkpoint" else None

        return run

    known = {kind: importer(kind) for kind in ("checkpoint", "factory", "net", "nir")}

    assert load_model("a/net.py:make_factory", known).name == "a/net.py:make_factory"
    assert load_model("x.net", known).name == "x.net"
    assert load_model("x.safetensors", known).name == "x.safetensors"
    assert asked == ["factory", "net", "checkpoint"]
    assert load_model("ma-digits", known).name == "ma-digits"


@pytest.mark.parametrize(
    ("spec", "message", "help"),
    [
        ("nope", "no such model; a model is a zoo name", "spikewright"),
        ("net.py", "a Python file without a factory", "net.py:NAME"),
        ("x.net", "netx .net files", ""),
        ("x.safetensors", "needs torch's side of spikewright", "pip install"),
        ("x.py:make", "needs torch's side of spikewright", "pip install"),
    ],
)
def test_what_no_importer_takes_is_refused(spec: str, message: str, help: str) -> None:
    with pytest.raises(ImportingError, match=message) as caught:
        load_model(spec, {"nir": import_nir})

    assert caught.value.where == spec
    assert help in caught.value.help


def test_the_nir_importer_is_always_there() -> None:
    assert importers()["nir"] is import_nir
