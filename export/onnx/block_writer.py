"""What an attention block writes itself with: ``toolchain.attention_block.Operators``, in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from spikewright.export.onnx.operators import fire, neuron_step, states_of
from spikewright.export.onnx.writer import Step, Writer
from spikewright.toolchain.ops import Array, Lif, Shape


class BlockWriter(Writer):
    """A writer that knows neurons."""

    def steps(
        self,
        states: Sequence[tuple[Array, Shape]],
        inputs: Sequence[tuple[str, Shape]],
        step: Step,
        outputs: int = 1,
    ) -> list[str]:
        """Advance from states (first value, shape), step by step; return what the steps give, each (T, B, ...)."""
        first = [(self.full(value, (), shape), shape) for value, shape in states]
        return self.scan(first, inputs, step, [self.unique(f"{self._owner}.steps") for _ in range(outputs)])

    def states(self, neuron: Lif) -> list[tuple[Array, Shape]]:
        """Return first value and shape of a neuron's states, the membrane first."""
        return [(value, neuron.shape) for value in states_of(neuron).values()]

    def neuron(self, neuron: Lif, current: str, states: list[str]) -> tuple[str, list[str]]:
        """Write one step of the block's neuron; return its spikes and its states after the step."""
        return neuron_step(self, neuron, [current], [neuron.shape], states, "neuron/")

    def fire(self, neuron: Lif, v: str, states: list[str]) -> tuple[str, list[str]]:
        """Write spikes and reset of the block's neuron, whose membrane has integrated to ``v``."""
        return fire(self, neuron, v, states, "neuron/")

    def lif(self, neuron: Lif, current: str) -> str:
        """Run the block's neuron over a current (T or 1, B, *shape); return its spikes."""
        current = self.every(current, neuron.shape)

        def step(states: list[str], inputs: list[str]) -> tuple[list[str], list[str]]:
            spikes, after = self.neuron(neuron, inputs[0], states)
            return after, [spikes]

        return self.steps(self.states(neuron), [(current, neuron.shape)], step)[0]

    def same(self, x: str, shape: Shape, kernel: Array, name: str) -> str:
        """Convolve frames with 'same' padding; an even kernel pads less on the left and top."""
        low = [(k - 1) // 2 for k in kernel.shape[2:]]
        high = [k - 1 - before for k, before in zip(kernel.shape[2:], low, strict=True)]
        return self.conv(x, shape, kernel, pads=(low[0], low[1], high[0], high[1]), name=name)
