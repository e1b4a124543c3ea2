"""The checker on planted violations: named with the path, the cost and the cure."""

from __future__ import annotations

from checked_nets import HOST, block, conv, gac, lif, ma, net, only_violation

from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Add, Op, Relu
from spikewright.toolchain.spike_driven import check_graph


def residual(*shortcut: Op) -> Graph:
    """An MS-ResNet block that halves the map, its shortcut on the sum of currents."""
    return net(
        conv("stem", "in", 4, 1),
        lif("lif0", "stem"),
        conv("conv1", "lif0", 4, 4),
        lif("lif1", "conv1"),
        conv("conv2", "lif1", 4, 4),
        Add(name="add", inputs=("conv2", "stem")),
        lif("lif2", "add"),
        conv("conv3", "lif2", 8, 4, stride=2),
        *shortcut,
        Add(name="join", inputs=("conv3", "shortcut")),
        lif("lif3", "join", (8, 4, 4)),
    )


def test_a_shortcut_convolution_on_membranes_is_named_with_path_cost_and_cure() -> None:
    verdict = check_graph(residual(conv("shortcut", "add", 8, 4, 1, stride=2)), input_kind="binary", fits=True)

    assert (
        verdict.text()
        == """\
NOT spike-driven: 1 violation; 12 blocks on the chip (class 11 A, 1 D), 0 on the host

block     family   class  causal  barrier  fits  where  MACs/step  synapses  verdict
stem      vanilla  A      yes     -        yes   chip           0     5,808  ok
lif0      vanilla  A      yes     -        yes   chip           0         0  ok
conv1     vanilla  A      yes     -        yes   chip           0     7,744  ok
lif1      vanilla  A      yes     -        yes   chip           0         0  ok
conv2     vanilla  A      yes     -        yes   chip           0    15,488  ok
add       vanilla  A      yes     -        yes   chip           0         0  ok
lif2      vanilla  A      yes     -        yes   chip           0         0  ok
conv3     vanilla  A      yes     -        yes   chip           0     3,872  ok
shortcut  vanilla  D      yes     -        yes   chip         512         0  VIOLATION
join      vanilla  A      yes     -        yes   chip           0         0  ok
lif3      vanilla  A      yes     -        yes   chip           0         0  ok
out       vanilla  A      yes     -        yes   chip           0         0  ok

violation 1: block 'shortcut'
  what: Conv 'shortcut' reads the membrane of 'add', not spikes: 512 dense MACs every step
  path: in -> stem -> add -> shortcut: real values of 'conv2' and 'stem' arrive in every step, event or not
  cost: 512 MACs per step
  help: insert a LIF in front of 'shortcut' (and retrain)

notes
  add: 2 neuron layers read it; each gets its own synapses from every branch"""
    )


def test_the_cure_of_the_shortcut_cures_it() -> None:
    mended = residual(lif("lif_s", "add"), conv("shortcut", "lif_s", 8, 4, 1, stride=2))

    assert check_graph(mended, input_kind="binary").spike_driven


def test_a_float_convolution_after_the_first_spike_is_a_violation() -> None:
    graph = net(
        conv("conv1", "in", 4, 1),
        lif("lif1", "conv1"),
        conv("conv2", "lif1", 4, 4),
        Relu(name="relu", inputs=("conv2",)),
        conv("conv3", "relu", 4, 4),
        lif("lif2", "conv3"),
    )

    found = only_violation(check_graph(graph, input_kind="binary"))

    assert (found.name, found.cost_class, found.macs_per_step) == ("conv3", "D", 4 * 4 * 9 * 64)
    assert found.violation == (
        "Conv 'conv3' reads the rectified real values of 'relu', not spikes: 9,216 dense MACs every step"
    )
    assert found.witness == (
        "in -> conv1 -> lif1 -> conv2 -> relu -> conv3: real values of 'relu' arrive in every step, event or not"
    )
    assert found.help == "insert a LIF in front of 'conv3' (and retrain)"


def test_two_maps_in_a_row_are_a_violation_at_the_second() -> None:
    graph = net(
        conv("conv1", "in", 4, 1), conv("conv2", "conv1", 4, 4), conv("conv3", "conv2", 4, 4), lif("lif", "conv3")
    )

    verdict = check_graph(graph, input_kind="binary")

    assert [b.name for b in verdict.violations] == ["conv2", "conv3"]
    assert "reads the real-valued current of 'conv1'" in str(block(verdict, "conv2").violation)


def test_an_unquantized_gate_in_front_of_a_convolution_is_a_violation() -> None:
    graph = gac(conv("conv1", "encoder", 4, 4), lif("lif1", "conv1"))

    found = only_violation(check_graph(graph, input_kind="dense", host=HOST))

    assert (found.name, found.cost_class, found.macs_per_step) == ("conv1", "D", 9216)
    assert found.violation == (
        "Conv 'conv1' reads the unquantized gate of 'encoder', not spikes: 9,216 dense MACs every step"
    )
    assert found.witness == (
        "in -> stem -> encoder -> conv1: the spikes of 'encoder' carry real values, not integer payloads"
    )
    assert found.help == "send the gate as an 8-bit payload (--payload-bits 8)"
    assert check_graph(graph, input_kind="dense", host=HOST, payload_bits=8).spike_driven


def test_an_unquantized_gate_on_an_identity_path_is_a_violation_at_every_neuron_that_reads_it() -> None:
    verdict = check_graph(gac(), input_kind="dense", host=HOST)

    assert [b.name for b in verdict.violations] == ["lif1", "lif3", "lif4"]
    assert block(verdict, "lif3").witness.startswith("in -> stem -> encoder -> add1 -> lif3: ")


def test_a_temporal_gate_in_streaming_mode_is_a_violation() -> None:
    found = only_violation(check_graph(ma("paper", "T"), input_kind="binary"))

    assert found.violation == (
        "MALIF 'ma' (MA T, variant 'paper') is not causal: its TA pools over all 8 steps, so step 0 waits for step 7"
    )
    assert found.witness == "in -> conv1 -> ma: TA of step 0 reads the current of step 7"
    assert found.macs_per_step == 2 * 2 * 2  # two paths through 2 hidden units and back, per step
    assert found.help == "deploy with --gates static, or train variant 'causal'"
