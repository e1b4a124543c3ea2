"""The design rule check: what it accepts, and the words with which it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikewright.hw_sim import (
    CapacityError,
    ConvSynapses,
    DenseSynapses,
    GateLink,
    GateTable,
    IdentitySynapses,
    Lif,
    Population,
    Program,
    ProgramError,
    Projection,
    Source,
    drc,
    load_chip,
)

ONE = np.ones(1, np.int64)
LIF = Lif(4096 * ONE, 512 * ONE, 0 * ONE, 640 * ONE, 0 * ONE)
HOST = np.full(4, -1, np.int32)


def small() -> Program:
    """in (4) -> a (3) on core 0 -> b (3) on core 1, ``a`` gated by a table."""
    return Program(
        (
            Population("in", (4,), Source(1), core=HOST),
            Population("g", (3,), GateTable(np.full((1, 3), 128)), kind="gate"),
            Population("a", (3,), replace(LIF, gates=1), 1, np.zeros(3, np.int32)),
            Population("b", (3,), LIF, 2, np.ones(3, np.int32)),
        ),
        (
            Projection("in-a", "in", "a", DenseSynapses(np.array([[2, 0, -4, 6]] * 3))),
            Projection("g-a", "g", "a", GateLink(0)),
            Projection("a-b", "a", "b", IdentitySynapses(5)),
        ),
        "loihi2",
        4,
        "b",
    )


def with_population(program: Program, name: str, **changes: Any) -> Program:
    """Change fields of a population, or of its soma."""
    made = []
    for p in program.populations:
        if p.name == name:
            own = {k: v for k, v in changes.items() if k in ("start", "core", "kind", "shape", "soma")}
            soma = replace(p.soma, **{k: v for k, v in changes.items() if k not in own})
            made.append(replace(p, **{"soma": soma, **own}))
        else:
            made.append(p)
    return replace(program, populations=tuple(made))


def with_projection(program: Program, name: str, **changes: Any) -> Program:
    return replace(
        program, projections=tuple(replace(p, **changes) if p.name == name else p for p in program.projections)
    )


def dense(*weights: int) -> DenseSynapses:
    return DenseSynapses(np.array([weights] * 3))


def test_a_legal_program_passes() -> None:
    chip = load_chip("loihi2")
    drc.check(small(), chip)
    assert drc.violations(small(), chip) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda p: with_projection(p, "in-a", synapses=dense(2, 0, -3, 6)),
            "projection 'in-a': mixed weights -3 .. 6, some odd; allowed even, -256 .. 254\n"
            "  help: scale and round the weights, and move the factor into the exponent",
        ),
        (
            lambda p: with_projection(p, "in-a", synapses=dense(256, 0, 1, 6)),
            "projection 'in-a': weights 0 .. 256; allowed -255 .. 0 or 0 .. 255\n"
            "  help: scale and round the weights, and move the factor into the exponent",
        ),
        (
            lambda p: with_projection(p, "in-a", synapses=DenseSynapses(np.zeros((3, 5), np.int64))),
            "projection 'in-a': synapses of shape (3, 5) do not fit the populations; expected (3, 4)\n"
            "  help: give the weight as (target neurons, source neurons), or mend the population shapes",
        ),
        (
            lambda p: with_projection(p, "in-a", exponent=8),
            "projection 'in-a': exponent 8; allowed -8 .. 7\n"
            "  help: scale and round the weights, and move the factor into the exponent",
        ),
        (
            lambda p: with_projection(p, "a-b", delay=64),
            "projection 'a-b': delay 64; allowed 1 .. 63\n  help: split the delay over relay neurons",
        ),
        (
            lambda p: with_population(p, "b", start=3),
            "projection 'a-b': lag -1 (start 1 + delay 1 - start 3); at least 0 is needed\n"
            "  help: start the target later, lengthen the delay, or put the source earlier in the program",
        ),
        (
            lambda p: with_projection(p, "a-b", target="c"),
            "projection 'a-b': no population is called 'c'\n  help: use one of in, g, a, b",
        ),
        (
            lambda p: with_population(p, "a", decay_v=np.array([4097])),
            "population 'a': decay_v 4097 .. 4097; allowed 0 .. 4096\n  help: round the decay to 12 bits",
        ),
        (
            lambda p: with_population(p, "a", threshold=np.array([1 << 23])),
            "population 'a': threshold 8388608 .. 8388608; allowed -8388608 .. 8388607\n"
            "  help: scale weights, bias and threshold down together",
        ),
        (
            lambda p: with_population(p, "a", bias=np.array([1 << 19])),
            "population 'a': bias 524288 .. 524288; allowed -524288 .. 524287\n"
            "  help: scale weights, bias and threshold down together",
        ),
        (
            lambda p: with_population(p, "a", bias=np.zeros(2, np.int64)),
            "population 'a': bias has 2 values; allowed 1 or 3\n  help: give one for each neuron",
        ),
        (
            lambda p: with_population(p, "in", payload_bits=25),
            "population 'in': sends payloads of up to 25 bits; chip 'loihi2' carries 24\n"
            "  help: lower payload_bits, raise the shift, or choose a chip with graded spikes",
        ),
        (
            lambda p: with_population(p, "a", kind="graded"),
            "population 'a': kind 'graded'; its soma sends 'binary'\n  help: declare 'binary'",
        ),
        (
            lambda p: with_population(p, "a", gates=2),
            "population 'a': gate links at ports [0]; the neuron has ports 0 .. 1\n  help: give each port exactly one link",
        ),
        (
            lambda p: with_population(p, "b", output_gate=True, kind="graded"),
            "population 'b': an output gate, but no gate port\n  help: give it a gate port, or no output gate",
        ),
        (
            lambda p: with_population(p, "g", gate_bits=7),
            "projection 'g-a': gate levels of 7 bits meet a neuron of 8\n  help: use the same gate_bits on both sides",
        ),
        (
            lambda p: with_population(p, "g", table=np.full((1, 3), 257)),
            "population 'g': table 257 .. 257; allowed 0 .. 256\n  help: clip the levels",
        ),
        (
            lambda p: with_population(p, "b", core=np.array([1, 1, -1], np.int32)),
            "population 'b': some of its neurons have no core\n  help: map the program",
        ),
    ],
)
def test_a_program_error_says_what_was_found_what_is_allowed_and_what_mends_it(
    change: Callable[[Program], Program], said: str
) -> None:
    with pytest.raises(ProgramError) as error:
        drc.check(change(small()), load_chip("loihi2"))
    assert str(error.value) == said


def test_a_core_number_the_chip_does_not_have_is_refused() -> None:
    program = with_population(small(), "b", core=np.full(3, 120, np.int32))
    with pytest.raises(
        CapacityError, match="population 'b': a neuron is on core 120; chip 'loihi2' has 120 cores, 1 too few"
    ):
        drc.check(program, load_chip("loihi2"))


def test_a_full_core_names_population_core_limit_excess_and_what_would_fit() -> None:
    chip = load_chip("demo")
    program = Program(
        (
            Population("in", (4,), Source(1), core=HOST),
            Population("big", (1500,), LIF, 1, np.full(1500, 2, np.int32)),
        ),
        (Projection("in-big", "in", "big", DenseSynapses(np.full((1500, 4), 3))),),
        "demo",
        4,
        "big",
    )
    with pytest.raises(CapacityError) as error:
        drc.check(program, chip)
    assert str(error.value) == (
        "population 'big': core 2 needs 1500 of max_neurons; chip 'demo' has 1024 per neurocore, 476 too few\n"
        "  help: spread it over at least 2 cores"
    )


def test_graded_sources_are_refused_on_loihi1() -> None:
    program = with_population(small(), "in", payload_bits=2)
    program = with_population(program, "in", kind="graded")
    with pytest.raises(ProgramError, match="sends payloads of up to 2 bits; chip 'loihi1' carries 1"):
        drc.check(program, load_chip("loihi1"))


def test_utilization_counts_neurons_memory_and_axons_by_format() -> None:
    """A 3x3 kernel is stored once on each core; dense rows take neurons x 8 bits, sparse ones synapses x (8 + index) bits."""
    core = np.repeat(np.array([0, 1], np.int32), 32)
    weight = np.zeros((10, 64), np.int64)
    weight[0, :4] = 2
    program = Program(
        (
            Population("in", (1, 4, 8), Source(1), core=np.full(32, -1, np.int32)),
            Population("c", (2, 4, 8), LIF, 1, core),
            Population("d", (10,), LIF, 2, np.full(10, 1, np.int32)),
        ),
        (
            Projection("p", "in", "c", ConvSynapses(np.ones((2, 1, 3, 3), np.int64), padding=(1, 1))),
            Projection("q", "c", "d", DenseSynapses(weight)),
        ),
        "loihi2",
        4,
        "d",
    )
    use = {(u.core, u.resource): u.used for u in drc.utilization(program, load_chip("loihi2"))}
    assert (use[0, "max_neurons"], use[1, "max_neurons"]) == (32, 42)
    assert use[0, "synapse_memory_bits"] == 9 * 8
    assert use[1, "synapse_memory_bits"] == 9 * 8 + 4 * (8 + 4)
    assert (use[0, "max_axons_in"], use[1, "max_axons_in"]) == (32, 32 + 4)
    assert (use[0, "max_axons_out"], use[1, "max_axons_out"]) == (4, 0)
    assert (use[0, "max_fan_in"], use[1, "max_fan_in"]) == (9, 9)
    assert (use[0, "max_fan_out"], use[1, "max_fan_out"]) == (1, 0)
