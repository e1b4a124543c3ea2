"""One attention node to its op."""

from __future__ import annotations

import numpy as np

from spikewright.toolchain import nirx, ops
from spikewright.toolchain.from_nir.neurons import Place, lif
from spikewright.toolchain.ops import Array, Op


def attention(node: nirx.AttentiveLif | nirx.GatedCoding | nirx.JointGate | nirx.StaaLif, at: Place) -> Op:
    """Return the op of an attention node; it holds the neuron, if it has one, under a name of its own."""
    parameters: dict[str, Array] = {name: np.asarray(p, np.float64) for name, p in node.parameters.items()}
    if isinstance(node, nirx.JointGate):
        return ops.JointGate(
            name=at.name,
            inputs=at.inputs,
            shape=at.shape,
            dims=node.dims,
            variant=node.variant,
            timesteps=node.timesteps,
            parameters=parameters,
            gate=node.gate,
            gate_delay=node.gate_delay,
            memory=node.memory,
            decay=node.decay,
        )
    inner = lif(node.neuron, Place(f"{at.name}.neuron", (), at.shape, at.dt_s, at.where))
    match node:
        case nirx.GatedCoding():
            return ops.GatedCoding(
                name=at.name,
                inputs=at.inputs,
                neuron=inner,
                timesteps=node.timesteps,
                parameters=parameters,
                gate=node.gate,
            )
        case nirx.StaaLif():
            return ops.StaaLif(
                name=at.name,
                inputs=at.inputs,
                neuron=inner,
                variant=node.variant,
                timesteps=node.timesteps,
                parameters=parameters,
                gate=node.gate,
                gate_delay=node.gate_delay,
                decay=node.decay,
            )
        case _:
            return ops.AttentiveLif(
                name=at.name,
                inputs=at.inputs,
                neuron=inner,
                dims=node.dims,
                variant=node.variant,
                timesteps=node.timesteps,
                parameters=parameters,
                gate=node.gate,
                gate_delay=node.gate_delay,
                decay=node.decay,
            )
