"""The workloads are the published ones, our counter agrees with theirs, and a missing simulator is a row, not an error."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benchmarks.peers import __main__ as peers
from benchmarks.peers import environments
from benchmarks.peers.catalogue import EVEN_SPIKES, PEERS, SANAFE_COUNTS
from benchmarks.peers.compare import compare, write
from benchmarks.peers.environments import Environment, Missing
from benchmarks.workloads import WORKLOADS, Workload, count_sops, float_trains, workload

from spikewright import hw_sim

pytestmark = pytest.mark.slow

NUMBERS = {  # sha256 over the source spikes and every layer's (targets, sources) weights, from the generator as first published
    "fc10": "5bd847deaac74100",
    "fc100": "ecaefe43761118d9",
    "conv_s2": "1dae791fcfa53636",
}


def digest(given: Workload) -> str:
    """Return a hash of all numbers of a workload."""
    found = hashlib.sha256(np.packbits(given.x.ravel() > 0).tobytes())
    for layer, matrix in zip(given.layers, given.matrices, strict=True):
        found.update(np.ascontiguousarray(matrix.toarray(), np.int32).tobytes() + str(layer.threshold).encode())
    return found.hexdigest()[:16]


def peer(name: str) -> peers.Peer:
    """Return a peer of the catalogue."""
    return next(p for p in PEERS if p.name == name)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_workloads_numbers_never_change(name: str) -> None:
    assert digest(workload(name)) == NUMBERS[name]


@pytest.mark.parametrize("name", SANAFE_COUNTS)
def test_integer_dynamics_give_the_sops_of_sanafe(name: str) -> None:
    given = workload(name)
    trace = hw_sim.simulate(given.program("one_late"), {"in": given.x[:, None]})
    assert (int(trace.sops.sum()),) == SANAFE_COUNTS[name]


@pytest.mark.parametrize("name", EVEN_SPIKES)
def test_even_weights_give_the_spikes_of_lava_and_brian2_loihi(name: str) -> None:
    given = workload(name, even=True)
    trace = hw_sim.simulate(given.program("at_once"), {"in": given.x[:, None]})
    assert tuple(trace.populations[layer.name].spikes for layer in given.layers) == EVEN_SPIKES[name]


@pytest.mark.parametrize(
    ("name", "delay", "sops"),
    [
        ("fc10", 1, [1_069_668, 608_745]),
        ("conv_s2", 0, [363_888, 1_783_616, 43_260]),
        ("conv_s2", 1, [363_888, 1_763_296, 42_290]),
    ],
)
def test_the_counter_fed_with_the_float_oracles_spikes_gives_its_count(name: str, delay: int, sops: list[int]) -> None:
    given = workload(name)
    trains = float_trains(given, delay)
    heard = [trains[0]] + [np.concatenate([0 * t[:delay], t[: len(t) - delay]]) for t in trains[1:]]
    assert count_sops(given, heard) == sops


def test_spike_trains_that_differ_in_one_spike_are_not_exact(tmp_path: Path) -> None:
    given, file = workload("fc10", even=True), tmp_path / "trains.npz"
    trace = hw_sim.simulate(given.program("at_once"), {"in": given.x[:, None]}, record=True)
    trains = [trace.spikes[layer.name].reshape(100, -1) for layer in given.layers]
    np.savez(file, *trains)
    assert compare(peer("lava"), given, {}, file)[0]
    trains[1][50, 3] ^= 1
    np.savez(file, *trains)
    assert not compare(peer("lava"), given, {}, file)[0]


def test_one_sop_more_is_not_exact(tmp_path: Path) -> None:
    given = workload("conv_s2")
    assert compare(peer("sanafe"), given, {"sops": 2_169_042}, tmp_path)[0]
    assert not compare(peer("sanafe"), given, {"sops": 2_169_043}, tmp_path)[0]


def test_the_file_of_a_workload_holds_all_weights(tmp_path: Path) -> None:
    for name in WORKLOADS:
        given = workload(name)
        write(given, tmp_path / "w.npz")
        with np.load(tmp_path / "w.npz") as file:
            sizes = [file[f"weight{k}"].size for k in range(int(file["layers"]))]
        assert sizes == [matrix.nnz for matrix in given.matrices]


def test_a_simulator_that_cannot_be_installed_is_a_row_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(words: list[str], **_: object) -> SimpleNamespace:
        failed = "pip" in words
        return SimpleNamespace(returncode=int(failed), stdout="", stderr="ERROR: No matching distribution found\n")

    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(peers, "OUT", tmp_path / "peers.json")
    monkeypatch.setattr(environments.subprocess, "run", refuse)

    assert isinstance(environments.interpreter(Environment("sanafe", ("sanafe==0",))), Missing)
    assert peers.main(["--workloads", "fc10", "--peers", "sanafe", "--json"]) == 0

    (row,) = json.loads(capsys.readouterr().out)
    assert (row["workload"], row["peer"], row["ratio"], row["exact"]) == ("fc10", "sanafe", None, None)
    assert "No matching distribution" in row["note"]
    assert json.loads((tmp_path / "peers.json").read_text()) == [row]


def test_one_row_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "OUT", tmp_path / "peers.json")
    assert peers.main(["--workloads", "conv_s2", "--peers", "float-oracle", "--turns", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["exact"] is True
    assert row["ratio"] == pytest.approx(row["ours_steps_per_s"] / row["peer_steps_per_s"], rel=0.01)
    assert row["ours_rss_mib"] > 20
    assert row["peer_rss_mib"] > 20


def test_a_simulator_that_dies_is_a_row_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = peers.Peer(
        "float-oracle", Environment(), "run_float.py", {"fc10": 100}, ("no-such-net", "0", "x"), "counter"
    )
    row = peers.measure("fc10", broken, 1)
    assert row.ratio is None
    assert row.note == "did not run: KeyError: 'no-such-net'"
