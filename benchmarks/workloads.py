"""Four seeded, integer workloads that every simulator can run: 1024-1024-1024 at 10 and 100 %, a conv net of stride 2 and 1.

::

    v = 7/8 v + W x;  s = v > threshold;  v[s] = 0          sources: Bernoulli spikes, p = 0.1 (fc) or 0.05 (conv)

The seed is 7, T is 100. Every population gets its own cores, 1024 neurons each, sources first (Loihi 1: 1024 compartments a
core). The synapses of some of these cores would not fit a real core's memory; the other simulators do not ask for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from spikewright import hw_sim
from spikewright.hw_sim import ConvSynapses, DenseSynapses, Lif, Population, Program, Projection, Source, SparseSynapses
from spikewright.hw_sim.fixed_point import CURRENT_SHIFT, STATE_MAX

Int = NDArray[np.int64]
Skew = Literal["at_once", "one_late", "in_step"]
SEED, STEPS, NEURONS_PER_CORE = 7, 100, 1024
CHIP = "loihi1"
DECAY_V, FORGET = 512, 4096  # of 4096: v keeps 7/8 of itself, u nothing


@dataclass(frozen=True, eq=False)
class Layer:
    """Neurons of one threshold (in units of the weights) and the synapses that feed them from the layer before."""

    name: str
    shape: tuple[int, ...]
    threshold: int
    synapses: DenseSynapses | ConvSynapses | SparseSynapses


@dataclass(frozen=True, eq=False)
class Workload:
    """Source spikes ``x`` (T, *shape) and the layers behind them."""

    name: str
    x: Int
    layers: tuple[Layer, ...]

    def program(self, skew: Skew) -> Program:
        """Return the program for hw_sim.

        ``one_late``: layer 1 hears the sources in its own step, every other layer one step late (SANA-FE's counts).
        ``at_once``: all start in chip step 0 and hear everything one step late (Lava, brian2-loihi).
        ``in_step``: no delay between layers, as in a torch stack.
        """
        shapes = (self.x.shape[1:], *(layer.shape for layer in self.layers))
        starts = {"at_once": [0] * 9, "one_late": [0] + [1] * 8, "in_step": list(range(9))}[skew]
        somas = [Source(1), *(_lif(layer.threshold << CURRENT_SHIFT) for layer in self.layers)]
        names = ["in", *(layer.name for layer in self.layers)]
        populations, first = [], 0
        for name, shape, soma, start in zip(names, shapes, somas, starts, strict=False):
            n = int(np.prod(shape))
            core = (first + np.arange(n) // NEURONS_PER_CORE).astype(np.int32)
            first = int(core[-1]) + 1
            populations.append(Population(name, shape, soma, start, core))
        links = zip(names, self.layers, strict=False)
        projections = [Projection(f"{a}-{layer.name}", a, layer.name, layer.synapses) for a, layer in links]
        return Program(tuple(populations), tuple(projections), CHIP, self.x.shape[0], names[-1], "spikes")

    @cached_property
    def matrices(self) -> list[sp.csr_matrix]:
        """Return the weights of each layer as (targets, sources)."""
        before = [self.x.shape[1:], *(layer.shape for layer in self.layers)]
        return [_matrix(layer, shape) for shape, layer in zip(before, self.layers, strict=False)]


def fc(density: float, even: bool = False) -> Workload:
    """1024 sources - 1024 LIF - 1024 LIF, weights -50 .. 50; ``even``: rounded down to even (8-bit mixed-sign weights)."""
    r, n, p = np.random.default_rng(SEED), 1024, 0.1
    matrices = []
    for _ in range(2):
        mask = r.random((n, n)) < density
        w = r.integers(-50, 51, size=(n, n))
        matrices.append((_no_zero(w) * mask // 2 * 2 if even else _no_zero(w) * mask).T)
    x = r.random((STEPS, n)) < p
    threshold = round(2.0 * np.sqrt(n * density * p) * 29)  # about 10 % of the neurons fire
    synapses = [DenseSynapses(w) if density == 1 else _lists(sp.csr_matrix(w)) for w in matrices]
    layers = tuple(Layer(f"l{k}", (n,), threshold, s) for k, s in enumerate(synapses, 1))
    return Workload(f"fc{round(100 * density)}", x.astype(np.int64), layers)


def conv(stride: int) -> Workload:
    """34x34x2 sources - 16C3 - 32C3 - 10 LIF, both convolutions with this stride, no padding."""
    r = np.random.default_rng(SEED)
    k1, k2 = _no_zero(r.integers(-40, 61, size=(16, 2, 3, 3))), _no_zero(r.integers(-50, 51, size=(32, 16, 3, 3)))
    h1 = (34 - 3) // stride + 1
    h2 = (h1 - 3) // stride + 1
    wf = _no_zero(r.integers(-50, 51, size=(10, 32 * h2 * h2)))
    x = r.random((STEPS, 2, 34, 34)) < 0.05
    layers = (
        Layer("c1", (16, h1, h1), 90, ConvSynapses(k1, (stride, stride))),
        Layer("c2", (32, h2, h2), 300, ConvSynapses(k2, (stride, stride))),
        Layer("fc", (10,), 600, DenseSynapses(wf)),
    )
    return Workload(f"conv_s{stride}", x.astype(np.int64), layers)


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "fc10": lambda: fc(0.1),
    "fc100": lambda: fc(1.0),
    "conv_s2": lambda: conv(2),
    "conv_s1": lambda: conv(1),
}


def workload(name: str, even: bool = False) -> Workload:
    """Return a workload by name; ``even`` weights exist for the fc nets."""
    return fc({"fc10": 0.1, "fc100": 1.0}[name], even=True) if even else WORKLOADS[name]()


def float_trains(given: Workload, delay: int) -> list[Int]:
    """Run the workload in float64 without truncation: spike trains (T, n) of the sources and of every layer.

    ``delay`` 0: a layer hears the layer before in the same step; 1: one step late (the first layer hears the sources at once).
    """
    trains = [given.x.reshape(len(given.x), -1)]
    for k, (layer, matrix) in enumerate(zip(given.layers, given.matrices, strict=True)):
        late = delay if k else 0
        heard = np.zeros_like(trains[-1])
        heard[late:] = trains[-1][: len(heard) - late]
        drive = (matrix @ heard.T).T
        v = np.zeros(matrix.shape[0])
        spikes = np.zeros(drive.shape, np.int64)
        for t, current in enumerate(drive):
            v = v * 0.875 + current
            spikes[t] = v > layer.threshold
            v[spikes[t] > 0] = 0
        trains.append(spikes)
    return trains


def count_sops(given: Workload, trains: list[Int]) -> list[int]:
    """Return what our counter says of each layer's synapses if the spike trains (T, n) are these, whoever made them.

    Every train becomes a host source, and every layer a population that never fires.
    """
    shapes = (given.x.shape[1:], *(layer.shape for layer in given.layers))
    populations, projections, inputs = [], [], {}
    for k, layer in enumerate(given.layers):
        source, target = f"from{k}", f"to{k}"
        outside = np.full(int(np.prod(shapes[k])), -1, np.int32)
        core = np.full(int(np.prod(layer.shape)), k, np.int32)
        populations.append(Population(source, shapes[k], Source(1), 0, outside))
        populations.append(Population(target, layer.shape, _lif(STATE_MAX), 1, core, "none"))
        projections.append(Projection(layer.name, source, target, layer.synapses))
        inputs[source] = trains[k].reshape(len(trains[k]), 1, *shapes[k])
    program = Program(tuple(populations), tuple(projections), CHIP, len(given.x), populations[-1].name)
    trace = hw_sim.simulate(program, inputs)
    return [trace.projections[layer.name].sops for layer in given.layers]


def _lif(threshold: int) -> Lif:
    """Return the workloads' neuron; the threshold is in units of the 24-bit state."""
    one = np.ones(1, np.int64)
    return Lif(FORGET * one, DECAY_V * one, 0 * one, threshold * one, 0 * one)


def _no_zero(a: Int) -> Int:
    return np.where(a == 0, 1, a)


def _lists(matrix: sp.csr_matrix) -> SparseSynapses:
    return SparseSynapses(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data.astype(np.int64))


def _matrix(layer: Layer, before: tuple[int, ...]) -> sp.csr_matrix:
    match layer.synapses:
        case DenseSynapses(weight=weight):
            return sp.csr_matrix(weight)
        case SparseSynapses() as lists:
            shape = (int(np.prod(layer.shape)), int(np.prod(before)))
            return sp.csr_matrix((lists.weight, lists.indices, lists.indptr), shape=shape)
        case ConvSynapses(weight=weight, stride=stride):
            target = np.arange(int(np.prod(layer.shape))).reshape(layer.shape)
            source = np.arange(int(np.prod(before))).reshape(before)
            rows, columns, values = [], [], []
            for (o, c, y, z), w in np.ndenumerate(weight):
                window = source[c, y :: stride[0], z :: stride[1]][: layer.shape[1], : layer.shape[2]]
                rows.append(target[o].ravel())
                columns.append(window.ravel())
                values.append(np.full(window.size, w))
            ij = np.concatenate(rows), np.concatenate(columns)
            return sp.csr_matrix((np.concatenate(values), ij), shape=(target.size, source.size))
