"""Random NIR nets in all shapes of parameters against NIR's equations in plain numpy (``nir_reference``)."""

from __future__ import annotations

import pytest
from nir_reference import compared, random_net


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 340), marks=pytest.mark.slow)])
def test_every_spike_of_random_nets_is_that_of_nirs_equations(seeds: range) -> None:
    found = {seed: compared(seed) for seed in seeds}

    assert {seed: wrong for seed, (_, _, wrong) in found.items() if wrong} == {}
    assert sum(ones > 0 for _, ones, _ in found.values()) > len(seeds) // 2


def test_the_nets_mix_what_they_are_to_mix() -> None:
    nets = [random_net(seed) for seed in range(40)]
    kinds = {type(node).__name__ for net in nets for node in net.nodes}

    assert kinds >= {"Affine", "Conv1d", "Conv2d", "Scale", "Delay", "LIF", "CubaLIF", "IF", "Flatten", "SumPool2d"}
    assert any("g" in name for net in nets for name in (key[0] for key in net.graph().nodes))
    assert any(shape[0] == shape[-1] and len(shape) == 3 for net in nets for shape in net.shapes)
