"""A population that is not there is refused by name."""

import numpy as np
import pytest

from spikewright.hw_sim import Population, Program, Source
from spikewright.hw_sim.errors import ProgramError


def test_a_population_that_is_not_there_is_refused_with_those_that_are() -> None:
    made = Population("input", (2,), Source(1), core=np.full(2, -1, np.int32))
    program = Program((made,), (), "demo", 1, "input")
    assert program.population("input") is made
    with pytest.raises(ProgramError, match="no population is called 'inptu'; there are input"):
        program.population("inptu")
