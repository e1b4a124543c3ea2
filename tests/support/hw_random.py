"""Random small programs with every soma, every synapse format, skips, recurrence, gates and saturation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright import hw_sim as hw

CORES = 9
Int = NDArray[np.int64]


@dataclass
class _Builder:
    rng: np.random.Generator
    populations: list[hw.Population]
    projections: list[hw.Projection]

    def one_or_all(self, n: int, low: int, high: int) -> Int:
        return self.rng.integers(low, high, size=n if self.rng.random() < 0.5 else 1)

    def population(
        self, name: str, shape: tuple[int, ...], soma: hw.Soma, kind: str, on_host: bool = False
    ) -> hw.Population:
        n = int(np.prod(shape))
        core = np.full(n, -1) if on_host else np.sort(self.rng.integers(0, CORES, n))
        made = hw.Population(name, shape, soma, int(self.rng.integers(0, 4)), core.astype(np.int32), kind)
        self.populations.append(made)
        return made

    def connect(self, source: hw.Population, target: hw.Population, synapses: hw.Synapses, least: int = 0) -> None:
        lag = max(least, source.start + 1 - target.start) + int(self.rng.integers(0, 3))
        delay = target.start + lag - source.start
        exponent = 0 if isinstance(synapses, hw.GateLink) else int(self.rng.integers(-3, 5))
        name = f"p{len(self.projections)}"
        self.projections.append(hw.Projection(name, source.name, target.name, synapses, exponent, delay))

    def weights(self, *shape: int) -> Int:
        top = int(self.rng.choice([3, 30, 120]))
        w = self.rng.integers(-top, top + 1, size=shape)
        return np.where(self.rng.random(shape) < 0.3, 0, w)

    def synapses(self, source: hw.Population, target: hw.Population) -> hw.Synapses:
        kind = self.rng.integers(0, 3)
        if source.size == target.size and self.rng.random() < 0.3:
            return hw.IdentitySynapses(int(self.rng.integers(-9, 10)))
        if kind == 0:
            return hw.DenseSynapses(self.weights(target.size, source.size))
        w = self.weights(target.size, source.size) * (self.rng.random((target.size, source.size)) < 0.3)
        rows, columns = np.nonzero(w)
        return hw.SparseSynapses(np.searchsorted(rows, np.arange(target.size + 1)), columns, w[rows, columns])

    def lif(self, n: int, gates: int) -> hw.Lif:
        r = self.rng
        decay_u = np.array([4096]) if r.random() < 0.5 else self.one_or_all(n, 0, 4097)
        reset = "value" if r.random() < 0.6 else "subtract"
        threshold = self.one_or_all(n, 100, 20000)
        v_reset = self.one_or_all(n, -500, 100) if reset == "value" else threshold
        bias = self.one_or_all(n, -500, 900) if r.random() < 0.5 else np.zeros(1, np.int64)
        decay_v = self.one_or_all(n, 0, 4097)
        rectify, interval = bool(r.random() < 0.2), int(r.integers(1, 5)) if r.random() < 0.3 else 0
        phase = int(r.integers(0, interval)) if interval else 0
        output_gate = bool(gates and r.random() < 0.5)
        refractory = int(r.integers(2, 6)) if r.random() < 0.2 else 1
        return hw.Lif(
            decay_u,
            decay_v,
            bias,
            threshold,
            v_reset,
            reset,
            gates,
            8,
            rectify,
            reset_interval=interval,
            reset_phase=phase,
            output_gate=output_gate,
            refractory=refractory,
            **self.rare(n, threshold, counts=not output_gate),
        )

    def rare(self, n: int, threshold: Int, *, counts: bool) -> dict[str, Any]:
        """Return a floor, a start and several spikes a step, each for some; draws of their own."""
        r = self.rng.spawn(1)[0]
        found: dict[str, Any] = {}
        if counts and r.random() < 0.25:
            found |= {"max_spikes": None if r.random() < 0.5 else int(r.integers(2, 9)), "spacing": threshold}
        for name, low, high in (("v_min", -3000, 50), ("v_start", -4000, 40000)):
            if r.random() < 0.2:
                found[name] = r.integers(low, high, size=n if r.random() < 0.5 else 1)
        return found


def random_program(seed: int) -> tuple[hw.Program, dict[str, Int]]:
    """Return a program and inputs for it."""
    r = np.random.default_rng(seed)
    b = _Builder(r, [], [])
    steps, batch = int(r.integers(1, 8)), int(r.integers(1, 4))
    inputs = {}
    for k in range(int(r.integers(1, 3))):
        bits = int(r.choice([1, 1, 4, 16]))
        signed = bool(bits > 1 and r.random() < 0.5)
        shape = (
            (int(r.integers(1, 5)), int(r.integers(2, 6)), int(r.integers(2, 6)))
            if r.random() < 0.7
            else (int(r.integers(1, 20)),)
        )
        source = b.population(
            f"in{k}", shape, hw.Source(bits, signed), "binary" if bits == 1 else "graded", on_host=True
        )
        x = r.integers(1 - (1 << bits) if signed else 0, 1 << bits, size=(steps, batch, *shape))
        inputs[source.name] = x * (r.random(x.shape) < 0.4)
    for k in range(int(r.integers(1, 5))):
        _layer(b, f"l{k}")
    readout = b.populations[-1]
    kind = "spikes" if r.random() < 0.5 else "membrane"
    return hw.Program(tuple(b.populations), tuple(b.projections), "loihi2", steps, readout.name, kind), inputs


def _layer(b: _Builder, name: str) -> None:
    r = b.rng
    senders = [p for p in b.populations if not isinstance(p.soma, (hw.Gate, hw.GateTable))]
    source = senders[int(r.integers(0, len(senders)))]
    conv = _conv(b, source) if len(source.shape) == 3 and r.random() < 0.6 else None
    shape = conv[0] if conv else ((int(r.integers(1, 16)),) if r.random() < 0.6 else (2, 3, 2))
    gates = int(r.integers(0, 3)) if r.random() < 0.5 else 0
    links = [_gate(b, f"{name}g{k}", shape, senders) for k in range(gates)]
    if not gates and r.random() < 0.25:
        soma: hw.Soma = hw.DeltaRelu(b.one_or_all(int(np.prod(shape)), 0, 2000), int(r.integers(0, 8)))
        draws = r.spawn(1)[0]
        kind = draws.random()
        if kind < 0.4:
            soma = hw.Relay(int(draws.integers(0, 8)), int(draws.integers(3, 16)))
        elif kind < 0.8:
            bias, threshold = draws.integers(-300, 300, (1,)), draws.integers(0, 400, (1,))
            rectify, sums = (bool(one) for one in draws.integers(0, 2, 2))
            shift, bits = int(draws.integers(0, 6)), int(draws.integers(3, 16))
            soma = hw.SigmaDelta(bias, threshold, shift, rectify, sums, bits)
        target = b.population(name, shape, soma, "graded")
    else:
        soma = b.lif(int(np.prod(shape)), gates)
        target = b.population(name, shape, soma, soma.sends)
    b.connect(source, target, conv[1] if conv else b.synapses(source, target))
    for port, gate in enumerate(links):
        b.connect(gate, target, hw.GateLink(port))
    if r.random() < 0.4:
        other = senders[int(r.integers(0, len(senders)))]
        b.connect(other, target, b.synapses(other, target))
    if r.random() < 0.4:
        b.connect(target, target, b.synapses(target, target), least=1)
    if r.random() < 0.2 and not isinstance(source.soma, hw.Source):
        b.connect(target, source, b.synapses(target, source), least=1)


def _conv(b: _Builder, source: hw.Population) -> tuple[tuple[int, ...], hw.ConvSynapses]:
    r = b.rng
    c, h, w = source.shape
    groups = int(r.choice([g for g in (1, 1, 2, c) if c % g == 0]))
    kernel = (int(r.integers(1, min(h, 3) + 1)), int(r.integers(1, min(w, 4) + 1)))
    stride, padding = (int(r.integers(1, 4)), int(r.integers(1, 4))), (int(r.integers(0, 3)), int(r.integers(0, 3)))
    dilation = (2, 1) if r.random() < 0.2 and (kernel[0] - 1) * 2 < h else (1, 1)
    out = groups * int(r.integers(1, 4))
    size = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip((h, w), padding, dilation, kernel, stride, strict=True)
    ]
    return (out, *size), hw.ConvSynapses(b.weights(out, c // groups, *kernel), stride, padding, dilation, groups)


def _gate(b: _Builder, name: str, shape: tuple[int, ...], senders: list[hw.Population]) -> hw.Population:
    r = b.rng
    small = tuple(n if r.random() < 0.5 else 1 for n in shape)
    small = shape[:1] if r.spawn(1)[0].random() < 0.3 else small
    n = int(np.prod(small))
    if r.random() < 0.3:
        rows = 1 if r.random() < 0.5 else 8
        return b.population(name, small, hw.GateTable(r.integers(0, 257, size=(rows, n))), "gate", on_host=True)
    thresholds = np.sort(r.integers(-50, 200, size=int(r.integers(1, 5))))
    levels = r.integers(0, 257, size=thresholds.size + 1)
    gate = b.population(
        name, small, hw.Gate(b.one_or_all(n, 0, 3000), b.one_or_all(n, -20, 20), thresholds, levels), "gate"
    )
    source = senders[int(r.integers(0, len(senders)))]
    b.connect(source, gate, b.synapses(source, gate))
    return gate
