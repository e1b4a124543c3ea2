"""Deployment: a compiled net with everything needed to run, check and report it; what the bundle on disk holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import nir
import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import Chip, Program
from spikewright.toolchain.backends import IntArray
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.int_ops import IntInput, IntOutput
from spikewright.toolchain.interpret import answer, run_float
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Input
from spikewright.toolchain.passes.lower_gates import Strategy
from spikewright.toolchain.passes.quantize import InputCode
from spikewright.toolchain.passes.split_host import HostPart

CHUNK = 32
"""Samples interpreted at once (memory)."""


@dataclass(frozen=True)
class Options:
    """What ``spikewright deploy`` was asked for."""

    chip: str = "loihi2"
    gates: Strategy = "auto"
    tolerance: float = 0.01
    timesteps: int | None = None
    dt_s: float | None = None
    weight_bits: int = 8
    payload_bits: int = 8
    seed: int = 0
    mapping: Literal["greedy", "balanced", "vendor"] = "balanced"


@dataclass(frozen=True, eq=False)
class Samples:
    """Data in the net's own coding: ``x`` (T, N, *shape) float32, ``y`` (N,) class numbers or None.

    ``simulated``: events made from still images, and called so wherever they are shown. ``split`` and ``total`` say where
    samples of a data set come from, and how many that split holds.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64] | None
    dataset: str
    simulated: bool = False
    split: str = ""
    total: int | None = None

    def __len__(self) -> int:
        return int(self.x.shape[1])

    @property
    def source(self) -> str:
        """Say where they come from: "1,000 of the 10,000 test samples of fashion-mnist"."""
        if self.total is None:
            return f"{len(self):,} samples of {self.dataset}"
        count = f"all {self.total:,}" if len(self) == self.total else f"{len(self):,} of the {self.total:,}"
        return f"{count} {self.split} samples of {self.dataset}"


@dataclass(frozen=True)
class PassRecord:
    """What one pass did: ops before and after, the largest change of the answer on the golden input, and by what check."""

    name: str
    ops_before: int
    ops_after: int
    answer_error: float
    check: str


@dataclass(frozen=True, eq=False)
class Drift:
    """What quantizing changed on calibration data, integer against float.

    Args:
        spike_mismatch: Per neuron op, the share of (step, sample, neuron) whose spike differs.
        agreement: Share of samples with the same class.
        answer_error: Mean absolute difference of the answers, in the net's units.
    """

    spike_mismatch: dict[str, float]
    agreement: float
    answer_error: float


@dataclass(frozen=True, eq=False)
class Deployment:
    """A compiled net.

    Args:
        name: Name of the model.
        captured: The float graph as captured or imported.
        lowered: The float graph on the chip, after all float passes (what ``run --numbers float`` computes, behind the host).
        integer: The integer graph: what every backend computes bit for bit.
        host: The encoder in front of the first spike, or None.
        program: The mapped program.
        chip: The target.
        options: As asked for.
        strategies: Gate lowering used, per attention block.
        input: How the chip's input is coded.
        card: The model card (accuracy, dataset, family, variant, provenance, ...), maybe empty.
        passes: What each pass did.
        drift: What quantizing changed.
        samples: Test samples that travel with the bundle, or None.
        calibrated: The data that decided ranges, in words.
        source: The NIR graph the model came as, or None for a bundle read back.
    """

    name: str
    captured: Graph
    lowered: Graph
    integer: Graph
    host: HostPart | None
    program: Program
    chip: Chip
    options: Options
    strategies: dict[str, str]
    input: InputCode
    card: dict[str, Any] = field(default_factory=dict)
    passes: tuple[PassRecord, ...] = ()
    drift: Drift | None = None
    samples: Samples | None = None
    source: nir.NIRGraph | None = None
    calibrated: str = ""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one frame of the net's input."""
        return next(op.shape for op in self.captured if isinstance(op, Input))

    @property
    def answer_scale(self) -> float:
        """What one unit of the integer answer is worth in the net's units."""
        return next(op.scale for op in self.integer if isinstance(op, IntOutput))

    def check_input(self, x: NDArray[Any]) -> NDArray[Any]:
        """Refuse data of the wrong shape, length or with values that are not finite.

        Args:
            x: (T, B, *shape), the net's own coding.

        Raises:
            InputError: With what was found and what is allowed.
        """
        T, shape = self.captured.timesteps, self.input_shape
        if x.ndim != len(shape) + 2 or tuple(x.shape[2:]) != shape or x.shape[0] != T:
            wanted = ", ".join(map(str, shape))
            raise InputError(
                f"x has shape {tuple(x.shape)}; the net takes ({T}, samples, {wanted})",
                where="input",
                help="arrange the data as (T, B, C, H, W) with the T the net was trained for",
            )
        if x.shape[1] == 0:
            raise InputError("x holds no samples", where="input", help="give at least one sample")
        if not np.isfinite(x).all():
            raise InputError(
                "x holds values that are not finite (NaN or infinity)", where="input", help="clean the data"
            )
        return x

    def encode(self, x: NDArray[Any], *, compact: bool = False) -> IntArray:
        """Return the chip's integer payloads for data in the net's own coding, both (T, B, *shape).

        The host part is evaluated in float64 and rounded once, so that all backends see the same integers.

        Args:
            x: The data.
            compact: Hold them in the smallest type, where there are many; backends take any.

        Raises:
            InputError: The data does not fit the net or its coding.
        """
        x = self.check_input(np.asarray(x))
        source = next(op for op in self.integer if isinstance(op, IntInput))
        small = np.uint8 if source.payload_bits <= 8 and not source.signed else np.int32
        parts = range(0, x.shape[1], CHUNK)
        kind = small if compact else np.int64
        made = (encode(self.host, self.integer, x[:, i : i + CHUNK]).astype(kind) for i in parts)
        return np.concatenate(list(made), axis=1)

    def run_float(self, x: NDArray[Any]) -> Array:
        """Return the float net's answer (B, n) for data in its own coding."""
        return answer(self.captured, run_float(self.captured, self.check_input(np.asarray(x))))


def encode(host: HostPart | None, integer: Graph, x: NDArray[Any]) -> IntArray:
    """Return integer payloads; see ``Deployment.encode``."""
    source = next(op for op in integer if isinstance(op, IntInput))
    real = np.asarray(x, np.float64) if host is None else run_float(host.graph, x)[host.boundary]
    payload = np.round(real / source.scale)
    if host is None and np.abs(payload * source.scale - real).max(initial=0.0) > 1e-6:
        raise InputError(
            "x holds values between the levels of the input's coding, which is "
            + ("binary spikes" if source.payload_bits == 1 else f"whole numbers below {1 << source.payload_bits}"),
            where="input",
            help="encode the data as the model card says",
        )
    low, high = (-(1 << source.payload_bits) if source.signed else 0), (1 << source.payload_bits) - 1
    if payload.size and (payload.min() < low or payload.max() > high):
        raise InputError(
            f"payloads run from {payload.min():.0f} to {payload.max():.0f}; {source.payload_bits} bits hold {low} .. {high}",
            where="input",
            help="deploy again with calibration data that covers this range (--calibrate)",
        )
    return payload.astype(np.int64)
