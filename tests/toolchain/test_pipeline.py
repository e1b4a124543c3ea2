"""The road as a whole: accuracy kept, lowering chosen or refused with the reason, options and data checked first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikewright import toolchain
from spikewright.toolchain.blocks.ma import MALIF
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import GateLoweringError, InputError, ToolchainError, VerifyError
from spikewright.toolchain.interpret import run_int
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Input, Lif, Output, Relu
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph, input_code
from spikewright.toolchain.samples import Samples

THREE_IMAGES = 3 / 360


HOST = pytest.param(("gac-digits", "host"), marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[("ma-digits", "causal"), HOST, ("ma-digits", "static")])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    name, gates = request.param
    return toolchain.deploy(name, options=Options(gates=gates))


def test_integers_lose_at_most_three_test_images(deployment: Deployment) -> None:
    samples = deployment.samples
    assert samples is not None
    assert samples.y is not None
    assert len(samples.y) == 360

    wanted = (deployment.run_float(samples.x).argmax(axis=1) == samples.y).mean()
    got = (run_int(deployment.integer, deployment.encode(samples.x)).answer.argmax(axis=1) == samples.y).mean()

    assert got >= wanted - THREE_IMAGES - 1e-9
    assert wanted == pytest.approx(deployment.card["accuracy"], abs=0.003)


def test_every_exact_pass_kept_the_answer_and_quantize_reports_its_drift(deployment: Deployment) -> None:
    for record in deployment.passes:
        assert record.check in ("exact", "drift", "cut")
        if record.check == "exact":
            assert record.answer_error < 1e-6, record
    assert deployment.drift is not None
    assert 0 < max(deployment.drift.spike_mismatch.values()) < 0.1
    assert deployment.drift.agreement > 0.97


def small_net(threshold: float = 1.0) -> Graph:
    rng = np.random.default_rng(0)
    return Graph(
        (
            Input(name="in", shape=(6,)),
            Affine(name="fc", inputs=("in",), weight=rng.normal(size=(4, 6))),
            Lif(name="lif", inputs=("fc",), shape=(4,), beta=np.array(0.5), v_threshold=np.array(threshold)),
            Output(name="out", inputs=("lif",)),
        ),
        timesteps=5,
    )


def spikes(n: int = 16, T: int = 5) -> Samples:
    rng = np.random.default_rng(1)
    return Samples((rng.random((T, n, 6)) < 0.5).astype(np.float32), rng.integers(0, 4, n), "random")


def test_auto_says_by_how_much_what_it_chose_misses() -> None:
    impossible = Options(gates="auto", tolerance=-1.0)

    with pytest.raises(GateLoweringError, match=r"no spike-driven lowering stays within -100\.0 points: causal loses"):
        toolchain.deploy("ma-digits", options=impossible)


def test_the_input_coding_is_inferred_from_the_data() -> None:
    assert input_code(np.array([0.0, 1.0])).kind == "binary"
    assert (input_code(np.array([0.0, 5.0])).kind, input_code(np.array([0.0, 5.0])).largest) == ("counts", 5.0)
    assert input_code(np.array([0.0, -2.0])).signed
    assert input_code(np.array([0.0, 0.5])).kind == "dense"


@pytest.mark.parametrize(
    ("options", "samples", "message"),
    [
        (Options(weight_bits=9), spikes(), "--weight-bits: 9; 2 .. 8 is allowed"),
        (Options(payload_bits=0), spikes(), "--payload-bits: 0; 1 .. 16 is allowed"),
        (Options(timesteps=7), spikes(), "--timesteps: 7 steps asked for; the net was trained for T = 5"),
        (
            Options(),
            spikes(T=4),
            r"calibration data: x has shape \(4, 16, 6\); the net takes \(5, samples, 6\)",
        ),
        (
            Options(),
            replace(spikes(), x=np.full((5, 2, 6), np.nan, np.float32)),
            "calibration data: x holds values that are not finite",
        ),
        (Options(tolerance=float("nan")), spikes(), "--tolerance: nan is no number"),
        (Options(seed=-1), spikes(), "--seed: -1; 0 .. "),
        (Options(chip="loihi9"), spikes(), "chip 'loihi9': no chip of this name ships"),
    ],
)
def test_bad_options_and_data_are_refused_before_the_work(options: Options, samples: Samples, message: str) -> None:
    with pytest.raises(ToolchainError, match=message):
        deploy_graph(small_net(), options, samples, name="small")


def test_samples_that_do_not_fit_are_refused_with_the_net_they_would_travel_with() -> None:
    with pytest.raises(InputError, match=r"samples data: x has shape \(4, 16, 6\)"):
        deploy_graph(small_net(), Options(), spikes(), samples=spikes(T=4), name="small")


def test_a_structure_that_cannot_run_is_refused_before_data_is_read() -> None:
    net = small_net()
    behind = (
        Relu(name="relu", inputs=("lif",)),
        Affine(name="fc2", inputs=("relu",), weight=np.ones((2, 4))),
        Lif(name="lif2", inputs=("fc2",), shape=(2,), beta=np.array(0.5), v_threshold=np.array(1.0)),
        Output(name="out", inputs=("lif2",)),
    )

    def unread() -> Samples:
        raise AssertionError("data was read")

    with pytest.raises(VerifyError, match=r"'relu': Relu cannot run on a neurocore and no pass lowers it here"):
        deploy_graph(net.with_ops([*net.ops[:-1], *behind]), Options(), unread, name="small")


def test_zero_timesteps_are_refused() -> None:
    with pytest.raises(InputError, match=r"--timesteps: 0; 1 \.\. 1048576 is allowed"):
        deploy_graph(replace(small_net(), timesteps=0), Options(), spikes(), name="small")


def test_weights_that_are_not_finite_are_refused_by_op_and_count() -> None:
    with pytest.raises(VerifyError, match=r"op 'lif': 1 of 1 values of 'v_threshold' are not finite"):
        deploy_graph(small_net(threshold=np.nan), Options(), spikes(), name="small")


def test_counts_deploy_as_graded_input_and_give_the_float_answers() -> None:
    rng = np.random.default_rng(2)
    x = (rng.integers(0, 4, (5, 32, 6)) * (rng.random((5, 32, 6)) < 0.5)).astype(np.float32)

    made = deploy_graph(small_net(), Options(), Samples(x, None, "counts"), name="small")

    assert (made.input.kind, made.host) == ("counts", None)
    integer = run_int(made.integer, made.encode(x)).answer * made.answer_scale
    assert np.abs(integer - made.run_float(x)).mean() < 0.05


def test_data_between_the_levels_of_the_coding_is_refused() -> None:
    made = deploy_graph(small_net(), Options(), spikes(), name="small")

    with pytest.raises(
        InputError, match="holds values between the levels of the input's coding, which is binary spikes"
    ):
        made.encode(np.full((5, 1, 6), 0.5))


@pytest.mark.slow
def test_a_published_variant_deploys_with_static_gates_and_is_refused_causally() -> None:
    causal = toolchain.deploy("ma-digits").captured
    rng = np.random.default_rng(3)

    def published(op: object) -> object:
        if not isinstance(op, MALIF):
            return op
        c, t = op.neuron.shape[0], causal.timesteps
        weights = {
            "ta_w0": rng.normal(size=(2, t)),
            "ta_w1": rng.normal(size=(t, 2)),
            "ca_w0": rng.normal(size=(4, c)),
            "ca_w1": rng.normal(size=(c, 4)),
            "sa_kernel": rng.normal(size=(1, 2, 3, 3)),
        }
        return replace(op, variant="code", parameters=weights, gate="sigmoid")

    graph = causal.map(published)  # type: ignore[arg-type]
    samples = toolchain.deploy("ma-digits").samples
    assert samples is not None

    made = deploy_graph(graph, Options(gates="static"), samples, name="published")

    assert set(made.strategies.values()) == {"static"}
    with pytest.raises(GateLoweringError, match="pool over all T steps"):
        deploy_graph(graph, Options(gates="causal"), samples, name="published")
