"""Spike-by-spike equality of backends: every neuron op's messages and states at every local step, against the first backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.analysis import lost
from spikewright.toolchain.backends import IntArray, Recording, RunResult
from spikewright.toolchain.deployment import Bars, Deployment, silent
from spikewright.toolchain.diagnostics import Diagnostic, plain
from spikewright.toolchain.diagnostics import lines as told
from spikewright.toolchain.errors import BackendError, InputError
from spikewright.toolchain.results import Result, Row
from spikewright.toolchain.streaming import Given, Payloads, Stream


@dataclass(frozen=True)
class LayerComparison:
    """One neuron op: how many values were compared over all backends but the first, and how many differ.

    ``spikes`` counts the messages of the first backend that are not zero: a comparison of silence proves nothing.
    """

    layer: str
    block: str
    spikes: int
    spikes_compared: int
    spike_mismatches: int
    membranes_compared: int
    membrane_mismatches: int


@dataclass(frozen=True)
class Mismatch:
    """The first value that differs: the earliest step, then sample, then neuron (C order)."""

    layer: str
    quantity: str
    step: int
    sample: int
    neuron: int
    reference: str
    expected: int
    backend: str
    found: int

    def __str__(self) -> str:
        return (
            f"layer {self.layer!r}, step {self.step}, sample {self.sample}, neuron {self.neuron}: {self.quantity} is "
            f"{self.expected} on {self.reference} and {self.found} on {self.backend}"
        )


@dataclass(frozen=True)
class Speed:
    """Wall time of one backend in s, start-up apart, and samples per second of running."""

    backend: str
    startup_s: float
    run_s: float
    samples_per_s: float


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """The verdict over all layers and backends."""

    name: str
    samples: int
    timesteps: int
    backends: tuple[str, ...]
    layers: tuple[LayerComparison, ...]
    answer_mismatches: int
    first: Mismatch | None
    speeds: tuple[Speed, ...]
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def spike_mismatches(self) -> int:
        """Messages that differ, of all (T, B, n) of every layer."""
        return sum(layer.spike_mismatches for layer in self.layers)

    @property
    def membrane_mismatches(self) -> int:
        """States (v, and u where it decays) that differ, of all (T, B, n) of every layer."""
        return sum(layer.membrane_mismatches for layer in self.layers)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.spike_mismatches == self.membrane_mismatches == self.answer_mismatches == 0

    def to_dict(self) -> dict[str, Any]:
        """Return what ``compare --json`` prints."""
        return {
            "name": self.name,
            "samples": self.samples,
            "spikes_compared": sum(layer.spikes_compared for layer in self.layers),
            "spike_mismatches": self.spike_mismatches,
            "membrane_mismatches": self.membrane_mismatches,
            "layers_compared": len(self.layers),
            "backends": list(self.backends),
            "timesteps": self.timesteps,
            "spikes": sum(layer.spikes for layer in self.layers),
            "membranes_compared": sum(layer.membranes_compared for layer in self.layers),
            "answer_mismatches": self.answer_mismatches,
            "equal": self.equal,
            "first_mismatch": None if self.first is None else asdict(self.first),
            "layers": [asdict(layer) for layer in self.layers],
            "speed": [asdict(speed) for speed in self.speeds],
            "diagnostics": plain(self.diagnostics),
        }

    def rows(self) -> list[Row]:
        """Return one row a layer."""
        return [asdict(layer) for layer in self.layers]

    def headline(self) -> str:
        """Return whether all is equal, on what, in one line."""
        shown = f"{self.samples} samples, {len(self.layers)} layers on {', '.join(self.backends)}"
        if self.equal:
            return f"equal, bit for bit: {shown}"
        counts = (
            f"{self.spike_mismatches:,} spikes, {self.membrane_mismatches:,} states, {self.answer_mismatches:,} answers"
        )
        return f"NOT equal: {shown}: {counts} differ"

    def text(self) -> str:
        """Return a table for people."""
        width = max([len(layer.layer) for layer in self.layers] + [5])
        lines = [self.name] if self.name else []
        lines += [f"{'layer':{width}} {'spikes':>10} {'compared':>12} {'differ':>8} {'states':>12} {'differ':>8}"]
        lines += [
            f"{c.layer:{width}} {c.spikes:10,d} {c.spikes_compared:12,d} {c.spike_mismatches:8,d} "
            f"{c.membranes_compared:12,d} {c.membrane_mismatches:8,d}"
            for c in self.layers
        ]
        lines += [
            f"{s.backend:12} start {s.startup_s:8.2f} s   run {s.run_s:8.3f} s   {s.samples_per_s:10.1f} samples/s"
            for s in self.speeds
        ]
        lines.append(self.headline())
        if not self.equal:
            lines.append(f"first: {self.first or 'in the answers'}")
        return "\n".join([*lines, *told(self.diagnostics)])


def compare(
    deployment: Deployment,
    backends: Sequence[str],
    x: IntArray | Payloads,
    *,
    progress: Bars = silent,
) -> Comparison:
    """Run payloads through several backends, part by part, and compare every neuron op with the first backend.

    Args:
        deployment: The compiled net.
        backends: At least two names.
        x: Integer payloads (T, B, *shape), as ``Deployment.encode`` gives them, or data that is encoded part by part.
        progress: Makes the progress callback of a backend.

    Raises:
        InputError: Fewer than two different backends.
        BackendError: A backend is missing, died, or recorded other layers than the first.
    """
    if len(set(backends)) < 2 or len(set(backends)) != len(backends):
        raise InputError(
            f"got {', '.join(backends) or 'none'}; a comparison takes two or more different backends",
            where="--backends",
            help="give two or more, e.g. --backends interpreter hw_sim lava",
        )
    found = {name: deployment.backend(name) for name in backends}
    payloads = x if isinstance(x, Payloads) else Given(x)
    timesteps, samples = payloads.x.shape[:2]
    stream, seen = Stream(deployment, found, payloads, samples, progress), _Seen(tuple(backends))
    for chosen, steps, recordings in stream.parts():
        seen.add(recordings, chosen.start, steps.start)
    blocks = {op.name: op.block for op in deployment.integer}
    results = {name: stream.result(name) for name in backends}
    made = seen.comparison(results, blocks, timesteps=timesteps, samples=samples, net=deployment.name)
    data = payloads.x if isinstance(payloads, Payloads) else None
    return replace(made, diagnostics=lost(deployment, data, *results.values()))


def compare_results(
    results: Mapping[str, RunResult], blocks: Mapping[str, str], *, timesteps: int, samples: int, net: str = ""
) -> Comparison:
    """Compare finished runs with the first of them; see ``compare``."""
    seen = _Seen(tuple(results))
    seen.add({name: result.recordings for name, result in results.items()}, 0, 0)
    return seen.comparison(results, blocks, timesteps=timesteps, samples=samples, net=net)


class _Seen:
    """What was compared so far, and the first value that differed."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.reference, *self.others = names
        self.counts: dict[str, NDArray[np.int64]] = {}
        self.first: Mismatch | None = None

    def add(self, found: Mapping[str, Mapping[str, Recording]], sample: int, step: int) -> None:
        """Compare one part of the run; it begins at this sample and step."""
        expected = found[self.reference]
        for name in self.others:
            _check_layers(self.reference, expected, name, found[name])
        for layer, wanted in expected.items():
            counts = self.counts.setdefault(layer, np.zeros(5, np.int64))
            counts[0] += np.count_nonzero(wanted.out)
            for name in self.others:
                for quantity, a, b in _quantities(layer, wanted, name, found[name][layer]):
                    wrong = int(np.count_nonzero(a != b))
                    at = 1 if quantity == "out" else 3
                    counts[at : at + 2] += np.array([a.size, wrong])
                    if wrong:
                        differs = _first(layer, quantity, self.reference, a, name, b)
                        self._keep(replace(differs, step=differs.step + step, sample=differs.sample + sample))

    def _keep(self, found: Mismatch) -> None:
        order = {layer: i for i, layer in enumerate(self.counts)}

        def place(m: Mismatch) -> tuple[int, int, int, int]:
            return m.step, order[m.layer], m.sample, m.neuron

        if self.first is None or place(found) < place(self.first):
            self.first = found

    def comparison(
        self, results: Mapping[str, RunResult], blocks: Mapping[str, str], *, timesteps: int, samples: int, net: str
    ) -> Comparison:
        """Return the verdict over all parts."""
        layers = tuple(LayerComparison(name, blocks.get(name, name), *map(int, c)) for name, c in self.counts.items())
        reference = results[self.reference].answer
        answers = sum(int((results[name].answer != reference).sum()) for name in self.others)
        speeds = tuple(Speed(n, r.startup_s, r.run_s, samples / max(r.run_s, 1e-9)) for n, r in results.items())
        return Comparison(net, samples, timesteps, tuple(results), layers, answers, self.first, speeds)


