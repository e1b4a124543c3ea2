"""Make ``vectors/brian2loihi.npz``: small random Loihi 1 nets, run in brian2-loihi 0.5.2 (Brian2 2.9.0 on its numpy target).

brian2-loihi needs numpy < 2, so it has an environment of its own (the one that ``python -m benchmarks.peers`` makes)::

    python3.11 -m venv build/peers/brian2-loihi
    build/peers/brian2-loihi/bin/pip install brian2-loihi==0.5.2 brian2==2.9.0 numpy==1.26.4
    build/peers/brian2-loihi/bin/python tests/hw_sim/make_brian2loihi_vectors.py

Every net is ``in -> a -> b`` with, as the case says, ``a -> a`` and ``b -> a``. Stored: ``meta`` (JSON: the populations and
projections of every case with all parameters, and the versions), and per case k ``k/x`` (T, n) the input spikes,
``k/PROJECTION`` (n_source, n_target) the weight mantissas as given to brian2-loihi, and ``k/PART/s``, ``/v``, ``/u`` (T, n)
spikes, voltage after the reset, and current of a and b. Neither current nor voltage leaves 24 bits (brian2-loihi computes in
floating point and has no limit there); the script stops if one does, or if a group never spikes.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import brian2_loihi as bl
import numpy as np
from brian2 import prefs

OUT = Path(__file__).parent / "vectors" / "brian2loihi.npz"
STEPS = 80
SIZE = {"in": 12, "a": 10, "b": 8}
MIXED, EXCITATORY, INHIBITORY = 1, 2, 3
RANGE = {MIXED: (-200, 255), EXCITATORY: (0, 256), INHIBITORY: (-256, 1)}
"""Mantissas are below the second number. A mixed sign could go down to -256; -200 lets the groups spike more."""


def link(source, target, sign=MIXED, exponent=0, bits=8, delay=0):
    """Return the parameters of one projection."""
    row = {"source": source, "target": target, "sign_mode": sign, "w_exp": exponent}
    return {**row, "num_weight_bits": bits, "delay": delay}


def group(threshold, decay_i=4096, decay_v=512, refractory=1):
    """Return the parameters of one group of neurons."""
    return {"threshold_v_mant": threshold, "decay_I": decay_i, "decay_v": decay_v, "refractory": refractory}


IN, AB = link("in", "a"), link("a", "b")
CASES = {
    "no refractory period": ([IN, AB], group(300), group(200)),
    "refractory 2 and 4": ([IN, AB], group(200, refractory=2), group(100, refractory=4)),
    "refractory 64 and 3": ([IN, AB], group(200, refractory=64), group(10, refractory=3)),
    "filtered currents": ([IN, AB], group(900, 1024, 700), group(700, 333, 1500, 2)),
    "voltages that keep all": ([IN, AB], group(900, 4096, 0), group(900, 4000, 1, 2)),
    "currents that keep all": (
        [link("in", "a", exponent=-3), link("a", "b", exponent=-3)],
        group(900, 0, 2000),
        group(900, 1, 1000, 2),
    ),
    "everything forgotten": ([IN, AB], group(150, 4096, 4096), group(70, 4095, 4096, 2)),
    "odd decays": ([IN, AB], group(500, 1777, 4095, 2), group(600, 2049, 3, 4)),
    "excitatory and inhibitory": (
        [link("in", "a", EXCITATORY), link("a", "b", EXCITATORY), link("a", "a", INHIBITORY)],
        group(900),
        group(700, 2000),
    ),
    "5 and 2 weight bits": (
        [link("in", "a", bits=5), link("a", "b", EXCITATORY, bits=2), link("b", "a", INHIBITORY, bits=3)],
        group(250),
        group(400, 1000),
    ),
    "positive exponents": (
        [link("in", "a", exponent=3), link("a", "b", exponent=7), link("b", "a", INHIBITORY, exponent=1)],
        group(1500, refractory=2),
        group(20000),
    ),
    "negative exponents": (
        [link("in", "a", exponent=-1), link("a", "b", exponent=-3), link("a", "a", exponent=-8)],
        group(100),
        group(20, 1024),
    ),
    "recurrent": ([IN, AB, link("a", "a"), link("b", "a")], group(300, 2048, 900), group(200, refractory=2)),
    "delays": (
        [link("in", "a", delay=2), link("a", "b", delay=5), link("a", "a", delay=1), link("b", "a", delay=3)],
        group(300, 2048, refractory=2),
        group(200, 3000, refractory=4),
    ),
    "everything at once": (
        [
            link("in", "a", EXCITATORY, 1, 7),
            link("a", "b", MIXED, -2, 6, 1),
            link("a", "a", INHIBITORY, -1, 8, 4),
            link("b", "a", MIXED, 2, 4, 2),
        ],
        group(1200, 1300, 410, 4),
        group(50, 500, 100, 2),
    ),
}


def weights(row, rng):
    """Draw 60 % of all weight mantissas in the range of the sign mode, the extremes among them."""
    low, high = RANGE[row["sign_mode"]]
    w = rng.integers(low, high, (SIZE[row["source"]], SIZE[row["target"]]))
    w.flat[:2] = low, high - 1
    return w * (rng.random(w.shape) < 0.6)


def run(rows, groups, x, w):
    """Run one net; return s, v, u (T, n) of both groups."""
    when, which = np.nonzero(x)
    parts = {"in": bl.LoihiSpikeGeneratorGroup(SIZE["in"], which.tolist(), when.tolist())}
    parts |= {name: bl.LoihiNeuronGroup(SIZE[name], **groups[name]) for name in groups}
    synapses = []
    for row, mantissas in zip(rows, w, strict=True):
        options = {k: v for k, v in row.items() if k not in ("source", "target")}
        one = bl.LoihiSynapses(parts[row["source"]], parts[row["target"]], **options)
        i, j = np.nonzero(mantissas)
        one.connect(i=i, j=j)
        one.w = mantissas[i, j]
        synapses.append(one)
    spikes = {name: bl.LoihiSpikeMonitor(parts[name]) for name in groups}
    states = {(name, s): bl.LoihiStateMonitor(parts[name], s) for name in groups for s in ("v", "I")}
    bl.LoihiNetwork(*parts.values(), *synapses, *spikes.values(), *states.values()).run(STEPS)
    found = {}
    for name in groups:
        train = np.zeros((STEPS, SIZE[name]), np.int8)
        train[np.rint(np.asarray(spikes[name].t_) * 1000).astype(int), np.asarray(spikes[name].i)] = 1
        v, u = (np.asarray(getattr(states[name, s], s)).T for s in ("v", "I"))
        if max(abs(v).max(), abs(u).max()) >= 2**23 - 1 or not train.any() or (v != np.rint(v)).any():
            raise ValueError(
                f"{name}: |v| {abs(v).max()}, |u| {abs(u).max()}, {train.sum()} spikes; choose other parameters"
            )
        found |= {f"{name}/s": train, f"{name}/v": v.astype(np.int32), f"{name}/u": u.astype(np.int32)}
    return found


def main():
    """Run every case and write the file."""
    prefs.codegen.target = "numpy"
    arrays, described = {}, []
    for k, (name, (rows, a, b)) in enumerate(CASES.items()):
        rng = np.random.default_rng(k)
        x = (rng.random((STEPS, SIZE["in"])) < 0.25).astype(np.int8)
        w = [weights(row, rng) for row in rows]
        arrays[f"{k}/x"] = x
        arrays |= {f"{k}/{row['source']}-{row['target']}": m.astype(np.int16) for row, m in zip(rows, w, strict=True)}
        arrays |= {f"{k}/{key}": value for key, value in run(rows, {"a": a, "b": b}, x, w).items()}
        described.append({"name": name, "projections": rows, "groups": {"a": a, "b": b}})
    versions = {package: version(package) for package in ("brian2-loihi", "brian2", "numpy")}
    np.savez_compressed(OUT, meta=json.dumps({"versions": versions, "cases": described}), **arrays)


if __name__ == "__main__":
    main()
