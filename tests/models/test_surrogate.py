"""The surrogates' bumps: values written out by hand, area 1, and that the backward pass uses them."""

from __future__ import annotations

import pytest
import torch

from spikewright.models.surrogate import ATan, PiecewiseQuadratic, Rectangular, Surrogate, Triangular, spike

BUMPS: list[tuple[Surrogate, list[float]]] = [
    (Rectangular(0.25, 2.0), [0.0, 2.0, 2.0, 0.0, 0.0]),
    (Rectangular(0.5, 1.0), [0.0, 1.0, 1.0, 0.0, 0.0]),
    (Triangular(1.0), [0.25, 0.9, 1.0, 0.5, 0.0]),
    (ATan(2.0), [0.15263, 0.91017, 1.0, 0.288400, 0.092000]),
    (PiecewiseQuadratic(1.0), [0.25, 0.9, 1.0, 0.5, 0.0]),
]


@pytest.mark.parametrize(("surrogate", "expected"), BUMPS)
def test_the_gradient_of_a_spike_is_the_surrogates_bump(surrogate: Surrogate, expected: list[float]) -> None:
    u = (torch.tensor([-0.75, -0.1, 0.0, 0.5, 1.0], dtype=torch.float64) + 0.3).requires_grad_()

    (3.0 * spike(u, 0.3, strict=False, surrogate=surrogate)).sum().backward()

    torch.testing.assert_close(u.grad, 3.0 * torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("surrogate", [bump for bump, _ in BUMPS])
def test_every_bump_has_area_one(surrogate: Surrogate) -> None:
    x = torch.linspace(-400.0, 400.0, 800_001, dtype=torch.float64)

    assert torch.trapezoid(surrogate.derivative(x), x).item() == pytest.approx(1.0, abs=2e-3)


def test_a_tie_fires_only_where_the_comparison_says_so() -> None:
    u = torch.tensor([0.5, 0.3, 0.1])

    assert spike(u, 0.3, strict=False, surrogate=ATan()).tolist() == [1.0, 1.0, 0.0]
    assert spike(u, 0.5, strict=True, surrogate=ATan()).tolist() == [0.0, 0.0, 0.0]
