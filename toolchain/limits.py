"""What quantizing may lose, the room it leaves, and what still is an event: every limit once, by name (docs/losses.md)."""

from __future__ import annotations

# -------------------------------------------------------------------------------- beyond these a loss is a warning
SPIKES_LIMIT = 0.05
"""Share of a layer's (step, sample, neuron) whose spike may differ: nets that keep their answers stay below, as a rule."""
SPARSE_LIMIT = 0.5
"""Differing spikes, as a share of those that either net sends: a quiet layer that keeps below 5 % can still be all wrong."""
FEW = 16
"""Spikes of a layer, or of a neuron, in all of the data, up to which a share of them says nothing."""
SILENCED_LIMIT = 0.01
"""Share of a layer's neurons that may fall silent; any of them is noted."""
ZEROED_LIMIT = 0.1
"""Share of a map's weight, by size, that may round to 0: trained maps with a few large weights lose up to 8 % unharmed."""
CHANNEL_LIMIT = 0.5
"""Share of one output channel's weight, by size, that may round to 0."""
ANSWER_LIMIT = 0.25
"""Mean change of an answer, as a share of how far the float net's answers lie apart: classes stand it, values do not."""
TOLERANCE = 0.01
"""Default of ``--tolerance``: share of the samples that may be answered worse; above 0 one sample always may."""

# ---------------------------------------------------------------------------------------- when a loss is mended
MENDED_FROM = 0.15
"""Share of a layer's spikes from which a finer unit is tried even where no answer changes: its cost is synapses and SOPs."""
REFINED_FROM = 0.01
"""Layers that lose less are left as they are."""
OUTLIER_LIMIT = 0.04
"""What 8 bits may round away of a row's weights, on average and as a share of their median: normal rows lose 1 %, rows with an
outlier of 20 times the others 6 %; these alone get a second projection, all rows only where that is not enough."""
MENDS = 0.5
"""A second projection is taken where it leaves at most this share of the spikes that differed; it costs synapses and SOPs."""

# ------------------------------------------------------------------- room for what calibration data does not show
HEADROOM = 1.5
"""Default of ``--headroom``: other data may drive a neuron so many times as far as calibration data did."""
EXACT_HEADROOM = 1.25
"""The same where weights are on the chip's grid as they are: they lose by a coarser unit, so they get less room."""
UNLIKE = 4
"""Times more, or fewer, spikes than on the calibration data, from which a run says so: drift was measured there."""
COUNTS_ROOM = 2
"""Event counts may be so many times busier than in the calibration data; ``--input-bits`` says otherwise."""
COUNT_LIMIT = 1 << 16
"""Whole numbers below this are taken for event counts; larger ones are values, which a first layer on the host reads."""

# ----------------------------------------------------------------------------------------------- what is an event
DENSE_FROM = 0.95
"""Messages a neuron and step from which a graded stream on the data path is dense: its synapses work as often as a dense
layer's."""
DENSE_PRICE = 4
"""By how much ``--streams auto`` counts a dense relay's energy times cores higher, less where it is sparser; it takes one that
is dense only where the chip has no room for a set of relays without."""
