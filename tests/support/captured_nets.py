"""What the tests of capture share: a net from a function, its input, and the comparison of a net with its graph."""

from __future__ import annotations

import copy
from collections.abc import Callable

import nir
import numpy as np
import torch
from torch import Tensor, nn

from spikewright.export.torch_to_nir import capture
from spikewright.toolchain.from_nir import from_nir
from spikewright.toolchain.interpret import answer, run_float

T, B = 6, 2


class Wrapped(nn.Module):
    """A module whose forward is a function of it."""

    def __init__(self, forward: Callable[..., Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        """Call the function."""
        return self.function(self, x)


def events(*shape: int, seed: int = 0) -> Tensor:
    """Binary input (T, B, *shape)."""
    return (torch.rand(T, B, *shape, generator=torch.Generator().manual_seed(seed)) > 0.5).float()


def trained(module: nn.Module, x: Tensor) -> nn.Module:
    """Move the batch norms' statistics off their defaults."""
    torch.manual_seed(1)
    module.train()
    for _ in range(3):
        module(x)
    return module.eval()


def agree(module: nn.Module, x: Tensor) -> nir.NIRGraph:
    """Capture on one input; compare the answers on another."""
    graph = capture(module, x)
    other = x[:, torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(2))].flip(-1)
    lowered = from_nir(graph)
    found = answer(lowered, run_float(lowered, other.double().numpy()))
    with torch.no_grad():
        y = copy.deepcopy(module).double().eval()(other.double())
    expected = y if y.ndim == 2 else y.mean(0)
    np.testing.assert_allclose(found, expected.flatten(1).numpy(), atol=1e-9)
    return graph
