"""The Pareto front: who is on it is beaten by nobody, who is not is beaten by one who is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spikewright.toolchain.exploration.pareto import beats, front

POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=12)


@given(POINTS)
def test_nobody_beats_the_front_and_the_front_beats_the_rest(points: list[tuple[int, int, int]]) -> None:
    found = set(front(points))

    for i, one in enumerate(points):
        beaten_by = {k for k, other in enumerate(points) if beats(other, one)}
        assert (i in found) == (not beaten_by)
        assert i in found or beaten_by & found


def test_equal_points_stand_on_the_front_together() -> None:
    assert front([(1.0, 2.0), (1.0, 2.0), (2.0, 2.0), (0.0, 3.0)]) == [0, 1, 3]
    assert front([]) == []
