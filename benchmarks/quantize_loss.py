"""What quantizing loses: N random float nets, and N whose numbers lie on the chip's grid, spike by spike.

Usage: ``python -m benchmarks.quantize_loss [--nets 300] [--seed 0] [--json]``
A float net is compared with its own float64 run on data it was not calibrated on; a net on the grid with the integers it was
made of. Exit code 1 if a spike of a net on the grid differs, the median loss of the float nets is above 1 %, or a net loses
more than the limit of ``toolchain.limits`` on its calibration data and carries no warning.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim import ConvSynapses, DenseSynapses
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.errors import ToolchainError
from spikewright.toolchain.integer import IntConnection, IntInput, IntNeuron, IntOutput, lif
from spikewright.toolchain.interpret import run_float, run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.limits import SPIKES_LIMIT
from spikewright.toolchain.ops import Accumulator, Affine, Array, Conv, Delay, Flatten, Input, Lif, Neuron, Op, Output
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.stage import Context, Stopped

SAMPLES = 24
MEDIAN_LIMIT = 0.01
"""What the median float net may lose, as a share of its spikes and silences."""


@dataclass(frozen=True)
class Row:
    """One net: the share of its (step, sample, neuron) that differ, in all and in its worst layer, and what deploy said."""

    seed: int
    kind: str
    differ: float = 0.0
    worst: float = 0.0
    rate: float = 0.0
    agreement: float = 1.0
    answer_error: float = 0.0
    warnings: tuple[str, ...] = ()
    silent: bool = False
    refused: str = ""


# ------------------------------------------------------------------------------------------------- float nets
@dataclass
class Maker:
    """Draws one net, layer by layer; ``last`` is a signal of ``shape``."""

    rng: np.random.Generator
    ops: list[Op]
    last: str
    shape: tuple[int, ...]

    def add(self, op: Op) -> None:
        """Put an op behind the last."""
        self.ops.append(op)
        self.last = op.name

    def parameter(self, low: float, high: float, shape: tuple[int, ...]) -> Array:
        """One value, one a channel, or one a neuron."""
        size: Any = [(), shape[:1], shape][self.rng.integers(3)]
        return self.rng.uniform(low, high, size)

    def layer(self, number: int, *, recurrent: bool) -> None:
        """A dense or convolutional layer, spiking; sometimes with channels of very different size, biases, a delay."""
        rng, name = self.rng, f"fc{number}"
        bias = rng.random() < 0.4
        if len(self.shape) == 3 and rng.random() < 0.7:
            co = int(rng.integers(3, 8))
            weight = self.weights((co, self.shape[0], 3, 3))
            b = rng.normal(size=co) * 0.1 if bias else None
            self.add(Conv(name=name, inputs=(self.last,), weight=weight, bias=b, padding=(1, 1)))
            self.shape = (co, *self.shape[1:])
        else:
            if len(self.shape) == 3:
                self.add(Flatten(name=f"flat{number}", inputs=(self.last,)))
            n, size = int(rng.integers(8, 40)), int(np.prod(self.shape))
            b = rng.normal(size=n) * 0.1 if bias else None
            self.add(Affine(name=name, inputs=(self.last,), weight=self.weights((n, size)), bias=b))
            self.shape = (n,)
        if rng.random() < 0.15:
            self.add(Delay(name=f"late{number}", inputs=(self.last,), steps=int(rng.integers(1, 4))))
        inputs: tuple[str, ...] = (self.last,)
        if recurrent and len(self.shape) == 1:
            back = Delay(name=f"back{number}", inputs=(f"lif{number}",), steps=1)
            own = Affine(name=f"own{number}", inputs=(back.name,), weight=self.weights((self.shape[0],) * 2) * 0.5)
            self.ops += [back, own]
            inputs = (*inputs, own.name)
        self.add(self.neuron(f"lif{number}", inputs))

    def weights(self, shape: tuple[int, ...]) -> Array:
        """Normal weights; some maps tiny or large, some with channels or single weights of another size."""
        rng = self.rng
        w = rng.normal(size=shape) * rng.choice([1.0, 2.0]) * rng.choice([1.0, 0.01, 30.0], p=[0.8, 0.1, 0.1])
        w /= np.sqrt(np.prod(shape[1:]) * 0.3)
        if rng.random() < 0.2:
            w *= 10.0 ** rng.uniform(-1.5, 1.5, (shape[0], *(1,) * (w.ndim - 1)))
        if rng.random() < 0.1:
            w.reshape(-1)[rng.integers(w.size)] *= 20
        return w

    def neuron(self, name: str, inputs: tuple[str, ...]) -> Lif:
        """A LIF with a threshold that its input can reach."""
        rng, shape = self.rng, self.shape
        scale = self.drive(inputs)
        value = rng.random() < 0.6
        return Lif(
            name=name,
            inputs=inputs,
            shape=shape,
            beta=self.parameter(0.3, 0.98, shape) if rng.random() < 0.7 else np.array(rng.choice([0.0, 1.0])),
            alpha=self.parameter(0.2, 0.9, shape) if rng.random() < 0.2 else np.zeros(()),
            v_threshold=self.parameter(0.5, 1.5, shape) * scale,
            v_reset=np.array(rng.choice([0.0, 0.0, -0.2])) * scale if value else np.zeros(()),
            reset="value" if value else "subtract",
            comparison=">" if rng.random() < 0.5 else ">=",
        )

    def drive(self, inputs: tuple[str, ...]) -> float:
        """Return what a threshold is measured by: the size of the first map's rows."""
        maps = [op for op in self.ops if isinstance(op, Affine | Conv)]
        rows = maps[-1].weight if len(inputs) == 1 else maps[-2].weight
        return float(np.median(np.abs(rows.reshape(rows.shape[0], -1)).sum(axis=1)) * 0.2)


