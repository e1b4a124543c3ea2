"""Short forms for integer graphs made by hand: one function a soma or synapse kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import (
    ConvSynapses,
    DeltaRelu,
    DenseSynapses,
    Gate,
    GateLink,
    GateTable,
    IdentitySynapses,
    Lif,
    Source,
    Synapses,
    TransposedConvSynapses,
)
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, lif
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op

Ints = NDArray[np.int64]
ZERO = np.zeros(1, np.int64)
OP = ("name", "inputs", "block", "shape", "scale", "start", "exponent", "lag", "delay")


def _of_op(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: fields.pop(key) for key in OP if key in fields}


def int_input(payload_bits: int = 1, signed: bool = False, **fields: Any) -> IntInput:
    return IntInput(soma=Source(payload_bits, signed), **fields)


def int_lif(**fields: Any) -> IntNeuron:
    own = _of_op(fields)
    plain = {key: fields.pop(key) for key in ("decay_v", "bias", "threshold", "decay_u", "v_reset") if key in fields}
    return IntNeuron(soma=replace(lif(**plain), **fields), **own)


def int_delta_relu(shift: int, decay: Ints = ZERO, **fields: Any) -> IntNeuron:
    return IntNeuron(soma=DeltaRelu(decay, shift), **fields)


def int_gate(thresholds: Ints, levels: Ints, bias: Ints = ZERO, decay: Ints = ZERO, **fields: Any) -> IntNeuron:
    bits = fields.pop("gate_bits", 8)
    return IntNeuron(soma=Gate(decay, bias, thresholds, levels, bits), **fields)


def int_gate_table(table: Ints, **fields: Any) -> IntNeuron:
    return IntNeuron(soma=GateTable(table, fields.pop("gate_bits", 8)), **fields)


def _connection(synapses: Synapses, fields: dict[str, Any]) -> IntConnection:
    return IntConnection(synapses=synapses, **fields)


def int_dense(weight: Ints, **fields: Any) -> IntConnection:
    return _connection(DenseSynapses(weight), fields)


def int_conv(weight: Ints, **fields: Any) -> IntConnection:
    own = _of_op(fields)
    return _connection(ConvSynapses(weight, **fields), own)


def int_transposed_conv(weight: Ints, **fields: Any) -> IntConnection:
    own = _of_op(fields)
    return _connection(TransposedConvSynapses(weight, **fields), own)


def int_identity(weight: int, **fields: Any) -> IntConnection:
    return _connection(IdentitySynapses(weight), fields)


def int_gate_link(port: int = 0, **fields: Any) -> IntConnection:
    return _connection(GateLink(port), fields)


def soma_of(graph: Graph, name: str) -> Any:
    """Return the soma of a neuron, to look at its integers."""
    op = graph[name]
    assert isinstance(op, IntNeuron)
    return op.soma


def is_lif(op: Op) -> bool:
    return isinstance(op, IntNeuron) and isinstance(op.soma, Lif)


def changed(op: Any, **fields: Any) -> Any:
    """Return an op with other fields, of its own or of the soma or synapses it holds."""
    own = _of_op(fields)
    held = "soma" if hasattr(op, "soma") else "synapses"
    return replace(op, **own, **({held: replace(getattr(op, held), **fields)} if fields else {}))
