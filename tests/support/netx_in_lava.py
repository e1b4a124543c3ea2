"""lava-dl's own loader as an oracle: ``netx.hdf5.Network`` runs a ``.net`` file in Lava's fixed point, in a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewright.export.lava.child import unlink_shared_memory

Ints = NDArray[np.int64]
BOOT = "import sys; sys.path[:] = sys.argv[2].split('\\n'); from netx_in_lava import child; child(sys.argv[1])"


@dataclass(frozen=True)
class Seen:
    """Per layer of the network: spikes (steps, *C-order shape), and u and v after the last step (sigma-delta: sigma, twice)."""

    spikes: list[Ints]
    u: list[Ints]
    v: list[Ints]


def run(
    net: Path,
    folder: Path,
    steps: int,
    *,
    x: Ints | None = None,
    bias: Ints | None = None,
    timeout_s: float = 240,
    **options: Any,
) -> Seen:
    """Run a file.

    Args:
        net: The file.
        folder: An empty folder to talk through.
        steps: Chip steps.
        x: Input messages (steps, *shape) in C order, or None.
        bias: Bias mantissas (C, H, W) or (N,) of the input layer's neurons, or None.
        timeout_s: Seconds until the child is killed.
        **options: Of ``Network``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"steps": np.array(steps), "net": np.array(str(net.resolve()))}
    arrays |= {f"option_{name}": np.array(value) for name, value in options.items()}
    arrays |= {name: value for name, value in (("x", x), ("bias", bias)) if value is not None}
    np.savez(folder / "job.npz", **arrays)
    paths = [str(Path(__file__).parent), *(p or os.getcwd() for p in sys.path)]
    with (folder / "log.txt").open("wb") as log:
        command = [sys.executable, "-c", BOOT, str(folder), "\n".join(paths)]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            process.wait(timeout_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            unlink_shared_memory(folder)
    if not (folder / "seen.npz").exists():
        raise AssertionError("Lava did not finish:\n" + (folder / "log.txt").read_text()[-4000:])
    with np.load(folder / "seen.npz") as seen:
        count = len(seen.files) // 3
        return Seen(*([seen[f"{what}{i}"].astype(np.int64) for i in range(count)] for what in ("s", "u", "v")))


def child(place: str) -> None:
    """Run the job of a folder; ends the process."""
    from spikewright.export.lava.child import note_shared_memory
    from spikewright.export.lava.compat import prepare

    folder = Path(place)
    prepare(folder / "errors.txt")
    note_shared_memory(folder / "shm.txt")
    from lava.lib.dl.netx import hdf5
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    with np.load(folder / "job.npz") as job:
        options = {name[7:]: _plain(job[name]) for name in job.files if name.startswith("option_")}
        steps, path = int(job["steps"]), str(job["net"])
        x, bias = (job.get(name) for name in ("x", "bias"))
    net = hdf5.Network(net_config=path, **options)
    if bias is not None:
        net.in_layer.neuron.bias_mant.init = bias.T.astype(np.int32)
    if x is not None:
        flat = x.T if len(net.inp.shape) == x.ndim - 1 else x.reshape(steps, -1).T
        source = Source(data=np.ascontiguousarray(flat, np.int32))
        encodes = type(net.in_layer).__name__ == "Input"  # its own port leads nowhere
        source.s_out.connect(net.in_layer.neuron.a_in if encodes else net.inp)
    sinks = []
    for layer in net.layers:
        sink = Sink(shape=layer.out.shape, buffer=steps)
        layer.out.connect(sink.a_in)
        sinks.append(sink)
    net.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    seen = {}
    for i, (layer, sink) in enumerate(zip(net.layers, sinks, strict=True)):
        seen[f"s{i}"] = sink.data.get().astype(np.int32).T
        held = [getattr(layer.neuron, name, None) for name in ("u", "v")]
        seen[f"u{i}"], seen[f"v{i}"] = ((layer.neuron.sigma if var is None else var).get().T for var in held)
    np.savez(folder / "half.npz", **seen)
    (folder / "half.npz").rename(folder / "seen.npz")
    os._exit(0)


def _plain(value: NDArray[Any]) -> Any:
    return value.item() if value.ndim == 0 else tuple(value.tolist())
