"""The demo's files, which serve where torch is not installed, are what the zoo's nets are captured as.

``python tests/toolchain/test_demo.py`` writes them anew. A whole demo without torch runs beside the wheel in ``.ci/run``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import tiny_bundle

from spikewright.toolchain import api, nirx
from spikewright.toolchain.cli import demo, main
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.samples import Samples, read_npz

SHOWN = [(show.net, show.gates, show.net) for show in demo.SHOWS]
SHOWN += [(show.twin, api.Options(), show.net) for show in demo.SHOWS]


def packed(samples: Samples) -> dict[str, NDArray[Any]]:
    """Return samples as a file holds them: one frame of still images, spikes in bytes."""
    assert samples.y is not None
    steps, x = samples.x.shape[0], samples.x
    if (x == x[:1]).all():
        x = x[:1]
    whole = bool((x == np.rint(x)).all())
    return {"x": x.astype(np.uint8) if whole else x, "y": samples.y, "timesteps": np.array(steps)}


def drawn(net: str, options: api.Options) -> dict[str, Samples]:
    """Return the samples that a net of the zoo is deployed with, by split."""
    model = api.read_model(net, options=options)
    assert model.samples is not None
    return {"train": model.calibration(), "test": model.samples()}


def write(net: str, options: api.Options, samples: str, folder: Path) -> None:
    """Write the graph of a net, and its data unless that is its twin's."""
    source = load_model(net).nir_graph
    assert source is not None
    nirx.write(folder / f"{net}.nir", source)
    for split, found in drawn(net, options).items() if net == samples else ():
        np.savez_compressed(folder / f"{net}-{split}.npz", **packed(found))  # type: ignore[arg-type]


def held(path: Path) -> dict[str, Any]:
    """Return every value of an HDF5 file by its name."""
    values: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: values.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return values


@pytest.mark.parametrize(("net", "options", "samples"), SHOWN, ids=[net for net, *_ in SHOWN])
def test_the_demos_files_are_the_zoos_nets(net: str, options: api.Options, samples: str, tmp_path: Path) -> None:
    write(net, options, samples, tmp_path)
    kept, now = held(demo.FILES / f"{net}.nir"), held(tmp_path / f"{net}.nir")
    assert len(now) > 10
    assert set(kept) == set(now)
    for name, value in now.items():
        np.testing.assert_array_equal(kept[name], value, err_msg=name)


@pytest.mark.parametrize("show", demo.SHOWS, ids=lambda show: show.net)
def test_the_demos_digits_are_what_net_and_twin_are_deployed_with(show: demo.Show) -> None:
    for net, options in ((show.net, show.gates), (show.twin, api.Options())):
        for split, found in drawn(net, options).items():
            kept = read_npz(demo.FILES / f"{show.net}-{split}.npz")
            assert kept.y is not None
            assert found.y is not None
            np.testing.assert_array_equal(kept.x, found.x)
            np.testing.assert_array_equal(kept.y, found.y)


@pytest.fixture
def without_lava(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikewright.export.lava.backend.available", lambda: (False, "pip install lava-nc"))


@pytest.mark.usefixtures("without_lava")
def test_a_backend_that_is_not_installed_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.installed() == ["interpreter", "hw_sim"]
    assert "not compared on lava: lava-nc is not installed" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("without_lava")
def test_a_report_asks_for_its_backends_before_it_runs_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny_bundle(tmp_path / "bundle")

    code = main(["report", str(folder), "--backends", "interpreter", "lava", "--html", str(tmp_path / "r.html")])

    assert code == 2
    assert capsys.readouterr().err == "backend 'lava': lava-nc is not installed\n  help: pip install lava-nc\n"
    assert not (tmp_path / "r.html").exists()


if __name__ == "__main__":
    for one in SHOWN:
        write(*one, demo.FILES)
