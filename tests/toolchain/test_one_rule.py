"""One rule for gate shapes, payloads and chip widths: interpreter, machine and Lava ask the same classes and agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hw_reference import run as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from int_nets import int_dense, int_gate, int_gate_link, int_gate_table, int_identity, int_input, int_lif
from mapped import mapped
from numpy.typing import NDArray
from tiny import tiny_graph, tiny_samples

from spikewright.export.lava import LavaBackend
from spikewright.hw_sim import ProgramError, compile, drc, load_chip, simulate
from spikewright.toolchain.coding import payloads
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError, VerifyError
from spikewright.toolchain.integer import IntOutput
from spikewright.toolchain.interpret import run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.mapping import map_graph
from spikewright.toolchain.options import Options
from spikewright.toolchain.passes.align import Align
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.verify import verify

Ints = NDArray[np.int64]
T, B = 6, 2


def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


def gated(
    shape: tuple[int, ...], gate: tuple[int, ...], rng: np.random.Generator, *, output_gate: bool = False
) -> Graph:
    """Neurons of ``shape`` behind an identity, scaled by a table of gains and by gate neurons, both of shape ``gate``."""
    n, g = int(np.prod(shape)), int(np.prod(gate))
    ops = (
        int_input(name="x", shape=shape, payload_bits=4, signed=True),
        int_identity(name="i", inputs=("x",), weight=30, exponent=2),
        int_gate_table(name="table", shape=gate, table=rng.integers(0, 257, (T, g))),
        int_gate_link(name="link0", inputs=("table",)),
        int_dense(name="count", inputs=("x",), weight=rng.integers(-9, 10, (g, n)) * 2),
        int_gate(name="g", inputs=("count",), shape=gate, thresholds=ints(-20, 0, 40), levels=ints(0, 64, 200, 256)),
        int_gate_link(name="link1", inputs=("g",), port=1),
        int_lif(
            name="l", inputs=("i", "link0", "link1"), shape=shape, gates=2, output_gate=output_gate,
            decay_v=ints(700), bias=ints(40), threshold=ints(9000),
        ),
        IntOutput(name="y", inputs=("l",), readout="spikes"),
    )  # fmt: skip
    return Align()(Graph(ops, T))


shapes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4))


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes,
    square=st.booleans(),
    vector=st.booleans(),
    out=st.booleans(),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_a_gate_scales_the_same_neurons_everywhere(
    shape: tuple[int, int, int], square: bool, vector: bool, out: bool, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    shape = (shape[2], *shape[1:]) if square else shape
    gate = (shape[0],) if vector else tuple(data.draw(st.sampled_from((1, n))) for n in shape)
    graph = gated(shape, gate, rng, output_gate=out)
    verify(graph, level="aligned")
    program = map_graph(graph, load_chip("loihi2"))
    x = rng.integers(-16, 16, (T, B, *shape))

    oracle, machine = run_int(graph, x), simulate(program, {"x": x}, record=True)
    written_out = reference(program, {"x": x}, T)

    np.testing.assert_array_equal(oracle.recordings["l"].v, machine.v["l"])
    np.testing.assert_array_equal(oracle.recordings["l"].out, machine.spikes["l"])
    np.testing.assert_array_equal(oracle.recordings["l"].v.reshape(T, B, -1), written_out.v["l"])
    np.testing.assert_array_equal(oracle.answer, machine.outputs)


@pytest.mark.lava
def test_a_channel_vector_is_per_channel_in_lava_too(rng: np.random.Generator) -> None:
    cases = [((3, 2, 3), (3,)), ((3, 2, 3), (1, 2, 3)), ((2, 2, 2), (2,))]
    jobs = [(gated(shape, gate, rng), rng.integers(-16, 16, (T, B, *shape))) for shape, gate in cases]

    found = LavaBackend().run_many(jobs, record=True)

    for (graph, x), result in zip(jobs, found, strict=True):
        np.testing.assert_array_equal(result.recordings["l"].v, run_int(graph, x).recordings["l"].v)


@pytest.mark.parametrize("gate", [(3,), (2, 3), (12,), (2, 3, 1)])
def test_a_gate_of_another_shape_is_refused_by_the_graph_and_by_the_program(
    gate: tuple[int, ...], rng: np.random.Generator
) -> None:
    program = map_graph(gated((2, 2, 3), (2,), rng), load_chip("loihi2"))
    host = np.full(int(np.prod(gate)), -1, np.int32)
    shaped = [replace(p, shape=gate, core=host) if p.name == "table" else p for p in program.populations]

    with pytest.raises(VerifyError, match=r"at a gate; it takes a shape that broadcasts to \(2, 2, 3\)"):
        verify(gated((2, 2, 3), gate, rng), level="integer")
    with pytest.raises(ProgramError, match="does not broadcast to"):
        replace(program, populations=tuple(shaped)).check()


# ------------------------------------------------------------------------------------------ payloads
def payload_net(bits: int, signed: bool) -> Graph:
    ops = (
        int_input(name="x", shape=(2,), payload_bits=bits, signed=signed),
        int_dense(name="d", inputs=("x",), weight=ints(2, -4, 6, 8).reshape(2, 2)),
        int_lif(name="l", inputs=("d",), shape=(2,), decay_v=ints(700), bias=ints(0), threshold=ints(200 << 6)),
        IntOutput(name="y", inputs=("l",)),
    )
    return Align()(Graph(ops, 3))


KINDS = [(1, False), (1, True), (3, False), (3, True), (12, True)]


@pytest.mark.lava
def test_the_extreme_payloads_give_the_same_states_on_every_backend() -> None:
    jobs = []
    for bits, signed in KINDS:
        graph, low, high = payload_net(bits, signed), -(1 << bits) if signed else 0, (1 << bits) - 1
        jobs.append((graph, np.array([[[low, high]], [[high, low]], [[low, low]]])))

    found = LavaBackend().run_many(jobs, record=True)

    for (graph, x), lava in zip(jobs, found, strict=True):
        np.testing.assert_array_equal(payloads(graph, x, levels_only=True), x)
        oracle = run_int(graph, x)
        machine = simulate(map_graph(graph, load_chip("loihi2")), {"x": x}, record=True)
        for got in (machine.v["l"], lava.recordings["l"].v):
            np.testing.assert_array_equal(got, oracle.recordings["l"].v)


@pytest.mark.parametrize(("bits", "signed"), KINDS)
@pytest.mark.parametrize("end", [0, 1])
def test_a_payload_beyond_the_extremes_is_refused_by_all_in_the_same_words(bits: int, signed: bool, end: int) -> None:
    graph, low, high = payload_net(bits, signed), -(1 << bits) if signed else 0, (1 << bits) - 1
    x = np.full((3, 1, 2), (low - 1, high + 1)[end])
    program = map_graph(graph, load_chip("loihi2"))
    said = f"payloads run from {x.min()} to {x.max()}; {bits} bits hold {low} .. {high}"

    for refuse in (
        lambda: payloads(graph, x, levels_only=True),
        lambda: run_int(graph, x),
        lambda: LavaBackend().run(mapped(graph), x),
    ):
        with pytest.raises(InputError) as caught:
            refuse()
        assert caught.value.what == said
    with pytest.raises(ProgramError) as caught_by_machine:
        simulate(program, {"x": x})
    assert caught_by_machine.value.what == said


# ---------------------------------------------------------------------------------------- chip widths
def narrow_chip(folder: Path, bits: int) -> str:
    width = f"{{value: {bits}, unit: bits, basis: assumed, source: none}}"
    file = folder / "narrow.yaml"
    file.write_text(f'chip: narrow\nbase: loihi2\ndescription: "narrow weights"\ncore:\n  weight_bits: {width}\n')
    return str(file)


def narrow(folder: Path, bits: int, **options: int) -> Deployment:
    samples = tiny_samples()
    asked = Options(chip=narrow_chip(folder, bits), **options)  # type: ignore[arg-type]
    return deploy_graph(tiny_graph(), asked, samples, name="tiny", samples=samples)


@pytest.mark.lava
@pytest.mark.parametrize("bits", [2, 4, 6])
def test_the_weights_of_a_narrow_chip_are_as_wide_as_it_says(bits: int, tmp_path: Path) -> None:
    made = narrow(tmp_path, bits)
    x = made.encode(tiny_samples().x[:, :3])

    weights = [p.synapses.weights for p in made.program.projections]
    assert max(int(np.abs(w).max()) for w in weights) == (1 << bits) - 2
    assert drc.violations(made.program, made.chip) == []
    oracle = run_int(made.integer, x)
    machine = simulate(compile(made.program, made.chip), {"input": x}, record=True)
    lava = LavaBackend().run(made, x, record=True)
    for name in ("lif1", "lif2"):
        np.testing.assert_array_equal(machine.v[name], oracle.recordings[name].v)
        np.testing.assert_array_equal(lava.recordings[name].v, oracle.recordings[name].v)


def test_more_bits_than_the_chip_has_are_refused_and_the_help_works(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        narrow(tmp_path, 4, weight_bits=8)

    assert str(caught.value) == (
        "--weight-bits: 8; 2 .. 4 is allowed\n"
        "  help: choose --weight-bits in 2 .. 4, or leave it out: chip 'narrow' holds 4 bits"
    )
    assert narrow(tmp_path, 4, weight_bits=3).options.weight_bits == 3
    assert narrow(tmp_path, 4).options.weight_bits is None


def test_a_program_for_wider_weights_is_refused_by_the_rule_book_of_a_narrow_chip(tmp_path: Path) -> None:
    wide = narrow(tmp_path, 8)
    with pytest.raises(ProgramError, match=r"allowed even, -16 \.\. 14"):
        drc.check(wide.program, load_chip(narrow_chip(tmp_path, 4)))
