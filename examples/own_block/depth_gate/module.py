"""DepthGate in torch: a causal gate per channel, from the neuron's own spikes; its equation stands in ``block``."""

import torch
from torch import Tensor, nn

from spikewright.models.layers import Conv2d, Flatten, Linear, MeanOverTime
from spikewright.models.neurons import LIF


class DepthGate(nn.Module):
    """Current (T, B, C, H, W) to spikes. ``kind``, ``options`` and ``neuron`` are all that capture asks for."""

    kind = "depth-gate"

    def __init__(self, neuron: LIF, timesteps: int, channels: int, delay: int = 2) -> None:
        super().__init__()
        self.neuron, self.timesteps, self.delay = neuron, timesteps, delay
        self.weight = nn.Parameter(-20 * torch.rand(channels))
        self.bias = nn.Parameter(torch.ones(channels))

    def options(self) -> dict[str, int | str]:
        """Return the options of the block."""
        return {"gate": "hard", "gate_delay": self.delay}

    def forward(self, current: Tensor) -> Tensor:
        """Return the spikes."""
        v, gates, spikes = None, [], []
        count = torch.zeros_like(current[0, :, :, 0, 0])
        for t, x in enumerate(current):
            gain = gates[t - self.delay] if t >= self.delay else torch.ones_like(count)
            s, v = self.neuron.fire(self.neuron.integrate(v, gain[:, :, None, None] * x))
            count = count + s.mean((2, 3)) / self.timesteps
            gates.append(((self.weight * count + self.bias) / 4 + 0.5).clamp(0, 1))
            spikes.append(s)
        return torch.stack(spikes)


def make() -> tuple[nn.Module, Tensor]:
    """Return a net with the block, and an example input: what ``spikewright deploy .../module.py:make`` captures."""
    torch.manual_seed(0)
    net = nn.Sequential(
        Conv2d(2, 4, 3, padding=1),
        DepthGate(LIF(0.5, 0.3), 8, 4),
        Flatten(),
        Linear(4 * 36, 3),
        LIF(0.5, 0.3),
        MeanOverTime(),
    )
    return net, (torch.rand(8, 4, 2, 6, 6) < 0.4).float()
