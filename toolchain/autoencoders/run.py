"""One run of an autoencoder on a backend: pictures and their error, and what both programs and the host cost a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from spikewright.toolchain import replay
from spikewright.toolchain.analysis import judged, run_summary, saturations
from spikewright.toolchain.analysis.energy import HOST_MAC, PICO
from spikewright.toolchain.analysis.numbers import si
from spikewright.toolchain.autoencoders import host
from spikewright.toolchain.autoencoders.deployment import PROGRAMS, AutoencoderDeployment
from spikewright.toolchain.backends import RunResult
from spikewright.toolchain.deployment import Bars
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.diagnostics import lines as told
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.ops import Array
from spikewright.toolchain.run import Run, no_losses_before_quantizing, unless
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.streaming import Given, Payloads


@dataclass(frozen=True, eq=False, repr=False)
class Reconstruction(Run):
    """What came out: ``answer`` (B, C H W) are the pictures' pixels in (-1, 1).

    Args:
        shape: (C, H, W).
    """

    shape: tuple[int, ...] = ()

    @property
    def pictures(self) -> Array:
        """The pictures, (B, C, H, W) in (-1, 1)."""
        return self.answer.reshape(-1, *self.shape)

    @property
    def mse(self) -> float:
        """Mean squared error of the pictures, images in [-1, 1]."""
        found: float = self.summary["mse"]
        return found

    def text(self) -> str:
        """Return error, SOPs, latency and energy of both programs and the host in a few lines."""
        s, text = self.summary, [self.headline()]
        trained = s["card_mse"]
        beside = "" if trained is None else f"; as trained {trained:.4f} on the whole test split"
        text.append(f"  MSE         {s['mse']:.4f} (pixels in [-1, 1]{beside})")
        for name, one in s.get("programs", {}).items():
            if one.get("sops"):
                text.append(
                    f"  {name:12}{one['sops']['total']:,.0f} SOPs a sample ({one['sops']['dense']:,.0f} if every input fired), "
                    f"{1e6 * one['latency_s']:.1f} us, {si(one['energy_j']['total'], 'J')}"
                )
        if "host" in s:
            latent, readout, read = (s["host"][key] for key in ("latent", "readout", "values_read"))
            text.append(
                f"  host        latent {latent['macs']:,} MACs, read-out {readout['macs']:,} MACs, "
                f"{sum(read.values()):,} values read a sample"
            )
        if s.get("energy_j"):
            text.append(
                f"  together    {s['sops']['total']:,.0f} SOPs, {1e6 * s['latency_s']:.1f} us on the chip, "
                f"{si(s['energy_j']['total'], 'J')} a sample, {si(s['energy_j']['host'], 'J')} of it host "
                f"(estimate; basis: {s['energy_j']['basis']})"
            )
        return "\n".join([*text, *told(self.diagnostics)])


def reconstruct(
    made: AutoencoderDeployment,
    samples: Samples,
    *,
    backend: str,
    numbers: Literal["int", "float"],
    strict: bool = False,
    progress: Bars,
    options: Mapping[str, str],
) -> Reconstruction:
    """Run images through encoder, latent, decoder and read-out; see ``AutoencoderDeployment.run``."""
    x = made.check_input(samples.x)
    head: dict[str, Any] = {"backend": backend, "numbers": numbers, "samples": len(samples), "accuracy": None}
    card = {"card_mse": made.card.get("reconstruction_mse"), "dataset": samples.dataset, "simulated_events": False}
    if numbers == "float":
        if backend != "interpreter":
            raise InputError(
                f"backend {backend!r} computes integers", where="--numbers float", help="add --backend interpreter"
            )
        no_losses_before_quantizing(strict)
        shown = host.float_pictures(made, x)
        found = head | {"mse": host.error(made, shown, x)} | card
        return Reconstruction(made.name, shown.reshape(len(shown), -1), found, None, made.diagnostics, made.parts.shape)
    machine = {name: one.backend(backend, **options) for name, one in made.programs.items()}
    count = len(samples)
    spikes, first = host.ran(
        made.encoder, machine["encoder"], Payloads(made.encoder, x), count, lambda name: progress(f"encoder, {name}")
    )
    z = made.parts.latents(spikes, made.seed)
    sums, second = host.ran(
        made.decoder, machine["decoder"], Given(z.astype(np.int64)), count, lambda name: progress(f"decoder, {name}")
    )
    shown = host.pictures(made, sums)
    results = dict(zip(PROGRAMS, (first, second), strict=True))
    priced = priced_programs(made, results, samples, backend)
    summed = head | {"mse": host.error(made, shown, x)} | card | together(made, priced)
    given = {"encoder": replace(samples, y=None), "decoder": Samples(z, None, "latents")}
    told = unless(strict, made, (*made.diagnostics, *_lost(made, given, results)))
    return Reconstruction(made.name, shown.reshape(count, -1), summed, None, told, made.parts.shape)


def _lost(
    made: AutoencoderDeployment, given: Mapping[str, Samples], results: Mapping[str, RunResult]
) -> tuple[Diagnostic, ...]:
    """Return what each program lost on the data that it was given, against its own float net."""
    found = []
    for name, program in made.programs.items():
        lost = saturations(results[name], quantized=True)
        more = judged(program, given[name], (*program.diagnostics, *lost)).found
        found += [replace(one, where=f"{name}: {one.where}") for one in (*lost, *more)]
    return tuple(found)


def priced_programs(
    made: AutoencoderDeployment, results: Mapping[str, RunResult], samples: Samples, backend: str
) -> dict[str, dict[str, Any]]:
    """Return ``run --json`` of each program, the values that the host reads among its host messages."""
    read = host.values_read(made)
    billed = {name: replay.billed(found, read[name] // made.integer.timesteps) for name, found in results.items()}
    of = {"encoder": replace(made.encoder, samples=samples), "decoder": made.decoder}
    return {name: run_summary(of[name], billed[name], None, backend=backend) for name in PROGRAMS}


def together(made: AutoencoderDeployment, programs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what a sample costs in all: programs run one after the other, and the host's MACs.

    Args:
        made: The deployment.
        programs: ``run --json`` of each.
    """
    about = host.to_dict(made)
    macs = about["latent"]["macs"] + about["readout"]["macs"]
    found: dict[str, Any] = {
        "timesteps": made.integer.timesteps,
        "programs": programs,
        "host": about,
        "host_macs": macs + sum(one["host_macs"] for one in programs.values()),
        **{key: sum(one[key] for one in programs.values()) for key in ("startup_s", "run_s")},
    }
    if any(one.get("sops") is None for one in programs.values()):
        return found | dict.fromkeys(("sops", "latency_s", "energy_j"))
    summed = {
        key: {part: sum(one[key][part] for one in programs.values()) for part in first if part != "basis"}
        for key, first in ((key, programs["encoder"][key]) for key in ("sops", "energy_j"))
    }
    price = {"low": HOST_MAC.low, "high": HOST_MAC.high, "host": HOST_MAC.nominal, "total": HOST_MAC.nominal}
    for part, pj in price.items():
        summed["energy_j"][part] += macs * pj * PICO
    summed["energy_j"]["basis"] = HOST_MAC.basis
    return found | summed | {"latency_s": sum(one["latency_s"] for one in programs.values())}
