"""How often states met the ends of 24 bits: one step after the other in Python's own integers, and so on every backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mapped import mapped

from spikewright.hw_sim import DeltaRelu, DenseSynapses, Lif, load_chip
from spikewright.hw_sim.somas import Source
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, IntOutput, lif
from spikewright.toolchain.integer_deploy import deploy_integer
from spikewright.toolchain.interpret import run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.local_backends import HwSimBackend
from spikewright.toolchain.mapping import map_graph
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.align import Align

T, N, LIMIT = 14, 6, 1 << 23
NEVER = LIMIT - 1


def a_lif(rng: np.random.Generator, case: int) -> Lif:
    """A LIF with a wide current, and each rare field in some of the cases."""

    def some(low: int, high: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return rng.integers(low, high, N)

    plain = lif(
        decay_v=some(0, 900), decay_u=some(0, 3000), bias=some(-40_000, 40_000), threshold=some(1 << 20, NEVER + 1)
    )
    interval = int(rng.integers(2, 6))
    rare: dict[int, dict[str, Any]] = {
        1: {"reset_interval": interval, "reset_phase": int(rng.integers(interval))},
        2: {"refractory": 3},
        3: {"reset": "subtract", "v_reset": plain.threshold},
        4: {"reset_interval": interval, "refractory": 2, "rectify": True},
        5: {"v_min": np.full(1, -(1 << 20)), "v_start": some(-9000, 9000), "reset_interval": 3},
    }
    return replace(plain, **rare.get(case, {}))


def net(soma: Lif | DeltaRelu, rng: np.random.Generator) -> Graph:
    last = np.full(1, 1 << 20)
    ops = (
        IntInput(name="in", shape=(N,)),
        IntConnection(
            name="fc", inputs=("in",), synapses=DenseSynapses(2 * rng.integers(-127, 127, (N, N))), exponent=7
        ),
        IntNeuron(name="first", inputs=("fc",), shape=(N,), soma=soma),
        IntConnection(name="ro", inputs=("first",), synapses=DenseSynapses(np.eye(N, dtype=np.int64))),
        IntNeuron(
            name="last",
            inputs=("ro",),
            shape=(N,),
            soma=lif(decay_v=np.zeros(1, np.int64), bias=np.zeros(1, np.int64), threshold=last),
        ),
        IntOutput(name="out", inputs=("last",), readout="spikes"),
    )
    return Graph(ops, timesteps=T)


def decayed(x: int, amount: int) -> int:
    kept = abs(x) * (4096 - amount) // 4096
    return -kept if x < 0 else kept


def counted(soma: Lif, a: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> tuple[int, int]:
    """Count wraps and clips of a LIF that reads ``a`` (T, B, n), each neuron alone, as the soma's equation says."""
    row = {
        name: np.broadcast_to(getattr(soma, name), N).tolist()
        for name in ("decay_u", "decay_v", "bias", "threshold", "v_reset", "v_min", "v_start")
    }
    wraps = clips = 0
    for b in range(a.shape[1]):
        for i in range(N):
            u, v, hold = 0, row["v_start"][i], 0
            for t in range(T):
                if soma.reset_interval and t and t % soma.reset_interval == soma.reset_phase:
                    u, v, hold = 0, row["v_start"][i], 0
                whole = decayed(u, row["decay_u"][i]) + int(a[t, b, i]) * 64
                u = whole - 2 * LIMIT if whole > LIMIT else whole + 2 * LIMIT if whole <= -LIMIT else whole
                wraps += u != whole
                if hold:
                    hold -= 1
                    continue
                drive = u + row["bias"][i]
                reached = decayed(v, row["decay_v"][i]) + (max(drive, 0) if soma.rectify else drive)
                v = min(max(reached, -NEVER), NEVER)
                clips += v != reached
                if v > row["threshold"][i]:
                    v = v - row["v_reset"][i] if soma.reset == "subtract" else row["v_reset"][i]
                    hold = soma.refractory - 1
                v = max(v, row["v_min"][i])
    return wraps, clips


@pytest.mark.parametrize("case", range(6))
def test_wraps_and_clips_are_counted_as_one_neuron_alone_does(case: int) -> None:
    rng = np.random.default_rng(case)
    graph = net(a_lif(rng, case), rng)
    made = deploy_integer(graph, Options(), name="net")
    x = (rng.random((T, 5, N)) < 0.6).astype(np.int64)
    weight = graph["fc"].synapses.weights << 7  # type: ignore[attr-defined]

    wanted = counted(graph["first"].soma, x @ weight.T)  # type: ignore[attr-defined]

    assert min(wanted) > 0
    assert made.run(x, backend="interpreter").result.saturations == {"first": wanted}  # type: ignore[union-attr]
    trace = made.run(x).trace
    assert trace is not None
    assert (trace.wraps["first"], trace.clips["first"]) == wanted


def test_an_accumulators_clips_are_counted_alike() -> None:
    rng = np.random.default_rng(9)
    graph = net(DeltaRelu(np.full(1, 500), shift=16), rng).map(
        lambda op: replace(op, soma=Source(8)) if isinstance(op, IntInput) else op
    )
    graph = Align()(graph)
    x = rng.integers(0, 256, (T, 5, N))
    a, clips, acc = x @ (graph["fc"].synapses.weights << 7).T, 0, np.zeros((5, N), np.int64)  # type: ignore[attr-defined]
    for row in a:
        reached = np.sign(acc) * ((abs(acc) * 3596) >> 12) + row
        acc = np.clip(reached, -NEVER, NEVER)
        clips += int((acc != reached).sum())

    assert clips > 0
    assert run_int(graph, x).saturations == {"first": (0, clips)}
    trace = HwSimBackend().run(mapped(graph, map_graph(graph, load_chip("loihi2"))), x).trace
    assert trace is not None
    assert trace.clips["first"] == clips
