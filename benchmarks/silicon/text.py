"""The comparison as a table: silicon | ours | error."""

from __future__ import annotations

from benchmarks.silicon import measured
from benchmarks.silicon.compare import FIT, Comparison
from benchmarks.silicon.net import COMPILER_NEURONS
from spikewright.hw_sim import Chip

LAYERS = {
    "conv5": range(15, 17), "conv4": range(17, 20), "conv3": measured.CONV3, "conv2": measured.CONV2,
}  # fmt: skip


def table(result: Comparison, cores: int, seconds: float, random_seconds: float, chip: Chip) -> str:
    """Return the text."""
    lines = [
        f"PilotNet LIF, {measured.CORES} cores as Intel's compiler placed it{'silicon':>16}{'ours':>12}{'error':>10}"
    ]
    for layer, places in LAYERS.items():
        for core in places:
            silicon, ours = result.sops_silicon[core] / measured.STEPS, result.sops[core] / measured.STEPS
            edge = " (edge of the curve)" if core in measured.EDGES else ""
            lines.append(_row(f"SOPs a step, {layer}, core {core}{edge}", silicon, ours, "{:.0f}"))
    silicon, ours = result.sops_silicon, result.sops
    total = silicon[silicon == silicon].sum() / measured.STEPS
    lines.append(_row("SOPs a step, all cores", total, ours.sum() / measured.STEPS, "{:.0f}"))
    for k, (there, here) in enumerate(zip(measured.PHASES_US, result.phases_us, strict=True)):
        note = f" (fitted: {result.ns_per_access:.3f} ns an access of conv3)" if k == FIT else ""
        lines.append(_row(f"us a step, phase {k + 1} of 4{note}", there, here, "{:.1f}"))
    step = measured.STEP_S * 1e6
    lines.append(_row("us a step, analytic timing, not fitted", step, result.step_us, "{:.1f}"))
    lines.append(f"  (one access of conv2 takes at most {result.conv2_ns:.3f} ns: its cores do not bound the step)")
    prices = ("low prices", f"nominal prices, {chip.costs['synaptic_op'].energy.basis}", "high prices")
    for name, uj in zip(prices, result.dynamic_uj, strict=True):
        lines.append(_row(f"uJ a step, dynamic, {name}", measured.DYNAMIC_J * 1e6, uj, "{:.1f}"))
    lines.append(
        f"cores: {cores} by our own mapper, {measured.CORES} by Intel's compiler, which keeps below {COMPILER_NEURONS} neurons "
        f"a core and cuts 2**k columns (inferred); chip {chip.name} holds {chip.core.max_neurons}"
    )
    lines.append(
        f"10,000 steps: {measured.STEPS * measured.STEP_S:.2f} s on silicon, {seconds:.2f} s here, "
        f"{random_seconds:.2f} s on random spikes"
    )
    lines.append("One net on one board: a comparison, not a validation.")
    return "\n".join(lines) + "\n"


def _row(name: str, silicon: float, ours: float, form: str) -> str:
    return f"{name:60}{form.format(silicon):>12}{form.format(ours):>12}{ours / silicon - 1:>+10.2%}"
