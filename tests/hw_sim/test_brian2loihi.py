"""Loihi 1 neurons, refractory ones too, spike as in brian2-loihi: stored spikes of six random layers.

Made with brian2-loihi 0.5.2 (Brian2 on its numpy target, Python 3.11, numpy 1.26.4), 60 steps: ``LoihiSpikeGeneratorGroup``
(12) -> ``LoihiSynapses`` (mixed sign, ``W``) -> ``LoihiNeuronGroup`` (10) with ``p`` = refractory, decay_I, decay_v,
threshold_v_mant; ``t`` and ``i`` are its spikes, one step later than ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hw_sim import DenseSynapses, Lif, Population, Program, Projection, Source, simulate

STORED = Path(__file__).parent / "vectors" / "brian2loihi.npz"
ONE = np.ones(1, np.int64)


@pytest.mark.parametrize("case", range(6))
def test_a_layer_spikes_as_in_brian2_loihi(case: int) -> None:
    with np.load(STORED, allow_pickle=False) as stored:
        x, weight = stored["x"].astype(np.int64), stored["W"].astype(np.int64)
        refractory, decay_u, decay_v, threshold = (int(value) for value in stored[f"p{case}"])
        times, neurons = stored[f"t{case}"] - 1, stored[f"i{case}"]
    steps = len(x)
    lif = Lif(decay_u * ONE, decay_v * ONE, 0 * ONE, (threshold << 6) * ONE, 0 * ONE, refractory=refractory)
    source = Population("in", (12,), Source(1), core=np.full(12, -1, np.int32))
    layer = Population("n", (10,), lif, start=1, core=np.zeros(10, np.int32))
    synapses = Projection("p", "in", "n", DenseSynapses(weight.T))
    program = Program((source, layer), (synapses,), "loihi1", steps, "n", "spikes")

    spikes = simulate(program, {"in": x[:, None]}, record=True).spikes["n"][:, 0]

    last = steps - 3  # their run ends before our last steps
    theirs = {(int(t), int(n)) for t, n in zip(times, neurons, strict=True) if t < last}
    ours = {(int(t), int(n)) for t, n in np.argwhere(spikes) if t < last}
    assert len(ours) > 50
    assert ours == theirs
