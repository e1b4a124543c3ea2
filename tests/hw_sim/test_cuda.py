"""The CUDA path gives the processor's integers: in numba's CUDA simulator everywhere, on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli
from hw_random import random_program
from numba import cuda
from tiny import tiny_bundle

from spikewright.hw_sim import ProgramError, compile, simulate
from spikewright.hw_sim.engine import run as engine_run

HERE = Path(__file__).parent
SIMULATED = range(40)
"""Seeds of programs with every synapse format, 32 and 64 bits, gates, refractory neurons, wraps and clips."""


def same(found: object, expected: object, where: str) -> None:
    """Assert that two traces, or parts of them, are equal to the last bit."""
    assert type(found) is type(expected), where
    if is_dataclass(expected):
        for field in fields(expected):
            same(getattr(found, field.name), getattr(expected, field.name), f"{where}.{field.name}")
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            same(found[key], expected[key], f"{where}[{key}]")
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype, where
        np.testing.assert_array_equal(found, expected, err_msg=where)
    else:
        assert found == expected, where


def check(seeds: range) -> None:
    """Compare whole traces, then again in blocks of a few timesteps of one sample."""
    from spikewright.hw_sim.engine.cuda import Cuda

    seen = set()
    wraps = clips = 0
    for seed in seeds:
        program, inputs = random_program(seed)
        compiled = compile(program)
        on_host = simulate(compiled, inputs, record=True)
        same(simulate(compiled, inputs, record=True, device="cuda"), on_host, f"seed {seed}")
        for name in Cuda(compiled).names:
            stage = compiled.stages[name]
            seen |= {(type(i.synapses).__name__, stage.word.__name__) for i in stage.inputs}
            seen |= {f"{len(stage.gates)} gates"} | ({"refractory"} if stage.population.soma.refractory > 1 else set())
            wraps += on_host.populations[name].wraps
            clips += on_host.populations[name].clips
    kinds = {(k, w) for k in ("ConvKernel", "DenseRows", "SparseLists") for w in ("int32", "int64")}
    kinds |= {("Diagonal", "int32")}  # 64 bits hardly ever come from one synapse a neuron
    assert seen >= kinds | {"1 gates", "2 gates", "refractory"}, sorted(map(str, seen))
    assert wraps > 0
    assert clips > 0


def check_in_blocks(seeds: range) -> None:
    """Compare with blocks of one sample and of as few timesteps as possible: state travels from block to block."""
    whole = [simulate(*random_program(seed), record=True) for seed in seeds]
    engine_run.BLOCK_BYTES = 1
    for seed, expected in zip(seeds, whole, strict=True):
        same(simulate(*random_program(seed), record=True, device="cuda"), expected, f"seed {seed} in blocks")


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [f"check(range(0, {SIMULATED.stop}))", pytest.param("check_in_blocks(range(0, 12))", marks=pytest.mark.weekly)],
)
def test_cuda_gives_the_same_integers_in_the_simulator(call: str) -> None:
    paths = (HERE.parents[1], HERE.parent / "support", HERE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import test_cuda; test_cuda.{call}"],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr


def test_cuda_gives_the_same_integers_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    if not cuda.is_available():
        pytest.skip("no GPU that numba.cuda finds")
    monkeypatch.setattr(engine_run, "BLOCK_BYTES", engine_run.BLOCK_BYTES)  # put back after the blocks

    check(range(200))
    check_in_blocks(range(100))


def test_without_a_gpu_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    program, inputs = random_program(0)

    with pytest.raises(ProgramError) as refusal:
        simulate(program, inputs, device="cuda")

    assert str(refusal.value) == (
        "simulate: device 'cuda': numba finds no CUDA device\n"
        "  help: install a CUDA driver and the extra spikewright[cuda], or use device='cpu'"
    )


def test_the_command_line_refuses_cuda_without_a_gpu(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    cli, folder = Cli(capsys), tiny_bundle(tmp_path / "bundle")
    np.savez(tmp_path / "x.npz", x=np.zeros((5, 3, 2, 4, 4)))
    words = ("run", folder, "--input", tmp_path / "x.npz", "--device", "cuda")

    assert "numba finds no CUDA device" in cli.refused(*words)
    assert "backend 'interpreter' has no option 'device'" in cli.refused(*words, "--backend", "interpreter")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ProgramError, match="device 'tpu'; allowed: cpu, cuda"):
        simulate(*random_program(0), device="tpu")
