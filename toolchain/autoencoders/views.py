"""Check, comparison and report of an autoencoder: those of its two programs, and the host's part beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from spikewright.toolchain.autoencoders import host
from spikewright.toolchain.autoencoders.deployment import PROGRAMS, AutoencoderDeployment
from spikewright.toolchain.autoencoders.run import Reconstruction, reconstruct
from spikewright.toolchain.compare import Comparison, Mismatch, Speed, compare
from spikewright.toolchain.deployment import Bars
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.escaping import esc
from spikewright.toolchain.output_files import check_file, write_text
from spikewright.toolchain.report import Report, report_on, to_csv, to_data, to_html
from spikewright.toolchain.report.html import page
from spikewright.toolchain.results import Row
from spikewright.toolchain.results import plain as as_json
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.spike_driven.deployed import Check, check_deployment
from spikewright.toolchain.spike_driven.verdict import Block, Verdict
from spikewright.toolchain.streaming import Payloads


# ----------------------------------------------------------------------------------------------- verdict
@dataclass(frozen=True, eq=False, repr=False)
class AutoencoderCheck(Check):
    """The verdict on the whole: the blocks of both programs, and the host's between and behind them.

    Args:
        programs: The check of each program alone.
    """

    programs: dict[str, Check] = field(kw_only=True)

    def text(self) -> str:
        """Return the verdict on the whole, then each program's."""
        return "\n\n".join([f"{self.name}: {self.verdict.text()}", *map(str, self.programs.values())])

    def to_dict(self) -> dict[str, Any]:
        """Return what ``check --json`` prints."""
        alone = {name: check.to_dict() for name, check in self.programs.items()}
        return {"name": self.name, "ok": self.ok, **self.verdict.to_dict(), "programs": alone}


def check_autoencoder(made: AutoencoderDeployment, max_silent: float | None = None) -> AutoencoderCheck:
    """Check both programs, each on data of its own, and name what the host does."""
    decoder = made.decoder
    if made.samples is not None:
        few = replace(made.samples, x=made.samples.x[:, :CHECKED])
        decoder = replace(decoder, samples=Samples(host.latents(made, few.x), None, f"latents of {few.source}"))
    checks = {
        "encoder": check_deployment(made.encoder, max_silent=max_silent),
        "decoder": check_deployment(decoder, max_silent=max_silent),
    }
    blocks = (*_named(checks, "encoder"), _latent(made), *_named(checks, "decoder"), _readout(made))
    return AutoencoderCheck(made.name, Verdict(False, blocks), programs=checks)


CHECKED = 100
"""Samples whose latents a check runs the decoder on."""


def _named(checks: dict[str, Check], program: str) -> tuple[Block, ...]:
    return tuple(replace(block, name=f"{program}/{block.name}") for block in checks[program].verdict.blocks)


def _latent(made: AutoencoderDeployment) -> Block:
    T, layers = made.integer.timesteps, made.parts.posterior_layers
    return Block(
        name="latent",
        family="vanilla",
        cost_class="D",
        causal=True,
        scope="state",
        in_step_barrier=True,
        fits=None,
        where="host",
        witness=f"z[t - 1] -> {' -> '.join(f'q{n + 1}' for n in range(layers))} -> choice -> z[t]",
        macs_per_step=made.parts.posterior_macs // T,
        help="none that keeps the net: a posterior that read z[t - "
        f"{layers + 1}] instead of z[t - 1] would run on the chip",
        violation=f"the host computes it behind the encoder's spikes: {layers} layers and a choice within one step, and a "
        "message of the chip takes a step a layer",
        ops=tuple(op.name for op in made.parts.posterior),
        notes=(f"indices are drawn before the run, seed {made.seed}",),
    )


def _readout(made: AutoencoderDeployment) -> Block:
    T, readout = made.integer.timesteps, made.parts.readout
    leaky = readout.gains is not None
    return Block(
        name="read-out",
        family="vanilla" if leaky else str(made.card.get("family", "vanilla")),
        cost_class="D",
        causal=leaky,
        scope="state" if leaky else "sequence",
        in_step_barrier=False,
        fits=None,
        where="host",
        witness="decoder's sums -> picture",
        macs_per_step=readout.macs(T, made.parts.shape) // T,
        notes=("behind the answer: nothing on the chip waits for it",),
    )


# -------------------------------------------------------------------------------------------- comparison
def compare_autoencoder(
    made: AutoencoderDeployment, samples: Samples, backends: Sequence[str], progress: Bars
) -> Comparison:
    """Compare backends on the encoder with the images, and on the decoder with the latent spikes that come of them."""
    x = made.check_input(samples.x)
    found = {
        "encoder": compare(made.encoder, backends, Payloads(made.encoder, x), progress=progress),
        "decoder": compare(made.decoder, backends, made.encode(x), progress=progress),
    }
    layers = tuple(
        replace(layer, layer=f"{name}/{layer.layer}", block=f"{name}/{layer.block}")
        for name in PROGRAMS
        for layer in found[name].layers
    )
    first = next((_of(name, found[name].first) for name in PROGRAMS if found[name].first is not None), None)
    both = zip(found["encoder"].speeds, found["decoder"].speeds, strict=True)
    speeds = tuple(_speed(one, other, len(samples)) for one, other in both)
    lost = tuple(replace(one, where=f"{name}: {one.where}") for name in PROGRAMS for one in found[name].diagnostics)
    wrong = sum(one.answer_mismatches for one in found.values())
    whole = found["encoder"]
    return Comparison(made.name, whole.samples, whole.timesteps, whole.backends, layers, wrong, first, speeds, lost)


