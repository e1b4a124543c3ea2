"""Capture a torch module as a NIR graph: trace, convert op by op, write, read back, and compare spike by spike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from spikewright.export.foreign import door
from spikewright.export.torch_to_nir.convert import convert
from spikewright.export.torch_to_nir.golden import check
from spikewright.hw_sim.errors import SpikewrightError
from spikewright.toolchain.errors import ImportingError
from spikewright.toolchain.nirx.metadata import positive_number

KEPT = (torch.uint8, torch.float32, torch.float64)
"""Number types that an example stays in; of others it is float64."""
DT_S = 1e-3
"""Timestep written for a torch net, whose time is in steps, in s: the time constants scale with it, the net does not."""
TIED = (
    "a membrane meets its threshold but for rounding, and the module's order of summing decides; the net that is deployed may "
    "fire otherwise there"
)
"""What is said of such spikes."""


def capture(
    module: nn.Module, example_input: Tensor, *, dt_s: float = DT_S, name: str = "net", layout: str | None = None
) -> nir.NIRGraph:
    """Capture a module as a NIR graph, proven equal on the example.

    Understood are the modules of ``models`` (layers, neurons, attention), any module that declares the ``kind`` of a
    registered attention block, torch's Conv2d, Linear, BatchNorm1d/2d, AvgPool2d, AdaptiveAvgPool2d, MaxPool2d, Flatten,
    Dropout, Identity and Sequential, the foreign classes of ``spikewright.export.foreign.tables()``, sums, moves of axes, loops
    over T, means over H and W, votes, and the mean over T as the read-out (without it, the answer is the mean over T all the
    same).

    Args:
        module: A net with the answer (B, K) or (T, B, K); it is left as it is, and captured in evaluation mode.
        example_input: Its input, e.g. a few samples; the graph is for this T and this shape.
        dt_s: Length of one timestep in s.
        name: What to call the net in error messages.
        layout: "TB" (T, B, ...), "BT" (B, T, ...), "S" (T, B, ...) of a net that takes one step a call, "B" one frame that
            the net repeats T times, "N" (B T, ...); None: found by looking.

    Returns:
        The graph, with dt, timesteps and read-out in its metadata, what was assumed ("assumed"), and where the module, run as
        it is, answers otherwise ("unlike").

    Raises:
        UnsupportedNodeError: An op or module that has no meaning in NIR; the source line is named.
        ImportingError: The example does not fit, or fits several layouts alike, a parameter is not finite, or the captured
            graph computes something else.
    """
    return capture_of(module, example_input, dt_s=dt_s, name=name, layout=layout).graph


@dataclass(frozen=True, eq=False)
class Captured:
    """What a capture found.

    Args:
        graph: As ``capture`` returns it.
        example: The example as the graph takes it, (T, B, ...), all samples.
        compared: On so many of them, the first, the graph was proven equal: what ``door.CAPTURED_BYTES`` allow.
    """

    graph: nir.NIRGraph
    example: NDArray[Any]
    compared: int


def capture_of(
    module: nn.Module, example_input: Tensor, *, dt_s: float = DT_S, name: str = "net", layout: str | None = None
) -> Captured:
    """Capture a module as ``capture`` does, and say on what.

    Raises:
        SpikewrightError: As ``capture``.
    """
    positive_number(dt_s, "dt", name)
    example = _checked(example_input, name)
    _check_finite(module, name)
    fitting: list[tuple[door.Opened, nir.NIRGraph, int]] = []
    errors: list[SpikewrightError] = []
    for opened in door.openings(module, example, name, layout):
        try:
            with torch.no_grad():
                graph, names = convert(opened.module, opened.traced, dt_s=dt_s, where=name)
                ties = check(graph, opened.traced, names, name, opened.more)
        except SpikewrightError as error:
            errors.append(error)
        else:
            fitting.append((opened, graph, ties))
    if not fitting:
        raise errors[0]
    if len(fitting) > 1:
        raise door.ambiguous([opened for opened, *_ in fitting], example, name)
    ((opened, graph, ties),) = fitting
    notes = [*opened.notes]
    if ties:
        notes.append(f"{ties} spikes of {name} are ties: {TIED}")
    if notes:
        graph.metadata["assumed"] = "\n".join(notes)
    if opened.losses:
        graph.metadata["unlike"] = "\n".join(opened.losses)
    return Captured(graph, opened.example.numpy(), int(opened.traced.example.shape[1]))


def _checked(example: Tensor, name: str) -> Tensor:
    help = "give a few samples as a float tensor (T, B, C, H, W) or (T, B, N) with T and B at least 1"
    if not isinstance(example, torch.Tensor | np.ndarray):
        raise ImportingError(f"the example is a {type(example).__name__}", where=name, help=help)
    if isinstance(example, torch.Tensor) and (odd := _odd(example)):
        raise ImportingError(f"the example is {odd}", where=name, help=help)
    try:
        tensor = torch.as_tensor(example).detach().cpu()
        tensor = tensor if tensor.dtype in KEPT else tensor.double()
    except TypeError as error:  # a numpy array of texts, objects or dates
        raise ImportingError(f"the example holds no numbers ({error})", where=name, help=help) from error
    if tensor.ndim < 2 or tensor.shape[0] < 1 or min(tensor.shape) < 1:
        raise ImportingError(
            f"the example has shape {tuple(tensor.shape)}; expected (T, B, ...), none of them 0", where=name, help=help
        )
    if not torch.isfinite(tensor).all():
        raise ImportingError("the example holds values that are not finite", where=name, help=help)
    return tensor


def _odd(tensor: Tensor) -> str:
    """Return in words what makes a tensor none of plain real numbers; "" where nothing does."""
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        return "not made yet (a lazy layer: run the net once before)"
    kinds = {
        "a nested tensor": tensor.is_nested,
        "a sparse tensor": tensor.layout != torch.strided,
        "a quantized tensor": tensor.is_quantized,
        "a tensor without data (on the device meta)": tensor.is_meta,
        "a tensor of complex numbers": tensor.is_complex(),
    }
    return next((kind for kind, is_so in kinds.items() if is_so), "")


def _check_finite(module: nn.Module, name: str) -> None:
    for key, value in (*module.named_parameters(), *module.named_buffers()):
        if odd := _odd(value):
            help = "make it plain, as with .to_dense(), .dequantize() or .cpu(), and load its weights"
            raise ImportingError(f"{key} is {odd}", where=name, help=help)
        if value.is_floating_point() and not torch.isfinite(value).all():
            bad = int((~torch.isfinite(value)).sum())
            raise ImportingError(
                f"{key} holds {bad} values that are not finite (NaN or infinite), of {value.numel()}",
                where=name,
                help="train the net again; all weights must be finite",
            )
