"""What an extension takes: no kind needs more files than promised, and the counting sees who names what."""

from __future__ import annotations

from pathlib import Path

import files_to_change
import pytest
from files_to_change import Count, naming, parts

NAMES = files_to_change.read()


@pytest.mark.parametrize("count", files_to_change.counts(NAMES), ids=lambda count: count.kind)
def test_no_extension_takes_more_files_than_promised(count: Count) -> None:
    assert count.total <= count.limit, str(count)


def test_every_representative_is_named_where_it_is_made() -> None:
    for words in (files_to_change.NEURON[:1], files_to_change.SYNAPSES[:1]):
        assert naming(NAMES, words), words
    assert (files_to_change.ROOT / "hw_sim" / "chips" / f"{files_to_change.CHIP}.yaml").is_file()


def test_a_file_names_what_it_uses_and_not_what_it_tells(tmp_path: Path) -> None:
    file = tmp_path / "seen.py"
    file.write_text(
        '"""Prose about Conv."""\n'
        "from a.tcja import lower_staa as x\n"
        "import b.gac\n"
        "# Relu\n"
        "def run(op):\n"
        "    match op:\n"
        "        case ops.Lif(): return make(kind='ma-digits', say='all about Affine')\n"
    )

    found = files_to_change.names_in(file)

    assert {"tcja", "lower_staa", "gac", "Lif", "ma-digits", "kind"} <= found
    assert found.isdisjoint({"Conv", "Relu", "Affine"})


def test_a_name_is_seen_within_a_name() -> None:
    assert "staa" in parts("lower_staa")
    assert "tcja" in parts("TCJA")
    assert {"joint", "gate"} <= parts("JointGate")
    assert "gac" not in parts("gac-digits")


def test_only_files_outside_are_counted() -> None:
    names = {"a/own.py": frozenset({"X"}), "a/other.py": frozenset({"X", "Y"}), "b/third.py": frozenset({"Y"})}

    assert naming(names, ("X",), outside=("a/own.py",)) == ("a/other.py",)
    assert Count("block", 2, 2, ("a/other.py",)).total == 3
    assert "TOO MANY" in str(Count("block", 2, 2, ("a/other.py",)))
