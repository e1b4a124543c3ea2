"""AutoencoderDeployment: encoder and decoder as two programs, and what the host does between and behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikewright.toolchain.autoencoder import Autoencoder
from spikewright.toolchain.autoencoders import host
from spikewright.toolchain.backends import IntArray, Recorded
from spikewright.toolchain.deployment import Bars, Data, Deployment, check_data, silent
from spikewright.toolchain.diagnostics import Diagnostic, lines, plain
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.ops import Array
from spikewright.toolchain.options import Options
from spikewright.toolchain.pipeline import deploy_graph
from spikewright.toolchain.results import Row
from spikewright.toolchain.samples import Samples
from spikewright.toolchain.stage import Note

if TYPE_CHECKING:
    from spikewright.toolchain.autoencoders.run import Reconstruction
    from spikewright.toolchain.autoencoders.views import AutoencoderCheck, AutoencoderReport
    from spikewright.toolchain.compare import Comparison

PROGRAMS = ("encoder", "decoder")
"""The two programs, in the order of their runs."""


@dataclass(frozen=True, eq=False, repr=False)
class AutoencoderDeployment(Deployment):
    """An autoencoder: what is a deployment's own (program, integer graph, ...) is the decoder's; ``encoder`` is the other one.

    Args:
        encoder: The program in front: images to spikes, a deployment of its own.
        parts: The float net; its posterior and read-out are what the host computes.
    """

    encoder: Deployment = field(kw_only=True)
    parts: Autoencoder = field(kw_only=True)

    @property
    def decoder(self) -> Deployment:
        """The program behind, as a deployment of its own: latent spikes (T, B, D) to steps (T, B, C, H, W)."""
        names = {one.name for one in fields(Deployment) if one.init}
        kept = {name: getattr(self, name) for name in names - {"samples", "card"}}
        own = {"name": f"{self.name}-decoder", "diagnostics": self.own("decoder"), "options": unjudged(self.options)}
        return Deployment(**kept | own)

    def own(self, program: str) -> tuple[Diagnostic, ...]:
        """Return what was told of one program, its places named as there."""
        head = f"{program}: "
        return tuple(
            replace(one, where=one.where.removeprefix(head)) for one in self.diagnostics if one.where.startswith(head)
        )

    @property
    def seed(self) -> int:
        """Draws the latent's indices."""
        return self.options.seed

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of an image, as the data set has it."""
        return self.encoder.input_shape

    def check_input(self, x: NDArray[Any]) -> NDArray[Any]:
        """Refuse data that is no still images (T, B, C, h, w); else as ``Deployment.check_input``."""
        check_data(x, self.captured.timesteps, self.input_shape, where="input")
        if x.strides[0] and (x != x[:1]).any():
            raise InputError(
                "a sample changes over its steps", where="input", help="give still images, repeated T times"
            )
        return x

    def encode(self, x: NDArray[Any], *, compact: bool = False) -> IntArray:
        """Return the decoder's payloads, latent spikes (T, B, D) of images: the encoder's integers and the host's choice."""
        z = host.latents(self, self.check_input(np.asarray(x)))
        return z if compact else z.astype(np.int64)  # type: ignore[return-value]  # as the base class has it

    def run_float(self, x: NDArray[Any]) -> Array:
        """Return the float net's pictures (B, C H W) of images, with the same indices."""
        found = host.float_pictures(self, self.check_input(np.asarray(x)))
        return found.reshape(len(found), -1)

    def check(self, *, max_silent: float | None = None) -> AutoencoderCheck:
        """Say whether each program is spike-driven, and that the whole is not: the host computes between them."""
        from spikewright.toolchain.autoencoders.views import check_autoencoder

        return check_autoencoder(self, max_silent)

    def run(
        self,
        x: Data | None = None,
        y: Any = None,
        *,
        backend: str = "hw_sim",
        numbers: Literal["int", "float"] = "int",
        limit: int | None = None,
        data: str | Path | None = None,
        record: bool = False,
        save: str | Path | None = None,
        saved: Sequence[Recorded] = ("spikes",),
        strict: bool = False,
        progress: Bars = silent,
        **options: str,
    ) -> Reconstruction:
        """Give images back: pictures, their error, and what both programs and the host cost; see ``Deployment.run``.

        Raises:
            InputError: A recording is asked for: it is of one program, ``encoder`` or ``decoder``; or class numbers are given.
        """
        from spikewright.toolchain.autoencoders.run import reconstruct

        if record or save is not None:
            raise self.one_program("a recording", "record, --save")
        chosen = self.images(x, y, limit, data)
        return reconstruct(
            self, chosen, backend=backend, numbers=numbers, strict=strict, progress=progress, options=options
        )

    def compare(
        self,
        x: Data | None = None,
        *,
        backends: Sequence[str] = ("interpreter", "hw_sim"),
        limit: int | None = None,
        data: str | Path | None = None,
        progress: Bars = silent,
    ) -> Comparison:
        """Compare backends on both programs, bit for bit: equal sums of the decoder are equal pictures."""
        from spikewright.toolchain.autoencoders.views import compare_autoencoder

        return compare_autoencoder(self, self.choose(x, limit=limit, data=data), backends, progress)

    def report(
        self,
        x: Data | None = None,
        y: Any = None,
        *,
        twin: Deployment | None = None,
        backends: Sequence[str] = ("interpreter", "hw_sim"),
        limit: int | None = None,
        data: str | Path | None = None,
        prices: Sequence[str | Path] = (),
        rate: float | None = None,
        strict: bool = False,
        progress: Bars = silent,
    ) -> AutoencoderReport:
        """Report the whole, and both programs; arguments as ``Deployment.report``.

        Raises:
            InputError: A twin or a rate is given: both are of one program; or class numbers are.
        """
        from spikewright.toolchain.autoencoders.views import report_autoencoder

        if twin is not None or rate is not None:
            raise self.one_program("a twin or a rate", "--twin, --rate")
        chosen = self.images(x, y, limit, data)
        return report_autoencoder(self, chosen, backends=backends, prices=prices, strict=strict, progress=progress)

    def images(self, x: Data | None, y: Any, limit: int | None, data: str | Path | None) -> Samples:
        """Return the images to run; see ``Deployment.choose``.

        Raises:
            InputError: Class numbers come with them.
        """
        if y is not None:
            raise InputError(
                f"class numbers are given; {self.name!r} gives images back", where="y", help="leave them out: run(x)"
            )
        return self.choose(x, limit=limit, data=data)

    def one_program(self, what: str, where: str) -> InputError:
        """Return the refusal of what is for one program."""
        return InputError(
            f"{what} is of one program; {self.name!r} is two, with the host between them",
            where=where,
            help="take the bundle's encoder or decoder: DIR/encoder, DIR/decoder",
        )

    def save(self, folder: str | Path) -> AutoencoderDeployment:
        """Write both programs' bundles and the host's part into one folder; see ``Deployment.save``."""
        from spikewright.toolchain.autoencoders import bundle

        return bundle.save(self, Path(folder))

    def headline(self) -> str:
        """Return name, chip and size in one line."""
        s = self.to_dict()
        return f"{s['name']} on {s['chip']}: two programs, {s['neurons']:,} neurons on {s['cores']} cores, T = {s['timesteps']}"

    def text(self) -> str:
        """Return what was compiled, program by program, and what the host does."""
        text = [self.headline()]
        for name, made in self.programs.items():
            s = made.to_dict()
            text += [f"  {name}: {s['neurons']:,} neurons in {s['populations']} populations on {s['cores']} cores"]
            text += [f"    {made.decided}"]
            if made.host is not None:
                front = ", ".join(op.name for op in made.host.graph)
                text.append(f"    on the host, in front of the first spike: {front}")
        if self.calibrated:
            text.append(f"  calibrated on {self.encoder.calibrated}")
        if self.samples is not None:
            text.append(f"  travels with {self.samples.source}")
        return "\n".join(text + lines(self.diagnostics))

    @property
    def programs(self) -> dict[str, Deployment]:
        """Encoder and decoder by name."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def to_dict(self) -> dict[str, Any]:
        """Return what was compiled, as plain data."""
        made = {name: one.to_dict() for name, one in self.programs.items()}
        summed = {key: sum(one[key] for one in made.values()) for key in ("cores", "chips", "populations", "neurons")}
        return {
            "name": self.name,
            "chip": self.chip.name,
            "timesteps": self.captured.timesteps,
            **summed,
            "host": host.to_dict(self),
            "programs": made,
            "samples": None if self.samples is None else self.samples.x.shape[1],
            "samples_from": None if self.samples is None else self.samples.source,
            "calibrated": self.encoder.calibrated or None,
            "diagnostics": plain(self.diagnostics),
        }

    def rows(self) -> list[Row]:
        """Return one row a population on the chip: program, neurons and cores."""
        return [{"program": name} | row for name, made in self.programs.items() for row in made.rows()]


def deploy_autoencoder(
    parts: Autoencoder,
    options: Options,
    calibration: Callable[[], Samples],
    *,
    name: str,
    card: dict[str, Any],
    samples: Callable[[], Samples] | None,
    note: Note,
    stop_after: str | None = None,
    keep_stages: Path | None = None,
    diagnostics: tuple[Diagnostic, ...] = (),
) -> AutoencoderDeployment:
    """Compile both nets: the encoder on images, then the decoder on the latent spikes that the compiled encoder gives.

    Args:
        parts: The net.
        options: What was asked for; ``seed`` draws the latent's indices, too. There are no classes, and no tolerance.
        calibration: Reads images that decide ranges.
        name: Name of the model.
        card: Model card.
        samples: Reads images that travel with the encoder.
        note: Told the name of each stage as it starts.
        stop_after: Refused: it is of one program.
        keep_stages: Folder for each stage's result, in a folder a program.
        diagnostics: What reading the model found.

    Raises:
        ToolchainError: A stage refuses a net; nothing is written but the stages before it, where they are kept.
    """
    if stop_after is not None:
        raise InputError(
            f"{name!r} is two programs; a stage is of one", where="--stop-after", help="keep all: --keep-stages DIR"
        )
    if options.tolerance != Options().tolerance:
        raise InputError(
            f"is for answers; {name!r} gives pictures back",
            where="--tolerance",
            help="leave it out; `run` says their error",
        )
    made: dict[str, Deployment] = {}
    images = replace(calibration(), y=None)
    travelling = None if samples is None else replace(samples(), y=None)

    def compiled(program: str, data: Samples, travels: Samples | None) -> Deployment:
        return deploy_graph(
            getattr(parts, program),
            unjudged(options),
            data,
            name=f"{name}-{program}",
            card=coded(card),
            samples=travels,
            note=lambda stage: note(f"{program}: {stage}"),
            keep_stages=None if keep_stages is None else keep_stages / program,
        )

    made["encoder"] = compiled("encoder", images, travelling)
    latent = parts.latents(host.spikes(made["encoder"], images.x), options.seed)
    made["decoder"] = compiled("decoder", Samples(latent, None, f"latents of {images.source}"), None)
    told = [replace(one, where=f"{program}: {one.where}") for program in PROGRAMS for one in made[program].diagnostics]
    held = {one.name: getattr(made["decoder"], one.name) for one in fields(Deployment) if one.init}
    own = {"name": name, "card": card, "options": options, "samples": travelling}
    whole = AutoencoderDeployment(**held | own, encoder=made["encoder"], parts=parts)
    return replace(whole, diagnostics=(*diagnostics, *host.said(whole), *told))


def unjudged(options: Options) -> Options:
    """Return the options of one program, whose answers are no classes: any share of them may differ from the float net's."""
    return replace(options, tolerance=1.0)


def coded(card: dict[str, Any]) -> dict[str, Any]:
    """Return what of a model card says how the data is coded; the rest is the whole net's."""
    return {key: card[key] for key in ("dataset", "coding", "timesteps", "side", "window_us") if key in card}
