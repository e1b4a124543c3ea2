"""``spikewright deploy``: compile a model for a chip and write the bundle."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path
from typing import Any, get_args

from spikewright import toolchain
from spikewright.toolchain import bundle
from spikewright.toolchain.api import BUNDLED_SAMPLES, CALIBRATION_SAMPLES
from spikewright.toolchain.commands import Outcome
from spikewright.toolchain.data_sets import load_split
from spikewright.toolchain.deployment import Deployment, Options, Samples
from spikewright.toolchain.importing import load_model
from spikewright.toolchain.passes.lower_gates import Strategy
from spikewright.toolchain.verbs.data import add_folder_option, read_npz
from spikewright.toolchain.verbs.progress import stages

DEFAULT = Options()


def add(verbs: _SubParsersAction[Any]) -> None:
    """Add the verb's parser."""
    parser = verbs.add_parser("deploy", help="compile a model for a chip and write the bundle")
    parser.add_argument(
        "model", metavar="MODEL", help="a zoo name, .safetensors, .nir or .net file, or path/to/file.py:factory"
    )
    parser.add_argument("--chip", default=DEFAULT.chip, help="a chip's name or file (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def add_options(parser: ArgumentParser) -> None:
    """Add what decides how a model is compiled."""
    parser.add_argument(
        "--gates", choices=get_args(Strategy), default=DEFAULT.gates, help="gate lowering (default %(default)s)"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=DEFAULT.tolerance,
        help="accuracy that auto may lose, a fraction (default %(default)s)",
    )
    parser.add_argument("--timesteps", type=int, metavar="T", help="T, where the model does not say it")
    parser.add_argument(
        "--dt", type=float, metavar="S", help="length of a timestep in s, where the model does not say it"
    )
    parser.add_argument(
        "--calibrate",
        metavar="NAME|FILE.npz",
        help=f"data set ({CALIBRATION_SAMPLES} samples of the train split are drawn) or file (default: the model card's set)",
    )
    parser.add_argument(
        "--samples",
        metavar="NAME|FILE.npz",
        help=f"data set (the first {BUNDLED_SAMPLES:,} of the test split) or file that travels along (default: likewise)",
    )
    add_folder_option(parser)
    parser.add_argument("--weight-bits", type=int, metavar="N", default=DEFAULT.weight_bits)
    parser.add_argument("--payload-bits", type=int, metavar="N", default=DEFAULT.payload_bits)
    parser.add_argument("--seed", type=int, metavar="N", default=DEFAULT.seed)
    parser.add_argument(
        "--mapping",
        choices=("greedy", "balanced", "vendor"),
        default=DEFAULT.mapping,
        help="neurons to cores: a layer after the other, even work and little traffic, or as the vendor's compiler cuts "
        "(default %(default)s)",
    )


def run(arguments: Namespace) -> Outcome:
    """Deploy."""
    bundle.check_writable(arguments.out)
    options = Options(
        chip=arguments.chip,
        gates=arguments.gates,
        tolerance=arguments.tolerance,
        timesteps=arguments.timesteps,
        dt_s=arguments.dt,
        weight_bits=arguments.weight_bits,
        payload_bits=arguments.payload_bits,
        seed=arguments.seed,
        mapping=arguments.mapping,
    )
    calibration = _data(arguments.calibrate, arguments, "train")
    samples = _data(arguments.samples or arguments.calibrate, arguments, "test")
    with stages(f"deploy {arguments.model}") as stage:
        made = toolchain.deploy(
            arguments.model, options, calibration=calibration, samples=samples, data=arguments.data, progress=stage
        )
        stage("write")
        bundle.save(made, arguments.out, command=command(arguments))
    return Outcome(text=_text(made, arguments.out), data=_summary(made, arguments.out))


def _data(spec: str | None, arguments: Namespace, split: str) -> Samples | None:
    """Return the samples of a file or of a data set coded as the model wants it."""
    if spec is None:
        return None
    if spec.endswith(".npz"):
        return read_npz(Path(spec))
    card = load_model(arguments.model, data=arguments.data).card
    timesteps = arguments.timesteps if arguments.timesteps is not None else int(card.get("timesteps", 1))
    limit, seed = (CALIBRATION_SAMPLES, arguments.seed) if split == "train" else (BUNDLED_SAMPLES, None)
    return load_split(spec, card, timesteps=timesteps, split=split, limit=limit, seed=seed, data=arguments.data)


def command(arguments: Namespace) -> str:
    """Return the command that repeats a deployment."""
    words = ["spikewright", "deploy", arguments.model, "--chip", arguments.chip, "--out", str(arguments.out)]
    options = (
        ("--gates", arguments.gates, DEFAULT.gates),
        ("--tolerance", arguments.tolerance, DEFAULT.tolerance),
        ("--timesteps", arguments.timesteps, None),
        ("--dt", arguments.dt, None),
        ("--calibrate", arguments.calibrate, None),
        ("--samples", arguments.samples, None),
        ("--data", arguments.data, None),
        ("--weight-bits", arguments.weight_bits, DEFAULT.weight_bits),
        ("--payload-bits", arguments.payload_bits, DEFAULT.payload_bits),
        ("--seed", arguments.seed, DEFAULT.seed),
    )
    for flag, value, default in options:
        if value != default:
            words += [flag, str(value)]
    return shlex.join(words)


def _summary(made: Deployment, out: Path) -> dict[str, Any]:
    on_chip = [population for population in made.program.populations if (population.core >= 0).any()]
    cores = {core for population in on_chip for core in population.core.tolist()}
    return {
        "name": made.name,
        "bundle": str(out),
        "chip": made.chip.name,
        "timesteps": made.captured.timesteps,
        "strategies": made.strategies,
        "cores": len(cores),
        "populations": len(on_chip),
        "neurons": sum(population.size for population in on_chip),
        "host": None if made.host is None else [op.name for op in made.host.graph],
        "agreement": None if made.drift is None else made.drift.agreement,
        "samples": None if made.samples is None else made.samples.x.shape[1],
        "samples_from": None if made.samples is None else made.samples.source,
        "calibrated": made.calibrated or None,
    }


def _text(made: Deployment, out: Path) -> str:
    s = _summary(made, out)
    lines = [
        f"{s['name']} on {s['chip']}: {s['neurons']:,} neurons in {s['populations']} populations on {s['cores']} cores, "
        f"T = {s['timesteps']}"
    ]
    lines += [f"  gates of {block}: {strategy}" for block, strategy in made.strategies.items()]
    if made.host is not None:
        lines.append(f"  on the host, in front of the first spike: {', '.join(s['host'])}")
    if made.drift is not None:
        lines.append(f"  integer and float agree on {100 * made.drift.agreement:.1f} % of the calibration data")
    if made.calibrated:
        lines.append(f"  calibrated on {made.calibrated}")
    if made.samples is not None:
        lines.append(f"  travels with {made.samples.source}")
    return "\n".join([*lines, f"  bundle: {out}"])