def float_net(seed: int) -> tuple[Graph, Array]:
    """Return a random float net and data (T, 2 SAMPLES, *shape)."""
    rng = np.random.default_rng([1, seed])
    T = int(rng.choice([4, 12, 40, 120], p=[0.3, 0.4, 0.25, 0.05]))
    shape: tuple[int, ...] = (2, 6, 6) if rng.random() < 0.5 else (int(rng.integers(10, 60)),)
    maker = Maker(rng, [Input(name="in", shape=shape)], "in", shape)
    for number in range(int(rng.integers(1, 4))):
        maker.layer(number, recurrent=rng.random() < 0.15)
    if rng.random() < 0.4:
        if len(maker.shape) > 1:
            maker.add(Flatten(name="flat", inputs=(maker.last,)))
        weight = rng.normal(size=(10, int(np.prod(maker.shape))))
        maker.add(Affine(name="head", inputs=(maker.last,), weight=weight, bias=rng.normal(size=10) * 0.2))
        if rng.random() < 0.5:
            decay = float(rng.choice([0.9, 1.0]))
            maker.add(Accumulator(name="li", inputs=("head",), shape=(10,), decay=decay, rectify=False))
    maker.add(Output(name="out", inputs=(maker.last,)))
    x = (rng.random((T, 2 * SAMPLES, *shape)) < rng.choice([0.05, 0.3, 0.8])).astype(np.float64)
    if rng.random() < 0.25:
        x *= rng.integers(1, int(rng.choice([4, 256])), x.shape)
    return Graph(tuple(maker.ops), timesteps=T), x


# ------------------------------------------------------------------------------------------ nets on the grid
def grid_net(seed: int) -> tuple[Graph, Graph, Array]:
    """Return an integer net that stays in 24 bits, the same in real numbers, in a unit that is a power of two, and data."""
    for trial in range(100):
        made = _grid_net(np.random.default_rng([2, seed, trial]))
        if not run_int(made[0], made[2].astype(np.int64)).saturations:
            return made
    raise AssertionError(f"seed {seed}: every net overflows")


