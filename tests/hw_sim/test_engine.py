"""The engine against the plain step-by-step reference: states, spikes, saturation, and every counter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from example_counts import examples
from hw_random import CORES, random_program
from hw_reference import run, walk
from hw_workloads import all_at_once, conv, fc
from hypothesis import given
from hypothesis import strategies as st

from spikewright import hw_sim
from spikewright.hw_sim import ProgramError, SaturationError, Source, compile, load_chip, simulate
from spikewright.hw_sim.compiled import counters
from spikewright.hw_sim.engine import run as engine_run
from spikewright.hw_sim.noc import Links

seeds = st.integers(min_value=0, max_value=2**31)


@examples(300)
@given(seed=seeds)
def test_random_programs_give_the_spikes_and_states_of_the_reference(seed: int) -> None:
    program, inputs = random_program(seed)

    trace = simulate(program, inputs, record=True)

    ref = run(program, inputs, program.steps)
    for p in program.populations:
        flat = (program.steps, -1, p.size)
        np.testing.assert_array_equal(trace.spikes[p.name].reshape(flat), ref.sent[p.name])
        if p.name in trace.v:
            np.testing.assert_array_equal(trace.v[p.name].reshape(flat), ref.v[p.name])
        if p.name in trace.u:
            np.testing.assert_array_equal(trace.u[p.name].reshape(flat), ref.u[p.name])
        assert trace.populations[p.name].spikes == ref.messages[p.name].sum()
    assert trace.wraps == ref.wraps
    assert trace.clips == ref.clips
    if program.readout_kind == "membrane":
        np.testing.assert_array_equal(trace.outputs, ref.v[program.readout][-1])
    else:
        np.testing.assert_array_equal(trace.outputs, ref.sent[program.readout].sum(axis=0))


@examples(100)
@given(seed=seeds, apart=st.booleans(), large=st.booleans())
def test_counters_equal_a_walk_over_every_event_per_core_and_step(seed: int, apart: bool, large: bool) -> None:
    program, inputs = random_program(seed)
    chip, cores = load_chip("loihi2"), CORES
    if apart:  # projections to different populations then share no core, and are counted by emitters of their own
        cores *= len(program.populations)
        moved = tuple(
            replace(p, core=np.where(p.core < 0, p.core, p.core + CORES * k).astype(np.int32))
            for k, p in enumerate(program.populations)
        )
        program = replace(program, populations=moved)

    with pytest.MonkeyPatch.context() as patch:
        if large:
            patch.setattr(counters, "SMALL", 0)
        trace = simulate(program, inputs)

    ref = run(program, inputs, program.steps)
    counts = walk(program, ref, program.steps, cores, chip)
    c = trace.cores
    for kind, got in (("binary", trace.sops_binary), ("graded", trace.sops_graded), ("gate", trace.sops_gate)):
        np.testing.assert_array_equal(got, counts.sops[kind][:, :c])
        by_name = sum(p.sops for p in trace.projections.values() if p.kind == kind)
        assert by_name == counts.sops[kind].sum()
    np.testing.assert_array_equal(trace.messages, counts.messages[:, :c])
    np.testing.assert_array_equal(trace.messages_in, counts.messages_in[:, :c])
    np.testing.assert_array_equal(trace.hops_east_west + trace.hops_north_south, counts.hops[:, :c])
    np.testing.assert_array_equal(trace.host_messages, counts.host)
    names = [Links(chip.mesh).name(int(link)) for link in trace.links]
    crossed = dict(zip(names, trace.link_messages.tolist(), strict=True))
    assert {name: n for name, n in crossed.items() if n} == counts.links


@examples(50)
@given(seed=seeds)
def test_small_blocks_of_samples_and_steps_change_nothing(seed: int) -> None:
    program, inputs = random_program(seed)
    whole = simulate(program, inputs, record=True, threads=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_run, "BLOCK_BYTES", 1)
        cut = simulate(program, inputs, record=True, threads=2)

    for name in whole.spikes:
        np.testing.assert_array_equal(cut.spikes[name], whole.spikes[name])
    np.testing.assert_array_equal(cut.outputs, whole.outputs)
    np.testing.assert_array_equal(cut.sops, whole.sops)
    np.testing.assert_array_equal(cut.latency_ns, whole.latency_ns)
    np.testing.assert_array_equal(cut.link_messages, whole.link_messages)


@examples(50)
@given(seed=seeds)
def test_deleting_one_event_lowers_sops_by_its_fan_out(seed: int) -> None:
    """On the input projections: what the lost event changes downstream is not its own fan-out."""
    program, inputs = random_program(seed)
    compiled = compile(program)
    name, x = next(iter(inputs.items()))
    events = np.argwhere(x)
    if not len(events):
        return
    t, b, *place = events[seed % len(events)]
    neuron = int(np.ravel_multi_index(place, x.shape[2:]))
    fewer = x.copy()
    fewer[(t, b, *place)] = 0

    before, after = simulate(compiled, inputs), simulate(compiled, {**inputs, name: fewer})

    for p in program.projections:
        if p.source == name:
            arrives = t + program.lag(p) < program.steps
            inner = int(np.flatnonzero(compiled.stages[name].order == neuron)[0])
            fan_out = compiled.fan_out[p.name].of(inner)
            assert before.projections[p.name].sops - after.projections[p.name].sops == fan_out * arrives


@examples(30)
@given(seed=seeds)
def test_dense_sops_are_what_every_neuron_firing_in_every_step_costs(seed: int) -> None:
    program, inputs = random_program(seed)
    ones = {name: np.ones_like(x) for name, x in inputs.items()}

    trace = simulate(program, ones)

    for p in program.projections:
        if p.source in ones:
            assert trace.projections[p.name].sops == trace.projections[p.name].dense_sops
        assert trace.projections[p.name].sops <= trace.projections[p.name].dense_sops


def test_zero_input_without_biases_costs_no_sop_and_no_message() -> None:
    program, x = conv(steps=10)
    trace = simulate(program, {"in": 0 * x})
    assert (trace.sops.sum(), trace.messages_in.sum(), trace.spikes_out.sum(), trace.synmem_reads.sum()) == (0, 0, 0, 0)
    assert set(trace.term.ravel().tolist()) == {0}


def test_fc10_raw_has_the_published_1678413_sops() -> None:
    program, x = fc()
    trace = simulate(program, {"in": x})
    assert [p.sops for p in trace.projections.values()] == [1069668, 608745]
    assert [p.spikes for p in trace.populations.values()] == [10449, 6012, 3771]
    assert trace.sops_binary.sum() == 1678413


def test_conv_s2_at_delay_1_has_the_published_2169042_sops() -> None:
    program, x = conv(2)
    trace = simulate(program, {"in": x})
    assert trace.sops_binary.sum() == 2169042
    assert trace.projections["in-c1"].sops == 363888


def test_fc10_even_has_the_5041_and_2724_spikes_of_lava_and_brian2_loihi() -> None:
    program, x = fc(even=True)
    trace = simulate(all_at_once(program), {"in": x})
    assert [p.spikes for p in trace.populations.values()] == [10449, 5041, 2724]


def test_every_mapped_neuron_is_updated_in_every_chip_step_of_every_sample() -> None:
    program, x = conv(steps=5)
    trace = simulate(program, {"in": np.concatenate([x, x, x], axis=1)})
    assert trace.neuron_updates.sum() == (16 * 16 * 16 + 32 * 7 * 7 + 10) * (5 + 1) * 3


@pytest.mark.parametrize("bits", [8, 9, 24])
def test_matrix_products_are_exact_on_both_sides_of_what_float32_holds(bits: int, rng: np.random.Generator) -> None:
    """Every target's 257 weights of 255 make 65535; times 255 that is below 2**24, times 511 above it."""
    one = np.ones(1, np.int64)
    weight = rng.choice([-255, 255], size=(300, 257))
    weight[0] = 255
    source = hw_sim.Population("in", (257,), Source(bits), core=np.full(257, -1, np.int32), kind="graded")
    acc = hw_sim.Population("acc", (300,), hw_sim.DeltaRelu(4096 * one, 0), 1, np.zeros(300, np.int32), "graded")
    synapses = hw_sim.Projection("p", "in", "acc", hw_sim.DenseSynapses(weight), exponent=-8)
    x = (1 << bits) - 1 - rng.integers(0, 2, size=(16, 2, 257))
    program = hw_sim.Program((source, acc), (synapses,), "loihi2", 16, "acc")
    compiled = compile(program)

    trace = simulate(compiled, {"in": x}, record=True)

    (item,) = compiled.stages["acc"].inputs
    assert item.synapses.floats.dtype == (np.float32 if bits == 8 else np.float64)  # type: ignore[union-attr]
    np.testing.assert_array_equal(trace.v["acc"], np.clip((x @ weight.T) >> 8, -(2**23 - 1), 2**23 - 1))


