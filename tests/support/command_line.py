"""Running the command line in a test, and what it is given: small NIR files and data."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

from spikewright.toolchain.cli import main


class Cli:
    """Runs the command line and checks how it refuses."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err

    def refused(self, *words: object) -> str:
        """Return the error text of a command that must be refused."""
        code, stdout, stderr = self(*words)
        assert code == 2, (stdout, stderr)
        assert stdout == ""
        assert "Traceback" not in stderr
        first, last = stderr.splitlines()[0], stderr.splitlines()[-1]
        assert ": " in first
        assert last.startswith("  help: ")
        return stderr


def linear(weight: float = 1.0, outputs: int = 2) -> nir.NIRGraph:
    """Return a NIR graph of 3 inputs and some spiking outputs."""
    ones = np.ones(outputs)
    return nir.NIRGraph.from_list(
        nir.Input({"input": np.array([3])}),
        nir.Affine(np.full((outputs, 3), weight), 0 * ones),
        nir.LIF(tau=2e-3 * ones, r=ones, v_leak=0 * ones, v_threshold=ones),
        nir.Output({"output": np.array([outputs])}),
    )


def spikes(path: Path, shape: tuple[int, ...] = (4, 6, 3)) -> Path:
    np.savez(path, x=np.ones(shape, np.float32))
    return path


def untouched(out: Path) -> None:
    """Check that nothing was written, not even under a temporary name."""
    assert not out.exists()
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []
