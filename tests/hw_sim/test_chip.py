"""Chip files: what ships, and every kind of refusal with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikewright.hw_sim import ChipError, list_chips, load_chip
from spikewright.hw_sim.costs import EVENTS, worst_basis

ROOT = Path(__file__).parents[2] / "hw_sim" / "chips"


def test_the_chips_that_ship_load_and_every_number_has_a_source() -> None:
    assert {"demo", "loihi1", "loihi2"} <= set(list_chips())
    for name in list_chips():
        chip = load_chip(name)
        assert chip.name == name
        assert set(chip.costs) == set(EVENTS)
        for fact in (*chip.facts.values(), chip.static_power, *(c.energy for c in chip.costs.values())):
            assert fact.source in chip.sources
            assert fact.unit


def test_loihi2_has_the_published_limits_and_the_davies_energies() -> None:
    chip = load_chip("loihi2")
    assert (chip.mesh.cores, chip.core.max_neurons, chip.core.synapse_memory_bits) == (120, 8192, 128 * 1024 * 8)
    energy = {event: cost.energy.nominal for event, cost in chip.costs.items()}
    assert (energy["synaptic_op"], energy["neuron_update"], energy["spike"]) == (23.6, 52.0, 81.0 - 52.0)
    assert (energy["hop_east_west"], energy["hop_north_south"]) == (3.0, 4.0)
    assert chip.costs["synaptic_op"].energy.basis == "secondary"
    assert chip.costs["graded_synaptic_op"].energy.basis == "assumed"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("max_delay:", "max_dealy:", "max_dealy", "unknown key 'max_dealy'; allowed: max_neurons, "),
        (", basis: secondary, source: intel-brief}\n", ", source: intel-brief}\n", "max_neurons:", "missing: basis"),
        ("unit: neurons, ", "", "max_neurons:", "missing: unit"),
        ("source: timcheck-2026}", "source: hearsay}", "tiles_y:", "source 'hearsay' is not listed under sources"),
        (
            "basis: secondary, source: timcheck-2026, note", "basis: guessed, source: timcheck-2026, note", "tiles_x:",
            "basis 'guessed'; allowed: measured, simulated, secondary, assumed",
        ),
        ("value: 8192", "value: many", "max_neurons:", "expected a finite number"),
        ("value: 8192", "value: 08192", "max_neurons:", "expected a finite number"),
        ("value: 8192", "value: 1:30", "max_neurons:", "expected a finite number"),
        ("value: 8192", "value: 0x10", "max_neurons:", "expected a finite number"),
        ("value: 8192", "value: true", "max_neurons:", "expected a finite number"),
        ("chip: loihi2", 'chip: "a\\nb"', 'chip: "a', "holds a line break or control character"),
        ("value: 8192", "value: 81.5", "max_neurons:", "core.max_neurons is 81.5; expected a whole number"),
        (
            "low: 0.37, nominal: 0.66", "low: 0.7, nominal: 0.66", "latency: {low: 0.7",
            "low 0.7, nominal 0.66, high 1.06 are not in order from 0 up",
        ),
        ("unit: W", "unit: mW", "static:", "unit 'mW'; expected 'W'"),
        ("  barrier:", "  barier:", "  barier:", "unknown key 'barier'"),
        ("  max_delay:", "  max_neurons: {value: 1}\n  max_delay:", "max_neurons: {value: 1}", "'max_neurons' is given twice"),
        ("mesh:", "mesh: 3\nmesh_:", "mesh: 3", "unknown key 'mesh_'"),
    ],
)  # fmt: skip
def test_a_bad_entry_is_refused_by_its_line(tmp_path: Path, old: str, new: str, line: str, said: str) -> None:
    text = (ROOT / "loihi2.yaml").read_text()
    assert old in text
    bad = text.replace(old, new, 1)
    file = tmp_path / "my.yaml"
    file.write_text(bad)
    number = 1 + next(i for i, row in enumerate(bad.splitlines()) if line in row)

    with pytest.raises(ChipError) as error:
        load_chip(file)

    assert said in str(error.value)
    found = int(error.value.where.rpartition("line ")[2])
    assert found in (number, number + 1)  # a second `mesh` key is the next line
    assert error.value.help


def test_an_unknown_chip_names_those_that_ship() -> None:
    with pytest.raises(ChipError, match=r"chip 'loihi9': no chip of this name ships \(.*demo, .*loihi2.*\)"):
        load_chip("loihi9")


def test_broken_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("chip: {")
    with pytest.raises(ChipError, match="not readable as YAML"):
        load_chip(tmp_path / "x.yaml")


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 100_000, "{a: " * 60_000, "a: &a [*a]"])
def test_what_nests_without_end_is_refused_and_takes_no_stack(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ChipError, match="nested too deeply"):
        load_chip(tmp_path / "x.yaml")


def test_a_base_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("base: demo\nbase: loihi2\nchip: x\n")
    with pytest.raises(ChipError, match="line 2: 'base' is given twice"):
        load_chip(tmp_path / "x.yaml")


def test_the_worst_basis_is_that_of_a_sum() -> None:
    assert worst_basis(["measured", "assumed", "secondary"]) == "assumed"
    assert worst_basis([]) == "measured"


def test_boards_have_their_chips_and_the_cores_of_one_chip_as_it_is() -> None:
    one, board, system = load_chip("loihi2"), load_chip("kapoho-point"), load_chip("hala-point")
    several, many = load_chip("loihi2-x32"), load_chip("loihi2-x128")
    assert (board.mesh.chips, board.mesh.cores) == (8, 8 * 120)
    assert (several.mesh.cores, many.mesh.cores) == (32 * 120, 128 * 120)
    assert (system.mesh.chips, system.mesh.cores) == (1152, 140_544)
    assert board.core == system.core == one.core
    assert one.costs["barrier"].latency.nominal < board.costs["barrier"].latency.nominal
    assert board.costs["barrier"].energy == one.costs["barrier"].energy
    for chip in (board, several, many, system):
        assert chip.costs["chip_crossing"].energy.basis == "assumed"
        assert chip.facts["mesh.chips_x"].basis == "assumed"


BASED = """chip: mine
base: loihi2
description: "two chips"
mesh:
  chips_x: {value: 2, unit: chips, basis: assumed, source: me}
