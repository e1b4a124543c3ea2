"""Small integer nets that the netx format holds, and ``.net`` files written as lava-dl writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import int_nets
import numpy as np
from int_nets import int_conv, int_dense, int_identity, int_input, int_lif
from netx_in_lava import Seen
from numpy.typing import NDArray

from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.integer import IntInput, IntNeuron, IntOutput
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Op

Ints = NDArray[np.int64]
T = 12


def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


def even(rng: np.random.Generator, *shape: int) -> Ints:
    return rng.integers(-60, 61, shape) * 2


def lif(name: str, *inputs: str, shape: tuple[int, ...], **fields: Any) -> IntNeuron:
    default = {"decay_v": ints(500), "bias": ints(0), "threshold": ints(80 << 6)}
    return int_lif(name=name, inputs=inputs, shape=shape, **default | fields)


def graph(*ops: Op, timesteps: int = T) -> Graph:
    """Close a net: the last neuron's spikes are the answer."""
    return Graph((*ops, IntOutput(name="y", inputs=(ops[-1].name,), readout="spikes")), timesteps)


def conv_net(rng: np.random.Generator) -> Graph:
    """Convolutions with stride, padding, dilation and groups, biases one a channel and one a neuron, then dense."""
    return graph(
        int_input(name="x", shape=(2, 9, 7)),
        int_conv(
            name="c1", inputs=("x",), weight=even(rng, 4, 2, 3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)
        ),
        lif("l1", "c1", shape=(4, 5, 5), bias=np.repeat(rng.integers(-9, 9, 4) * 64, 25), decay_u=ints(2048)),
        int_conv(name="c2", inputs=("l1",), weight=even(rng, 6, 2, 2, 3), padding=(0, 1), groups=2, exponent=1),
        lif("l2", "c2", shape=(6, 4, 5), bias=rng.integers(-9, 9, 120) * 64, threshold=ints(200 << 6)),
        int_dense(name="d3", inputs=("l2",), weight=rng.integers(0, 200, (5, 120))),
        lif("l3", "d3", shape=(5,), bias=rng.integers(-900, 100, 5) * 64, threshold=ints(900 << 6)),
        int_dense(name="d4", inputs=("l3",), weight=-rng.integers(0, 30, (3, 5)) * 2),
        lif("l4", "d4", shape=(3,), bias=ints(78, 94, 110) << 6, decay_v=ints(0)),
    )


def delayed_net(rng: np.random.Generator) -> Graph:
    """One delay a neuron in the first layer, one an input in the second, one for all in the third."""
    first, second = even(rng, 6, 8), even(rng, 5, 6)
    rows, columns = rng.integers(0, 3, 6), rng.integers(0, 3, 6)
    by_row = [
        int_dense(name=f"a{d}", inputs=("x",), weight=first * (rows == d)[:, None], lag=d)
        for d in range(3)
        if (rows == d).any()
    ]
    by_column = [
        int_dense(name=f"b{d}", inputs=("l1",), weight=second * (columns == d), lag=d)
        for d in range(3)
        if (columns == d).any()
    ]
    return graph(
        int_input(name="x", shape=(8,)),
        *by_row,
        lif("l1", *(op.name for op in by_row), shape=(6,)),
        *by_column,
        lif("l2", *(op.name for op in by_column), shape=(5,), threshold=ints(40 << 6)),
        int_dense(name="c", inputs=("l2",), weight=even(rng, 5, 5) + 40, lag=2),
        lif("l3", "c", shape=(5,), threshold=ints(10 << 6)),
        timesteps=30,
    )


