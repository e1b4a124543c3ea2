"""The table family x variant x lowering: complete, each cell from a net that ran or with a reason, and README has it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from checked_nets import attention
from lowered_blocks import taken

from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.lowerings import STRATEGIES, Lowerings, lowerings, net_of, tried, variants
from spikewright.toolchain.passes.lower_gates import strategy_for

README = Path(__file__).parents[2] / "README.md"


def test_a_cell_is_tried_and_says_whether_it_is_exact_or_why_it_does_not_work() -> None:
    causal, published = attention("causal", "TC"), attention("paper", "C")
    blocks = dict(variants(type(causal)))

    found = {s: tried(blocks["causal TC"], "causal TC", s) for s in ("static", "causal", "replay")}

    assert [(cell.works, cell.exact) for cell in found.values()] == [(True, False), (True, True), (False, False)]
    assert found["replay"].reason == "none of its gates needs a later step: nothing is to be run again"
    refused = tried(blocks["paper C"], "paper C", "causal")
    assert refused.reason == published.refusal("causal") == (
        "its channel gate reads the membrane inside the step, before any neuron may fire"
    )  # fmt: skip
    assert tried(blocks["paper C"], "paper C", "barrier").exact


def test_every_variant_has_a_tiny_net_whose_weights_fit() -> None:
    names = [name for name, _ in variants(type(attention("code", "T")))]

    assert len(names) == len(set(names)) == 4 * 7
    for _, block in variants(type(attention("code", "T"))):
        assert net_of(block)[block.name] is block
        assert all(np.isfinite(weights).all() for weights in block.parameters.values())


@pytest.fixture(scope="module")
def table() -> Lowerings:
    return lowerings()


@pytest.mark.slow
def test_the_table_is_complete_and_no_refusal_is_without_a_reason(table: Lowerings) -> None:
    by_variant = table.by_variant()

    assert {family for family, _ in by_variant} >= {"gac", "ma", "staa", "tcja"}
    for cells in by_variant.values():
        assert [cell.strategy for cell in cells] == list(STRATEGIES)
        assert all(bool(cell.reason) != cell.works for cell in cells)
    assert all("op 'block'" not in cell.reason and "differ" not in cell.reason for cell in table.cells)
    assert set(table.to_dict()[0]) == {"family", "variant", "strategy", "works", "exact", "reason"}


@pytest.mark.slow
def test_the_table_in_readme_is_what_the_command_finds(table: Lowerings) -> None:
    kept = re.search(r"<!-- spikewright lowerings --markdown -->\n(.*?)\n<!-- end -->", README.read_text(), re.DOTALL)

    assert kept is not None
    assert kept[1] == table.markdown(), "write it anew: python -m docs.site.tables --run lowerings"


def test_a_refused_lowering_of_a_block_with_an_exact_one_points_to_that() -> None:
    block = taken("causal")["spike-attention token"]

    with pytest.raises(GateLoweringError) as refusal:
        strategy_for(block, "replay")

    assert refusal.value.help == "deploy with --gates causal (or auto)"