sources:
  me: "our board"
"""


def test_a_user_file_says_only_what_differs_from_its_base(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(BASED)
    mine = load_chip(tmp_path / "mine.yaml")
    assert (mine.name, mine.mesh.chips, mine.mesh.usable_cores_per_chip) == ("mine", 2, 120)
    assert mine.costs == load_chip("loihi2").costs
    assert mine.facts["mesh.chips_x"].source == "me"
    assert "davies-2018" in mine.sources


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("decay_bits: {value: 11", "core.decay_bits is 11; the machine computes with 12"),
        ("state_bits: {value: 16", "core.state_bits is 16; the machine computes with 24"),
        ("state_bits: {value: 32", "core.state_bits is 32; the machine computes with 24"),
        ("weight_bits: {value: 9", "core.weight_bits is 9; the machine computes with 2 .. 8"),
        ("threshold_bits: {value: 25", "core.threshold_bits is 25; the machine computes with 2 .. 24"),
        ("payload_bits: {value: 32", "core.payload_bits is 32; the machine computes with 1 .. 24"),
    ],
)
def test_widths_the_machine_does_not_compute_with_are_refused_when_the_chip_is_loaded(
    tmp_path: Path, limit: str, said: str
) -> None:
    core = f"core:\n  {limit}, unit: bits, basis: assumed, source: me}}\n"
    (tmp_path / "mine.yaml").write_text(BASED.replace("mesh:\n", core + "mesh:\n"))
    with pytest.raises(ChipError) as error:
        load_chip(tmp_path / "mine.yaml")
    assert said in str(error.value)
    assert error.value.where.endswith("mine.yaml, line 5")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("base: loihi2", "base: loihi9", 2, "no chip called 'loihi9' ships"),
        ("  chips_x:", "  chips_z:", 5, "unknown key 'chips_z'"),
        (", source: me", "", 5, "missing: source"),
        ("source: me", "source: you", 5, "source 'you' is not listed under sources"),
    ],
)
def test_a_bad_entry_over_a_base_is_refused_by_its_own_line(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    (tmp_path / "mine.yaml").write_text(BASED.replace(old, new))
    with pytest.raises(ChipError) as error:
        load_chip(tmp_path / "mine.yaml")
    assert said in str(error.value)
    assert error.value.where.endswith(f"mine.yaml, line {line}")