def recurrent_net(rng: np.random.Generator) -> Graph:
    return graph(
        int_input(name="x", shape=(8,)),
        int_dense(name="w", inputs=("x",), weight=even(rng, 6, 8)),
        int_dense(name="r", inputs=("l1",), weight=even(rng, 6, 6) // 8 * 2, lag=1),
        lif("l1", "w", "r", shape=(6,), decay_u=ints(1024)),
        int_dense(name="d", inputs=("l1",), weight=even(rng, 4, 6)),
        lif("l2", "d", shape=(4,)),
        timesteps=40,
    )


def driven_net(rng: np.random.Generator) -> Graph:
    """Input neurons driven by their bias, as PilotNet's; an identity; a threshold off the grid where v stays on it."""
    return graph(
        int_input(name="x", shape=(2, 4, 3), payload_bits=12, signed=True),
        int_identity(name="i", inputs=("x",), weight=1),
        lif("l0", "i", shape=(2, 4, 3), threshold=ints(60 << 6)),
        int_identity(name="j", inputs=("l0",), weight=90),
        lif("l1", "j", shape=(2, 4, 3), threshold=ints((95 << 6) + 17), decay_v=ints(0), bias=ints(6 << 6)),
        int_dense(name="d", inputs=("l1",), weight=even(rng, 4, 24)),
        lif("l2", "d", shape=(4,)),
    )


NETS: dict[str, Callable[[np.random.Generator], Graph]] = {
    "conv": conv_net,
    "delayed": delayed_net,
    "recurrent": recurrent_net,
    "driven": driven_net,
}


def payloads(net: Graph, rng: np.random.Generator, samples: int) -> Ints:
    source = next(op for op in net if isinstance(op, IntInput))
    if source.soma.signed:
        frame = rng.integers(-20, 60, (1, samples, *source.shape))
        return np.repeat(frame, net.timesteps, axis=0)
    return (rng.random((net.timesteps, samples, *source.shape)) < 0.4).astype(np.int64)


def spikes_equal(result: RunResult, seen: Seen, sample: int, start: int, timesteps: int) -> int:
    """Compare every layer with what Lava sent in the sample's window; return how many spikes there were."""
    total = 0
    recorded = list(result.recordings.values())[: len(seen.spikes)]
    assert len(recorded) == len(seen.spikes)
    for i, recording in enumerate(recorded):
        mine = recording.out[:, sample]
        window = seen.spikes[i][start + i : start + i + timesteps].reshape(-1, *mine.shape[1:])
        np.testing.assert_array_equal(mine[: len(window)], window, err_msg=f"layer {i}")
        total += int(window.sum())
    return total


def last_states_equal(result: RunResult, seen: Seen, steps: int) -> None:
    """Compare v (and u) of every layer after the last chip step; layer i is i + 1 steps behind the input."""
    for i, recording in enumerate(result.recordings.values()):
        at = steps - i - 2
        np.testing.assert_array_equal(recording.v[at, 0], seen.v[i].reshape(recording.v.shape[2:]), err_msg=f"v {i}")
        if recording.u is not None:
            np.testing.assert_array_equal(
                recording.u[at, 0], seen.u[i].reshape(recording.v.shape[2:]), err_msg=f"u {i}"
            )


def write(path: Path, *layers: Mapping[str, Any], **simulation: float) -> Path:
    """Write a file as lava-dl does."""
    with h5py.File(path, "w") as file:
        for i, values in enumerate(layers):
            for key, value in values.items():
                data: Any = [value.encode()] if key == "type" else value
                file.create_dataset(f"layer/{i}/{key}", data=data)
        for key, value in simulation.items():
            file.create_dataset(f"simulation/{key}", data=value)
    return path


CUBA = {"neuron/type": "CUBA", "neuron/iDecay": 4096, "neuron/vDecay": 100, "neuron/vThMant": 80}


def dense(weight: Any, **fields: Any) -> dict[str, Any]:
    return {
        "type": "dense",
        "shape": np.array([len(weight)]),
        "weight": np.asarray(weight, np.float32),
        **CUBA,
        **fields,
    }


def kernel_layer(kind: str, weight: Ints, shape: tuple[int, ...], **fields: Any) -> dict[str, Any]:
    pairs = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1, **fields}
    arrays = {key: np.array(value) for key, value in pairs.items()}
    return {"type": kind, "shape": np.array(shape), "weight": weight.astype(np.float32)[..., None], **CUBA, **arrays}


def changed(net: Graph, name: str, **fields: Any) -> Graph:
    return net.map(lambda op: int_nets.changed(op, **fields) if op.name == name else op)


def joined(net: Graph) -> Graph:
    """Let the last layer also read the first one."""
    skip = int_dense(name="skip", inputs=("l1",), weight=np.full((3, 100), 2))
    ops = list(net)
    at = ops.index(net["l4"])
    return net.with_ops([*ops[:at], skip, replace(net["l4"], inputs=("d4", "skip")), *ops[at + 1 :]])
