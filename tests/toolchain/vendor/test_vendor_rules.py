"""The vendor compiler's rules on their edges: lists, weight bits, chunk passes, slices, and what is refused or not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewright.toolchain.errors import InputError, MappingError
from spikewright.toolchain.vendor import (
    COMPILERS,
    FACTS,
    Conv,
    Dense,
    Layer,
    Row,
    Sparse,
    compiler_called,
    memory_bars,
    partition,
    pieces,
    table_of,
    weight_bits,
)
from spikewright.toolchain.vendor.lists import bits_by_range
from spikewright.toolchain.vendor.memory import slice_neurons
from spikewright.toolchain.vendor.numbers import REGISTERS, WEIGHT_FIELD

OLD, NEW = COMPILERS["2022"], COMPILERS["2023"]


def dense(n: int, inputs: int, bits: int = 8) -> Layer:
    return Layer("fc", (n,), (Dense(inputs, bits),))


def conv(shape: tuple[int, int, int], inputs: int = 3, bits: int = 8, area: int = 9) -> Layer:
    return Layer("conv", shape, (Conv(inputs, area, bits, shape[0]),), ("grid",))


def weights(*values: int) -> np.ndarray:
    return np.array([values])


# --------------------------------------------------------------------------------------------- weight bits
@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ((-178, 192), 8),
        ((-20, 18), 5),
        ((-6, 6), 3),
        ((0, 255), 8),
        ((1, 100), 8),  # 7 by range; the field has none
        ((3, 60), 6),
        ((-255, -1), 8),
        ((-3, -1), 2),
        ((0, 0), 0),
        ((128, 0), 1),
        ((-98, 124), 8),  # 7 by range: Oxford dense2
        ((-1, 1), 2),
        ((-2, 0), 1),
    ],
)
def test_weight_bits_follow_range_sign_and_common_factor(values: tuple[int, ...], bits: int) -> None:
    assert weight_bits(weights(*values)) == bits


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=20).filter(any))
def test_weight_bits_do_not_change_when_weights_are_moved_up(values: list[int]) -> None:
    w = weights(*values)
    assert weight_bits(w) == weight_bits(2 * w) in WEIGHT_FIELD


@given(st.lists(st.integers(-63, 63).map(lambda n: 2 * n), min_size=2, max_size=20))
def test_bits_of_even_mixed_weights_are_the_range_alone(values: list[int]) -> None:
    w = weights(*values, -2, 2)
    low, high = int(w.min()), int(w.max())
    assert bits_by_range(w) == 8 - int(np.floor(np.log2(min(127 / high, -128 / low)))) - 1


# --------------------------------------------------------------------------------------------------- lists
@given(st.integers(1, 5000))
def test_pieces_are_distinct_powers_of_two_that_sum_to_the_channels(n: int) -> None:
    assert sum(pieces(n)) == n
    assert all(p & (p - 1) == 0 for p in pieces(n))
    assert list(pieces(n)) == sorted(set(pieces(n)), reverse=True)


@given(st.integers(1, 300), st.integers(1, 60), st.sampled_from(WEIGHT_FIELD[1:]))
def test_a_full_pattern_takes_the_words_of_a_dense_list(n: int, inputs: int, bits: int) -> None:
    assert Sparse(*np.nonzero(np.ones((n, inputs), bool)), bits).words(0, n) == Dense(inputs, bits).words(0, n)


def test_a_sparse_list_takes_the_words_of_its_pattern() -> None:
    pattern = np.zeros((40, 3), bool)
    pattern[:4, 0] = True
    pattern[:, 1] = True
    made = Sparse(*np.nonzero(pattern), 8)
    assert made.words(0, 40) == 2 + 13
    assert made.axons_in(0, 40) == 2
    assert made.words(4, 40) == 12


def test_a_convolution_of_one_group_per_channel_has_lists_of_one_channel() -> None:
    assert Conv(8, 9, 8, 8, groups=8).words(8) == 8 * 9
    assert Conv(8, 9, 8, 8).words(8) == 8 * 9 * 2
    assert Conv(3, 9, 5, 1).words(1) == 27


# ------------------------------------------------------------------------------------------ lists in chunks
def test_a_layer_smaller_than_the_chunk_is_allocated_its_own_neurons() -> None:
    cut = partition(dense(10, 64), NEW)
    assert (cut.chunk, cut.cores, cut.passes) == (4095, 1, ())


def test_a_layer_too_wide_does_not_converge() -> None:
    for compiler in COMPILERS.values():
        cut = partition(dense(4, compiler.synapse_words + 1), compiler)
        assert not cut.converged
        assert cut.log().endswith("Partitioning could not converge")
        assert partition(dense(4, compiler.synapse_words), compiler).converged
    table = table_of((dense(4, 20_000), dense(2, 4)), NEW)
    assert (table.cores, table.converged) == (None, False)
    assert "does not converge" in str(table)
    with pytest.raises(MappingError, match=r"does not converge.*Synapses"):
        memory_bars((dense(4, 20_000),), NEW)


@settings(max_examples=60)
@given(st.integers(1, 9000), st.integers(1, 20_000), st.sampled_from(WEIGHT_FIELD), st.sampled_from([OLD, NEW]))
def test_every_chunk_that_converges_fits_and_the_one_before_did_not(
    n: int, inputs: int, bits: int, compiler: object
) -> None:
    layer, version = dense(n, inputs, bits), compiler
    assert isinstance(version, type(OLD))
    cut = partition(layer, version)
    assert all(p.allocation > p.limit == version.synapse_words for p in cut.passes)
    if cut.chunk is None:
        assert inputs > version.synapse_words
        return
    assert layer.fullest(cut.chunk) <= version.synapse_words
    assert cut.cores == -(-n // cut.chunk)
    bars = memory_bars((layer,), version)
    assert sum(bar.neurons for bar in bars) == n
    assert all(bar.neurons == min(cut.chunk, n) for bar in bars[:-1])
    assert max(bar.used for bar in bars) == bars[0].used


def test_a_weightless_layer_still_has_lists() -> None:
    assert table_of((dense(100, 10, bits=0),), OLD).rows[0].cells["Synapses"] == 10 * 19


# ------------------------------------------------------------------------------------------ grids in slices
def test_columns_of_the_old_compiler_are_a_power_of_two_and_the_rest_is_allocated_whole() -> None:
    layer = conv((24, 32, 99))
    cut = partition(layer, OLD)
    assert (cut.slice, cut.cores) == ((4, 32, 24), 25)
    bars = memory_bars((layer,), OLD)
    assert [bar.neurons for bar in bars[-2:]] == [3072, 2304]
    assert bars[-1].words == bars[0].words


def test_the_old_compiler_does_not_cut_rows_or_channels() -> None:
    assert not partition(conv((64, 64, 8)), OLD).converged
    assert not partition(conv((512, 2, 2), inputs=256), OLD).converged
    assert partition(conv((64, 64, 8)), NEW).converged


def test_the_new_compiler_cuts_channels_until_synapses_fit_and_fails_where_one_is_too_many() -> None:
    assert partition(conv((512, 14, 14), inputs=256, bits=5), NEW).slice == (8, 7, 64)
    cut = partition(conv((4, 8, 8), inputs=2000), NEW)
    assert not cut.converged
    assert cut.passes[-1].tried == (8, 8, 1)


def test_one_channel_and_one_pixel() -> None:
    assert partition(conv((1, 28, 28)), NEW).slice == (16, 28, 1)
    assert partition(conv((1, 28, 28)), OLD).slice == (28, 28, 1)
    assert partition(conv((8192, 1, 1)), NEW).slice == (1, 1, 2048)
    for compiler in COMPILERS.values():
        assert partition(conv((1, 1, 1)), compiler).cores == 1


@settings(max_examples=80)
@given(st.integers(1, 64), st.integers(1, 60), st.integers(1, 130), st.integers(1, 64))
def test_slices_of_the_new_compiler_fit_and_cover_the_grid(c: int, h: int, w: int, inputs: int) -> None:
    layer = conv((c, h, w), inputs)
    cut = partition(layer, NEW)
    assert cut.slice is not None
    x, y, k = cut.slice
    assert x & (x - 1) == 0
    assert x <= w
    assert x * y * k <= 4095
    assert Conv(inputs, 9, 8, c).words(k) <= NEW.synapse_words
    neurons = slice_neurons((c, h, w), cut.slice)
    assert len(neurons) == cut.cores
    assert sum(neurons) == c * h * w
    assert all(0 < n <= x * y * k for n in neurons)


# --------------------------------------------------------------------------------------------- the table
def test_what_no_row_shows_is_not_known_and_neither_is_its_total() -> None:
    first, last = conv((8, 8, 8)), Layer("out", (4, 8, 8), (Conv(8, 9, 4, 4),), ("host",))
    out, into = table_of((first, last), OLD).rows
    assert (out.layer, out.total, out.cells["AxonMap"]) == ("out", sum(w or 0 for w in out.cells.values()), 256)
    assert (into.cells["AxonMem"], into.total) == (None, None)
    assert into.texts()[5:7] == ["n/a", f">{into.known}"]
    gated = table_of((replace(dense(4, 4), gated=True),), NEW).rows[0]
    assert gated.cells["AxonIn"] is gated.cells["AxonMap"] is None


def test_words_are_the_mean_core_and_percents_the_full_one() -> None:
    layer = dense(256, 200)
    mean, full = (table_of((layer,), compiler).rows[0] for compiler in (OLD, replace(OLD, unit="percent")))
    assert (mean.cells["Neurons"], mean.cells["Synapses"], mean.cells["AxonMap"]) == (85, 5400, 85)
    assert (full.cells["Neurons"], full.cells["Synapses"]) == (127, 8000)


def test_each_destination_has_its_own_axon_map() -> None:
    def mapped(*targets: str) -> int | None:
        made = Layer("n", (6, 8, 8), (Conv(3, 9, 8, 6),), targets)  # type: ignore[arg-type]
        return table_of((made,), NEW).rows[0].cells["AxonMap"]

    assert mapped("grid") == 64  # 6 channels count as 8: one piece
    assert mapped("list") == 6 * 64
    assert mapped("grid", "host") == 7 * 64
    assert mapped() == 0


def test_the_table_is_plain_data_too() -> None:
    made = table_of((dense(256, 200), dense(200, 256)), OLD)
    data = made.to_dict()
    assert data["cores"] == made.cores == 5
    assert [row["chunk"] for row in data["rows"]] == [127, 127]
    assert list(data["rows"][0])[1:7] == list(REGISTERS)
    assert isinstance(made.rows[0], Row)
    assert "16200/12000" in str(made)


def test_every_number_has_a_source_and_unknown_compilers_are_refused() -> None:
    assert all(fact.source and fact.unit and fact.note and fact.basis == "secondary" for fact in FACTS.values())
    with pytest.raises(InputError, match="2021"):
        compiler_called("2021")