def _grid_net(rng: np.random.Generator) -> tuple[Graph, Graph, Array]:
    T, shape = int(rng.choice([4, 12, 40])), (2, 5, 5) if rng.random() < 0.4 else (int(rng.integers(10, 40)),)
    ops: list[Op] = [IntInput(name="in", shape=shape)]
    for number in range(int(rng.integers(1, 4))):
        source, name = ops[-1].name, f"fc{number}"
        top, exponent = int(rng.choice([3, 25, 127, 128, 255])), int(rng.choice([0, 0, 0, 1, 4]))
        if len(shape) == 3 and rng.random() < 0.7:
            co = int(rng.integers(2, 6))
            w = integers(rng, top, (co, shape[0], 3, 3))
            synapses: Any = ConvSynapses(w, padding=(1, 1))
            shape = (co, *shape[1:])
        else:
            n = int(rng.integers(5, 30))
            w = integers(rng, top, (n, int(np.prod(shape))))
            synapses, shape = DenseSynapses(w), (n,)
        ops.append(IntConnection(name=name, inputs=(source,), synapses=synapses, exponent=exponent))
        size = int(np.prod(shape))
        heavy = np.abs(w.reshape(w.shape[0], -1)).sum(axis=1).mean()
        mantissa = max(1, int(heavy * rng.uniform(0.05, 0.4))) << exponent

        def some(low: int, high: int, size: int = size) -> NDArray[np.int64]:
            return rng.integers(low, high, int(rng.choice([1, size])))

        soma = lif(
            decay_v=some(0, 4097) if rng.random() < 0.7 else np.array([rng.choice([0, 4096])]),
            decay_u=some(1, 4096) if rng.random() < 0.3 else None,
            bias=some(-min(mantissa, 4096), min(mantissa, 4095) + 1) if rng.random() < 0.3 else np.zeros(1, np.int64),
            threshold=some(max(1, mantissa // 2), mantissa + 2) << 6,
        )
        if (
            exponent and not (soma.threshold >> 6 & 1).any()
        ):  # or it is a net of half the unit, too: its decays round otherwise
            soma = replace(soma, threshold=soma.threshold + (1 << 6))
        ops.append(IntNeuron(name=f"lif{number}", inputs=(name,), shape=shape, soma=soma))
    ops.append(IntOutput(name="out", inputs=(ops[-1].name,), readout="spikes", scale=1 / T))
    integer = Graph(tuple(ops), timesteps=T)
    graph = rescaled(to_float(integer), 2.0 ** int(rng.choice([0, 0, -6, -9])))
    x = (rng.random((T, 2 * SAMPLES, *integer.input.shape)) < rng.choice([0.05, 0.3, 0.8])).astype(np.float64)
    return integer, graph, x


def integers(rng: np.random.Generator, top: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return weights as a chip has them: even ones up to twice ``top``, with 128 down to -256; 255: any of one sign."""
    if top == 255:
        return rng.integers(0, 256, shape) * int(rng.choice([-1, 1]))
    w: NDArray[np.int64] = 2 * rng.integers(-top, min(top, 127) + 1, shape)
    if top == 128:
        w.reshape(-1)[:2] = -256, 254
    return w


def rescaled(graph: Graph, unit: float) -> Graph:
    """Return the same net with its weights, thresholds and biases in another unit."""

    def scaled(op: Op) -> Op:
        match op:
            case Affine() | Conv():
                return replace(op, weight=op.weight * unit)
            case Lif():
                state = {name: getattr(op, name) * unit for name in ("v_threshold", "v_reset", "leak")}
                return replace(op, **state)
            case _:
                return op

    return graph.map(scaled)


# ---------------------------------------------------------------------------------------------------- figures
def quantized(graph: Graph, x: Array) -> Context:
    """Return what there is behind quantize, calibrated on the first half of the data."""
    try:
        deploy_graph(
            graph, Options(gates="causal"), Samples(x[:, :SAMPLES], None, "random"), name="net", stop_after="quantize"
        )
    except Stopped as stopped:
        return stopped.context
    raise AssertionError("a deployment went on behind its last stage")


def losses(graph: Graph, integer: Graph, wanted: dict[str, Array], x: Array) -> tuple[float, float, float]:
    """Return the share of spikes that differ, in all and in the worst layer, and the rate of spikes."""
    got = run_int(integer, x.astype(np.int64)).recordings
    names = [op.name for op in graph if isinstance(op, Neuron) and op.fires and op.name in got]
    wrong = [((wanted[n] != 0) != (got[n].out.reshape(wanted[n].shape) != 0)) for n in names]
    size = sum(w.size for w in wrong)
    rate = sum(int((wanted[n] != 0).sum()) for n in names) / size
    return sum(int(w.sum()) for w in wrong) / size, max(float(w.mean()) for w in wrong), rate


def float_row(seed: int) -> Row:
    """Return what a float net lost on data it was not calibrated on."""
    graph, x = float_net(seed)
    try:
        context = quantized(graph, x)
    except ToolchainError as error:
        return Row(seed, "float", refused=str(error).splitlines()[0])
    fresh = x[:, SAMPLES:]
    if fresh.max() > (1 << vars(context.graph.input)["soma"].payload_bits) - 1:
        fresh = x[:, :SAMPLES]
    differ, worst, rate = losses(graph, context.graph, run_float(graph, fresh), fresh)
    assert context.drift is not None
    warned = tuple(sorted({one.code for one in context.diagnostics if one.severity == "warning"}))
    return Row(
        seed, "float", differ, worst, rate, context.drift.agreement, context.drift.answer_error, warned,
        silent=worst > SPIKES_LIMIT * FRESH and not warned,
    )  # fmt: skip


FRESH = 1.25
"""Data that was not calibrated on may lie so far above a limit before its net counts as losing silently."""


def grid_row(seed: int) -> Row:
    """Return how many spikes of a net on the grid differ from those of its own integers."""
    integer, graph, x = grid_net(seed)
    try:
        context = quantized(graph, x)
    except ToolchainError as error:
        return Row(seed, "grid", refused=str(error).splitlines()[0])
    truth = {name: one.out for name, one in run_int(integer, x.astype(np.int64)).recordings.items()}
    differ, worst, rate = losses(graph, context.graph, truth, x)
    warned = tuple(sorted({one.code for one in context.diagnostics if one.severity == "warning"}))
    return Row(seed, "grid", differ, worst, rate, warnings=warned)


def main(arguments: list[str] | None = None) -> int:
    """Run the nets and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=int, default=300, help="of each kind (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first net")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    seeds, begin = range(options.seed, options.seed + options.nets), time.perf_counter()
    rows = {"grid": [grid_row(seed) for seed in seeds], "float": [float_row(seed) for seed in seeds]}
    seconds = time.perf_counter() - begin
    found = {kind: summary(of_kind) for kind, of_kind in rows.items()}
    if options.json:
        plain = {kind: [asdict(row) for row in of_kind] for kind, of_kind in rows.items()}
        sys.stdout.write(json.dumps({"seconds": seconds, "summary": found, **plain}) + "\n")
    else:
        sys.stdout.write("\n".join([*table(rows), f"{seconds:.0f} s"]) + "\n")
    grid = found["grid"]
    right = grid["most"] == grid["refused"] == found["float"]["silent"] == 0
    return int(not right or found["float"]["median"] > MEDIAN_LIMIT)


def summary(rows: list[Row]) -> dict[str, float]:
    """Return what nets of a kind lose: quantiles of the share of spikes that differ, and who is refused, warned, silent."""
    done = [row for row in rows if not row.refused]
    share = np.array([row.differ for row in done] or [0.0])
    ends = dict(zip(("median", "q90", "q99", "most"), np.quantile(share, [0.5, 0.9, 0.99, 1.0]).tolist(), strict=True))
    return {
        "nets": len(rows),
        "refused": len(rows) - len(done),
        "none": int((share == 0).sum()),
        **ends,
        "warned": sum(bool(row.warnings) for row in done),
        "silent": sum(row.silent for row in done),
    }


def table(rows: dict[str, list[Row]]) -> list[str]:
    """Return the figures for people."""
    lines = [
        f"{'nets':8} {'count':>6} {'refused':>8} {'none':>6} {'median':>8} {'90 %':>8} {'99 %':>8} {'most':>8}  warned, silent"
    ]
    for kind, found in rows.items():
        of = summary(found)
        ends = " ".join(f"{100 * of[name]:7.3f}%" for name in ("median", "q90", "q99", "most"))
        lines.append(
            f"{kind:8} {of['nets']:6d} {of['refused']:8d} {of['none']:6d} {ends}  {of['warned']}, {of['silent']}"
        )
        lines += [f"  seed {row.seed}: {row.refused}" for row in found if row.refused]
        lines += [f"  seed {row.seed}: {100 * row.differ:.2f} %, no warning" for row in found if row.silent]
    return lines


if __name__ == "__main__":
    sys.exit(main())