def test_words_read_follow_the_format_of_the_synapses() -> None:
    """Two messages; a dense row of 20 x 8 bits is 3 words, 2 sparse synapses of 8 + 5 bits one, 9 x 1 kernel entries 2."""
    one = np.ones(1, np.int64)
    lif = hw_sim.Lif(4096 * one, 0 * one, 0 * one, one << 20, 0 * one)
    dense, sparse = np.full((20, 9), 2), np.zeros((20, 9), np.int64)
    sparse[3:5, 4] = 2
    zero = np.zeros(20, np.int32)
    populations = (
        hw_sim.Population("in", (1, 3, 3), Source(1), core=np.full(9, -1, np.int32)),
        hw_sim.Population("d", (20,), lif, 1, zero),
        hw_sim.Population("s", (20,), lif, 1, zero + 1),
        hw_sim.Population("c", (1, 3, 3), lif, 1, zero[:9] + 2),
    )
    kernel = hw_sim.ConvSynapses(np.ones((1, 1, 3, 3), np.int64), padding=(1, 1))
    projections = (
        hw_sim.Projection("pd", "in", "d", hw_sim.DenseSynapses(dense)),
        hw_sim.Projection("ps", "in", "s", hw_sim.DenseSynapses(sparse)),
        hw_sim.Projection("pc", "in", "c", kernel),
    )
    x = np.zeros((2, 1, 1, 3, 3), np.int64)
    x[0, 0, 0, 1, 1] = x[1, 0, 0, 1, 1] = 1
    trace = simulate(hw_sim.Program(populations, projections, "loihi2", 2, "d"), {"in": x})
    np.testing.assert_array_equal(trace.synmem_reads, [[0, 0, 0], [3, 1, 2], [3, 1, 2]])
    np.testing.assert_array_equal(trace.sops_binary, [[0, 0, 0], [20, 2, 9], [20, 2, 9]])