def _of(program: str, first: Mismatch | None) -> Mismatch | None:
    return None if first is None else replace(first, layer=f"{program}/{first.layer}")


def _speed(one: Speed, other: Speed, samples: int) -> Speed:
    run_s = one.run_s + other.run_s
    return Speed(one.backend, one.startup_s + other.startup_s, run_s, samples / max(run_s, 1e-9))


# ------------------------------------------------------------------------------------------------ report
@dataclass(frozen=True, eq=False, repr=False)
class AutoencoderReport(Report):
    """The report on the whole and on both programs; what is a report's own is the decoder's.

    Args:
        whole: The run: pictures, error, and costs together.
        encoder: The report on the encoder.
        decoder: The report on the decoder.
        check: The verdict on the whole.
    """

    whole: Reconstruction = field(kw_only=True)
    encoder: Report = field(kw_only=True)
    decoder: Report = field(kw_only=True)
    check: AutoencoderCheck = field(kw_only=True)

    def headline(self) -> str:
        """Return name, chip and samples in one line."""
        return f"{self.name} on {self.chip.name}: {self.whole.summary['samples']} samples of {self.whole.summary['dataset']}"

    def text(self) -> str:
        """Return the whole in a few lines, then each program's report."""
        head = f"{self.headline()}\n{self.whole}\n  {self.check.verdict.headline()}"
        return "\n\n".join([head, str(self.encoder), str(self.decoder)])

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain data."""
        return {
            "name": self.name,
            "card": self.card,
            "autoencoder": as_json(self.whole.to_dict()),
            "verdict": as_json(self.check.verdict.to_dict()),
            "programs": {"encoder": to_data(self.encoder), "decoder": to_data(self.decoder)},
        }

    def rows(self) -> list[Row]:
        """Return one row a layer of both programs; counts are run totals."""
        both = {"encoder": self.encoder, "decoder": self.decoder}
        return [{"program": name} | row for name, report in both.items() for row in report.rows()]

    def json(self, path: str | Path | None = None) -> str:
        """Return the report as JSON, and write it."""
        return _written(json.dumps(self.to_dict(), indent=1, sort_keys=True, allow_nan=False) + "\n", path)

    def csv(self, path: str | Path | None = None) -> str:
        """Return the report as CSV, one row a layer, and write it."""
        made: list[str] = []
        for name, report in (("encoder", self.encoder), ("decoder", self.decoder)):
            head, *lines = to_csv(report).splitlines()
            made += [*([] if made else [f"program,{head}"]), *(f"{name},{line}" for line in lines)]
        return _written("\n".join(made) + "\n", path)

    def html(self, path: str | Path | None = None) -> str:
        """Return the report as one HTML page without external parts: the whole, then each program's page in a frame."""
        frames = "".join(
            f'<section><h2>{name}</h2><iframe title="{name}" srcdoc="{esc(to_html(report))}" '
            'style="width:100%;height:85vh;border:0"></iframe></section>\n'
            for name, report in (("encoder", self.encoder), ("decoder", self.decoder))
        )
        parts = ((self.headline(), str(self.whole)), ("Verdict", self.check.verdict.text()))
        texts = "".join(
            f'<section><h2>{esc(head)}</h2><div class="wrap"><pre>{esc(text)}</pre></div></section>\n'
            for head, text in parts
        )
        return _written(page(self.title, f"<h1>{esc(self.title)}</h1>{texts}{frames}"), path)

    def overlay(self, path: str | Path | None = None) -> str:
        """Refuse: an overlay lies over one program's net.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "lies over the graph of one program, and an autoencoder is two",
            where="--overlay",
            help="report the bundle's encoder or decoder: DIR/encoder, DIR/decoder",
        )


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        check_file(Path(path))
        write_text(Path(path), text)
    return text


def report_autoencoder(
    made: AutoencoderDeployment,
    samples: Samples,
    *,
    backends: Sequence[str],
    prices: Sequence[str | Path],
    strict: bool = False,
    progress: Bars,
) -> AutoencoderReport:
    """Run the images, report both programs on what each is given, and put the whole in front."""
    whole = reconstruct(made, samples, backend="hw_sim", numbers="int", strict=strict, progress=progress, options={})
    latent = Samples(made.encode(samples.x, compact=True), None, f"latents of {samples.source}")
    given = {"encoder": (made.encoder, replace(samples, y=None)), "decoder": (made.decoder, latent)}
    reports = {
        name: report_on(replace(one, samples=data), data, backends=backends, prices=prices, progress=progress)
        for name, (one, data) in given.items()
    }
    decoder = reports["decoder"]
    held = {one.name: getattr(decoder, one.name) for one in fields(Report) if one.init}
    own = {"name": made.name, "card": made.card, "diagnostics": made.diagnostics}
    return AutoencoderReport(
        **held | own, whole=whole, encoder=reports["encoder"], decoder=decoder, check=check_autoencoder(made)
    )
