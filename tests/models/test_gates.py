"""The gate functions: their values, their ties, and that the coarse ones can be trained."""

from __future__ import annotations

import pytest
import torch

from spikewright.models.attention.gates import GATES, apply_gate, check_gate
from spikewright.models.errors import ModelError

SCORES = [-3.0, -2.0, -1.5, 0.0, 0.5, 1.0, 2.0, 5.0]
VALUES = {
    "sigmoid": [0.04742587, 0.11920292, 0.18242552, 0.5, 0.62245933, 0.73105858, 0.88079708, 0.99330715],
    "hard": [0.0, 0.0, 0.125, 0.5, 0.625, 0.75, 1.0, 1.0],
    "pow2": [0.0, 0.0, 0.125, 0.5, 0.5, 1.0, 1.0, 1.0],
    "binary": [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0],
}


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_has_its_values_and_a_gradient_in_the_middle(gate: str) -> None:
    x = torch.tensor(SCORES, dtype=torch.float64, requires_grad=True)

    y = apply_gate(gate, x)
    y.sum().backward()

    torch.testing.assert_close(y.detach(), torch.tensor(VALUES[gate], dtype=torch.float64), rtol=0, atol=1e-8)
    assert x.grad is not None
    assert x.grad[3].item() == pytest.approx(0.25)


def test_pow2_takes_the_nearest_level_and_a_tie_upward() -> None:
    for middle, low, high in ((0.0625, 0.0, 0.125), (0.1875, 0.125, 0.25), (0.375, 0.25, 0.5), (0.75, 0.5, 1.0)):
        scores = (torch.tensor([middle - 1e-6, middle], dtype=torch.float64) - 0.5) * 4.0

        torch.testing.assert_close(apply_gate("pow2", scores), torch.tensor([low, high], dtype=torch.float64))


def test_an_unknown_gate_is_refused() -> None:
    with pytest.raises(ModelError, match="gate 'softmax'; allowed are sigmoid, hard, pow2, binary"):
        check_gate("softmax", "MALIF")