def test_strict_names_the_population_that_saturates() -> None:
    one = np.ones(1, np.int64)
    source = hw_sim.Population("in", (1,), Source(24), core=np.full(1, -1, np.int32))
    lif = hw_sim.Lif(4096 * one, 0 * one, 0 * one, one << 22, 0 * one)
    soma = hw_sim.Population("hot", (1,), lif, start=1, core=np.zeros(1, np.int32))
    synapse = hw_sim.Projection("p", "in", "hot", hw_sim.DenseSynapses(np.array([[2]])))
    program = hw_sim.Program((source, soma), (synapse,), "loihi2", 2, "hot")
    x = np.full((2, 1, 1), 100_000)
    assert simulate(program, {"in": x}).wraps == {"in": 0, "hot": 2}
    with pytest.raises(
        SaturationError, match="population 'hot': u wrapped 2 times and v was clipped 0 times at 24 bits"
    ):
        simulate(program, {"in": x}, strict=True)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((9, 1, 2, 34, 34), np.int64), r"source 'in': input of shape \(9, 1, 2, 34, 34\)"),
        (np.zeros((10, 1, 2, 34, 34)), "dtype float64; expected integers"),
        (np.full((10, 1, 2, 34, 34), 2), r"payloads run from 2 to 2; 1 bits hold 0 .. 1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x: np.ndarray, said: str) -> None:
    program, _ = conv(steps=10)
    with pytest.raises(ProgramError, match=said):
        simulate(program, {"in": x})


def test_a_missing_source_is_refused() -> None:
    program, x = conv(steps=10)
    with pytest.raises(ProgramError, match=r"inputs for \['x'\]; the program's sources are \['in'\]"):
        simulate(program, {"x": x})
