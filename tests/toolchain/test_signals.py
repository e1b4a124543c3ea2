"""What data can lose, by the verb that tells it: every cell of signals and verbs; nothing else is said, and strict refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from spikewright.toolchain import api
from spikewright.toolchain.calibration import observe
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import InputError, PassError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Affine, Array, Input, Lif, Output
from spikewright.toolchain.samples import Samples

T, B, N = 20, 24, 30
VERBS: dict[str, Callable[[Deployment, Array], tuple[Diagnostic, ...]]] = {
    "run": lambda made, x: made.run(x).diagnostics,
    "compare": lambda made, x: made.compare(x).diagnostics,
    "report": lambda made, x: made.report(x, backends=()).diagnostics,
}
EVERYWHERE, JUDGED = frozenset({"run", "compare", "report"}), frozenset({"run", "report"})


@dataclass(frozen=True)
class Signal:
    """Data that a net was calibrated on, data that loses something, and who says so; ``net``: its maps, by name."""

    code: str
    net: Graph
    calm: Array
    lossy: Array
    by: frozenset[str] = EVERYWHERE


def net(threshold: float = 2.0, beta: float = 0.8, extra: Array | None = None, scale: float = 1.0) -> Graph:
    weight = np.random.default_rng(2).normal(size=(8, N)) * scale
    maps = [Affine(name="fc", inputs=("in",), weight=weight)]
    if extra is not None:
        maps.append(Affine(name="huge", inputs=("in",), weight=extra))
    lif = Lif(
        name="lif", inputs=tuple(m.name for m in maps), shape=(8,), beta=np.array(beta), v_threshold=np.array(threshold)
    )
    ops = (Input(name="in", shape=(N,)), *maps, lif, Output(name="out", inputs=("lif",)))
    return Graph(ops, timesteps=T)


def wide() -> Graph:
    """Four thousand positive weights a neuron."""
    fc = Affine(name="fc", inputs=("in",), weight=np.abs(np.random.default_rng(2).normal(size=(2, 4000))))
    lif = Lif(name="lif", inputs=("fc",), shape=(2,), beta=np.array(0.9), v_threshold=np.array(50.0))
    return Graph((Input(name="in", shape=(4000,)), fc, lif, Output(name="out", inputs=("lif",))), timesteps=2)


def spikes(rate: float, *shape: int) -> Array:
    return (np.random.default_rng(int(1000 * rate)).random(shape or (T, B, N)) < rate).astype(np.float64)


def first_pixel(x: Array, value: float) -> Array:
    x = x.copy()
    x[:, :, 0] = value
    return x


def outlier() -> Array:
    """A map of one large weight, which takes the bits of all others away."""
    huge = np.zeros((8, N))
    huge[:, 0] = 3e5
    return huge


COUNTS = np.random.default_rng(3).integers(0, 8, (T, B, N)).astype(np.float64)

SIGNALS = (
    Signal("input-saturates", net(20.0), COUNTS, COUNTS * 9),
    Signal("layer-silent", net(), spikes(0.4), spikes(0.0)),
    Signal("unlike-calibration", net(6.0, 0.9), spikes(0.03), spikes(0.5)),
    Signal("current-wraps", wide(), spikes(0.01, 2, 2, 4000), spikes(0.99, 2, 2, 4000)),
    Signal("layer-silent", net(extra=outlier()), first_pixel(spikes(0.4), 1), first_pixel(spikes(0.4), 0)),
    Signal("answer-drifts", net(extra=outlier()), first_pixel(spikes(0.4), 1), first_pixel(spikes(0.4), 0), JUDGED),
)


def deployed(graph: Graph, x: Array, **options: object) -> Deployment:
    return api.deploy(graph, calibration=Samples(x, None, "x"), samples=Samples(x, None, "x"), name="net", **options)


def codes(found: tuple[Diagnostic, ...]) -> set[str]:
    return {one.code for one in found if one.code != "second-projection"}


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.code)
def test_each_verb_tells_what_the_data_it_was_given_loses(signal: Signal) -> None:
    made = deployed(signal.net, signal.calm)
    before = codes(made.diagnostics)

    for verb, said in VERBS.items():
        assert signal.code not in codes(said(made, signal.calm)), verb
        assert (signal.code in codes(said(made, signal.lossy)) - before) == (verb in signal.by), verb


def test_deploy_tells_of_samples_that_travel_and_strict_refuses_them() -> None:
    def made(**options: object) -> Deployment:
        busy = Samples(COUNTS * 9, None, "x")
        return api.deploy(net(20.0), calibration=Samples(COUNTS, None, "x"), samples=busy, name="net", **options)

    assert codes(made().diagnostics) == {"input-saturates"}
    with pytest.raises(PassError, match="beyond the 4 bits of the input"):
        made(strict=True)
    strict = deployed(net(20.0), COUNTS, strict=True)
    for said in VERBS.values():
        with pytest.raises(InputError, match="payloads run from 0 to 63; 4 bits hold"):
            said(strict, COUNTS * 9)


def test_counts_that_saturate_act_as_the_largest_that_the_input_holds() -> None:
    made = deployed(net(20.0), COUNTS)

    got, capped = made.run(COUNTS * 9), made.run(np.minimum(COUNTS * 9, 15))

    np.testing.assert_array_equal(got.answer, capped.answer)
    assert codes(capped.diagnostics) == codes(made.diagnostics)
    said = next(one for one in got.diagnostics if one.code == "input-saturates")
    assert said.what.startswith(f"{int((COUNTS * 9 > 15).sum()):,} of {COUNTS.size:,} counts are beyond the 4 bits")
    assert said.help.startswith("deploy again with --input-bits 6")
    with pytest.raises(InputError, match="negative values too"):
        made.run(-COUNTS)


def test_strict_refuses_data_that_a_run_loses_and_writes_nothing(tmp_path: Path) -> None:
    calm, lossy = first_pixel(spikes(0.4), 1), first_pixel(spikes(0.4), 0)
    made = deployed(net(), spikes(0.4))
    before, after = deployed(net(), spikes(0.4), strict=True), tmp_path / "r.npz"

    assert made.run(spikes(0.4), strict=True).summary["judged"] == B
    for refused in (made.run, made.report):
        with pytest.raises(PassError, match="layer 'lif': sends nothing on this data"):
            refused(spikes(0.0), strict=True)
    for data, one, more in ((lossy, deployed(net(extra=outlier()), calm), {"strict": True}), (spikes(0.0), before, {})):
        with pytest.raises(PassError, match="leave --strict out; a net that was deployed with it refuses them always"):
            one.run(data, save=after, **more)
    assert not after.exists()


def test_a_run_is_judged_on_as_many_samples_as_deploy_within_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deployed(net(), spikes(0.4)[:, :5])
    more = spikes(0.4)

    assert made.run(more).summary["judged"] == 5
    assert "integers against the float net on the first 5 samples" in made.run(more).text()
    assert made.run(more, limit=3).summary["judged"] == 3
    monkeypatch.setattr("spikewright.toolchain.analysis.judging.UPDATES", 8 * T * 2)
    assert made.run(more).summary["judged"] == 2


def test_data_that_runs_again_is_not_judged_anew_and_other_data_is(monkeypatch: pytest.MonkeyPatch) -> None:
    made, judging = deployed(net(), spikes(0.4)), "spikewright.toolchain.analysis.judging.observe"
    count: list[int] = []
    real = observe
    monkeypatch.setattr(judging, lambda *args: count.append(1) or real(*args))

    silent = [made.run(spikes(0.0)).diagnostics for _ in range(2)]

    assert len(count) == 1
    assert silent[0] == silent[1]
    assert "layer-silent" in {one.code for one in silent[1]}
    assert made.run(spikes(0.4)).diagnostics == ()
    assert len(count) == 2
