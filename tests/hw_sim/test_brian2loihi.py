"""Loihi 1 nets, refractory ones too, give brian2-loihi's spikes, voltages and currents, step by step.

``make_brian2loihi_vectors.py`` stored them and says how. Local time: a population of ours starts at chip step 1, so its
local step t is brian2-loihi's step t; a synaptic delay of d there is ``delay = d + 1`` here between two groups.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spikewright.hw_sim import DenseSynapses, Lif, Population, Program, Projection, Source, Trace, simulate

Int = NDArray[np.int64]

with np.load(Path(__file__).parent / "vectors" / "brian2loihi.npz", allow_pickle=False) as file:
    STORED = {key: file[key] for key in file.files}
CASES: list[dict[str, Any]] = json.loads(str(STORED["meta"]))["cases"]
ONE = np.ones(1, np.int64)
BY_NAME = pytest.mark.parametrize("k", range(len(CASES)), ids=[case["name"] for case in CASES])


def loihi1_weight(mantissa: Int, row: dict[str, Any]) -> tuple[Int, int]:
    """Return Loihi 1's weight and exponent: the mantissa without the bits it has not, and shifted down one synapse at a time.

    We shift the *sum* of a projection, as lava-nc does, so an exponent below 0 goes into the weights.
    """
    step = 1 << 8 - row["num_weight_bits"] + (row["sign_mode"] == 1)  # a mixed sign takes one bit
    kept = np.sign(mantissa) * (abs(mantissa) // step) * step
    down = min(row["w_exp"], 0)
    return kept >> -down, row["w_exp"] - down


def program_of(k: int) -> Program:
    """Build case ``k`` with the parameters that brian2-loihi was given."""
    case, steps = CASES[k], len(STORED[f"{k}/x"])
    parts = [Population("in", (12,), Source(1), core=np.full(12, -1, np.int32))]
    for name, g in case["groups"].items():
        lif = Lif(
            g["decay_I"] * ONE, g["decay_v"] * ONE, 0 * ONE, (g["threshold_v_mant"] << 6) * ONE, 0 * ONE,
            refractory=g["refractory"],
        )  # fmt: skip
        n = STORED[f"{k}/{name}/s"].shape[1]
        parts.append(Population(name, (n,), lif, start=1, core=np.zeros(n, np.int32)))
    projections = []
    for row in case["projections"]:
        name = f"{row['source']}-{row['target']}"
        weight, exponent = loihi1_weight(STORED[f"{k}/{name}"].astype(np.int64), row)
        synapses = DenseSynapses(np.ascontiguousarray(weight.T))
        projections.append(Projection(name, row["source"], row["target"], synapses, exponent, row["delay"] + 1))
    return Program(tuple(parts), tuple(projections), "loihi1", steps, "b", "spikes")


def run(program: Program, k: int) -> Trace:
    return simulate(program, {"in": STORED[f"{k}/x"].astype(np.int64)[:, None]}, record=True)


@BY_NAME
def test_a_net_spikes_and_decays_as_in_brian2_loihi(k: int) -> None:
    trace = run(program_of(k), k)

    for name in ("a", "b"):
        theirs = {key: STORED[f"{k}/{name}/{key}"] for key in ("s", "v", "u")}
        np.testing.assert_array_equal(trace.u[name][:, 0], theirs["u"], err_msg=f"u of {name}")
        np.testing.assert_array_equal(trace.v[name][:, 0], theirs["v"], err_msg=f"v of {name}")
        np.testing.assert_array_equal(trace.spikes[name][:, 0], theirs["s"], err_msg=f"spikes of {name}")


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize(("case", "name"), [(1, "a"), (1, "b"), (2, "a"), (2, "b")])
def test_the_stored_spikes_tell_a_refractory_period_from_its_neighbours(case: int, name: str, by: int) -> None:
    program = program_of(case)
    parts = [
        replace(p, soma=replace(p.soma, refractory=p.soma.refractory + by))
        if p.name == name and isinstance(p.soma, Lif)
        else p
        for p in program.populations
    ]

    trace = run(replace(program, populations=tuple(parts)), case)

    assert not np.array_equal(trace.spikes[name][:, 0], STORED[f"{case}/{name}/s"])