def _check_layers(reference: str, expected: Mapping[str, Recording], name: str, found: Mapping[str, Recording]) -> None:
    if set(expected) == set(found) and expected:
        return
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    raise BackendError(
        f"recorded {len(found)} layers, {reference!r} {len(expected)}; missing {missing[:3]}, unknown {unknown[:3]}",
        where=f"backend {name!r}",
        help="this is a fault of the backend: please report it with the bundle",
    )


def _quantities(layer: str, wanted: Recording, name: str, got: Recording) -> list[tuple[str, IntArray, IntArray]]:
    """Return what is compared: messages, v, and u where both record it."""
    found = [("out", wanted.out, got.out), ("v", wanted.v, got.v)]
    if wanted.u is not None and got.u is not None:
        found.append(("u", wanted.u, got.u))
    for quantity, a, b in found:
        if a.shape != b.shape:
            raise BackendError(
                f"recorded {quantity} of layer {layer!r} as {b.shape}; it is {a.shape}",
                where=f"backend {name!r}",
                help="this is a fault of the backend: please report it with the bundle",
            )
    return found


def _first(layer: str, quantity: str, reference: str, a: IntArray, name: str, b: IntArray) -> Mismatch:
    T, B = a.shape[:2]
    flat_a, flat_b = a.reshape(T, B, -1), b.reshape(T, B, -1)
    step, sample, neuron = (int(i) for i in np.argwhere(flat_a != flat_b)[0])
    at = (step, sample, neuron)
    return Mismatch(layer, quantity, step, sample, neuron, reference, int(flat_a[at]), name, int(flat_b[at]))
