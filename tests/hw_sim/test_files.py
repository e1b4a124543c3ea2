"""Programs and traces on disk, and programs as text."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hw_random import random_program
from hw_workloads import conv
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewright.hw_sim import ProgramError, load_program, load_trace, simulate


@settings(max_examples=25)
@given(seed=st.integers(min_value=0, max_value=2**31))
def test_a_program_read_back_runs_the_same_and_prints_the_same(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program, inputs = random_program(seed)
    path = tmp_path_factory.mktemp("program") / "net"
    program.save(path)

    again = load_program(path)

    assert str(again) == str(program)
    np.testing.assert_array_equal(simulate(again, inputs).outputs, simulate(program, inputs).outputs)


def test_the_same_program_gives_the_same_bytes(tmp_path: Path) -> None:
    program, _ = conv()
    program.save(tmp_path / "a.npz")
    load_program(tmp_path / "a.json").save(tmp_path / "b")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.json", "a.npz", "b.json", "b.npz"]
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "truncated", "other", "not json"])
def test_a_damaged_program_is_refused(tmp_path: Path, damage: str) -> None:
    conv()[0].save(tmp_path / "net")
    packed = tmp_path / "net.npz"
    match damage:
        case "missing":
            packed.unlink()
        case "truncated":
            packed.write_bytes(packed.read_bytes()[:-100])
        case "other":
            conv(1)[0].save(tmp_path / "two")
            packed.write_bytes((tmp_path / "two.npz").read_bytes())
        case "not json":
            (tmp_path / "net.json").write_text("[1, 2")
    with pytest.raises(ProgramError, match=r"net\.json: not a readable program: .*\n  help: deploy again"):
        load_program(tmp_path / "net")


def test_a_program_prints_one_line_a_population_and_a_projection() -> None:
    assert str(conv()[0]) == (
        "program for loihi2: 100 steps, reads spikes of fc\n"
        "  in 2x34x34 = Source(payload_bits=1, signed=False) start 0, off the cores, sends binary\n"
        "  c1 16x16x16 = Lif(decay_u=4096, decay_v=512, bias=0, threshold=5760, v_reset=0, reset=value, gates=0, "
        "gate_bits=8, rectify=False) start 1, cores 0-3, sends binary\n"
        "  c2 32x7x7 = Lif(decay_u=4096, decay_v=512, bias=0, threshold=19200, v_reset=0, reset=value, gates=0, "
        "gate_bits=8, rectify=False) start 1, cores 4-5, sends binary\n"
        "  fc 10 = Lif(decay_u=4096, decay_v=512, bias=0, threshold=38400, v_reset=0, reset=value, gates=0, "
        "gate_bits=8, rectify=False) start 1, core 6, sends binary\n"
        "  in-c1: in -> c1 conv 16x2x3x3 stride 2x2 -40..60 << 0, delay 1, lag 0\n"
        "  c1-c2: c1 -> c2 conv 32x16x3x3 stride 2x2 -50..50 << 0, delay 1, lag 1\n"
        "  c2-fc: c2 -> fc dense 10x1568 -50..50 << 0, delay 1, lag 1"
    )


def test_a_trace_read_back_is_the_same(tmp_path: Path) -> None:
    program, inputs = random_program(5)
    trace = simulate(program, inputs, record=True)
    trace.save(tmp_path / "run.npz")

    again = load_trace(tmp_path / "run.npz")

    for f in fields(trace):
        one, two = getattr(trace, f.name), getattr(again, f.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, two)
        elif f.name in ("spikes", "v", "u"):
            assert one.keys() == two.keys()
            assert all(np.array_equal(one[name], two[name]) for name in one)
        else:
            assert one == two
    assert again.bottleneck() == trace.bottleneck()


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"no")
    with pytest.raises(ProgramError, match="not a readable trace"):
        load_trace(tmp_path / "x.npz")
