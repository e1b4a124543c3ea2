"""A recorded run on disk: one ``.npz`` of answers, spikes and states, written part by part, and whole or not at all.

============== ================ ====================================================================================
member         shape            what
============== ================ ====================================================================================
answer         (B, n) int64     as ``Run.answer``
y              (B,) int64       class numbers, where they are known
spikes/LAYER   (T, B, *shape)   uint8 0 or 1; int32 where payloads or gate levels are sent
v/LAYER        (T, B, *shape)   int32: membrane or accumulator after reset, at local step t
u/LAYER        (T, B, *shape)   int64: synaptic current, of layers that keep some of it
json           (n,) uint8       UTF-8 text: format, net, backend, layers in order, what was recorded
============== ================ ====================================================================================

``numpy.load`` reads it too. Members are not compressed, so that what the disk must hold is known before the run.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.arrays import DamagedError, array_shapes, read_arrays
from spikewright.hw_sim.files import whole
from spikewright.hw_sim.typed import parse_json
from spikewright.toolchain.backends import Recorded, Recording
from spikewright.toolchain.deployment import Deployment
from spikewright.toolchain.errors import InputError
from spikewright.toolchain.integer import IntNeuron
from spikewright.toolchain.output_files import check_file

FORMAT = 1
MARGIN = 1 << 20
"""Bytes for names, headers and answers."""
COPY = 1 << 20
"""Bytes copied at once."""


@dataclass(frozen=True)
class _Member:
    """One array of the file: its name, shape (T, B, *shape), type, and where its values wait until it is complete."""

    layer: str
    state: Recorded
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


class RecordingFile:
    """Takes the parts of a run as they come, in files without a name beside the target; ``finish`` makes the ``.npz`` of them.

    Args:
        path: The file; replaced by one rename when all is there.
        made: What runs.
        samples: B.
        what: Of ``spikes``, ``v``, ``u``.

    Raises:
        InputError: The file cannot be written, or the disk has no room for it.
    """

    def __init__(self, path: Path, made: Deployment, samples: int, what: Sequence[Recorded]) -> None:
        check_file(path)
        self.path, self.what = path, tuple(what)
        self.open, self.waiting = ExitStack(), list[IO[bytes]]()
        self.layers = tuple(op for op in made.integer if isinstance(op, IntNeuron) and op.soma.states)
        shape = (made.integer.timesteps, samples)
        self.members = [
            _Member(op.name, state, (*shape, *op.shape), _type_of(op, state))
            for op in self.layers
            for state in what
            if state != "u" or op.soma.filters
        ]
        sizes = [member.size for member in self.members]
        needed, free = sum(sizes) + max(sizes, default=0) + MARGIN, shutil.disk_usage(path.parent).free
        if needed > free:
            raise InputError(
                f"the recording takes {needed / 1e9:.2f} GB while it is made; {free / 1e9:.2f} GB are free there",
                where=f"--save {path}",
                help="record less (--record spikes), fewer samples (--limit N), or on another disk",
            )

    def __enter__(self) -> Self:
        with self._refusals():
            for _ in self.members:
                self.waiting.append(self.open.enter_context(tempfile.TemporaryFile(dir=self.path.parent)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open.close()

    def add(self, samples: slice, steps: slice, recordings: Mapping[str, Recording]) -> None:
        """Put what was recorded of some samples and steps in its place."""
        with self._refusals():
            for member, file in zip(self.members, self.waiting, strict=True):
                recording = recordings[member.layer]
                values = recording.out if member.state == "spikes" else getattr(recording, member.state)
                self._put(member, file, samples, steps, np.asarray(values).astype(member.dtype, copy=False))

    def _put(self, member: _Member, file: IO[bytes], samples: slice, steps: slice, values: NDArray[Any]) -> None:
        count, each = member.shape[1], prod(member.shape[2:]) * member.dtype.itemsize
        rows = [values] if samples == slice(0, count) else list(values)
        for t, row in zip(range(steps.start, steps.stop), rows, strict=False):
            file.seek((t * count + samples.start) * each)
            file.write(np.ascontiguousarray(row).data)

    def finish(self, answer: NDArray[Any], y: NDArray[Any] | None, about: Mapping[str, Any]) -> None:
        """Write the file and give it its name."""
        text = {"format": FORMAT, "layers": [op.name for op in self.layers], "recorded": list(self.what), **about}
        small = {"answer": answer, "json": np.frombuffer(json.dumps(text).encode(), np.uint8)}
        small |= {} if y is None else {"y": y}
        with self._refusals(), whole(self.path) as target, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for name, array in small.items():
                archive.writestr(f"{name}.npy", _bytes_of(array))
            for member, file in zip(self.members, self.waiting, strict=True):
                _copy(archive, member, file)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"cannot be written ({error.strerror or error})",
                where=f"--save {self.path}",
                help="free some room there, or name a file on another disk",
            ) from error


def _type_of(op: IntNeuron, state: Recorded) -> np.dtype[Any]:
    wide = {"spikes": np.uint8 if op.soma.sends == "binary" else np.int32, "v": np.int32, "u": np.int64}
    return np.dtype(wide[state])


def _bytes_of(array: NDArray[Any]) -> bytes:
    held = BytesIO()
    np.lib.format.write_array(held, np.ascontiguousarray(array), allow_pickle=False)
    return held.getvalue()


def _copy(archive: zipfile.ZipFile, member: _Member, file: IO[bytes]) -> None:
    """Copy one array into the archive, and give its room back."""
    header = {"descr": np.lib.format.dtype_to_descr(member.dtype), "fortran_order": False, "shape": member.shape}
    file.seek(0)
    with archive.open(f"{member.state}/{member.layer}.npy", "w", force_zip64=True) as target:
        np.lib.format.write_array_header_2_0(target, header)
        shutil.copyfileobj(file, target, COPY)
    file.close()


class RecordedRun:
    """A recorded run on disk: arrays are read when they are asked for, each time anew.

    Args:
        path: What ``run --save`` wrote.

    Raises:
        InputError: The file is missing, damaged, or holds something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.names = tuple(array_shapes(self.path))
            self.about: dict[str, Any] = parse_json(self._read("json").tobytes())
            self.layers: tuple[str, ...] = tuple(self.about["layers"])
            version = self.about["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._refused(f"is no recording ({error})") from error
        if version != FORMAT:
            raise self._refused(f"has format {version}; {FORMAT} is read")

    def _read(self, name: str) -> NDArray[Any]:
        try:
            return read_arrays(self.path, {name})[name]
        except (OSError, DamagedError) as error:
            raise self._refused(f"array {name!r} cannot be read ({error})") from error

    @property
    def answer(self) -> NDArray[np.int64]:
        """(B, n), as ``Run.answer``."""
        return self._read("answer")

    @property
    def y(self) -> NDArray[np.int64] | None:
        """(B,) class numbers, or None."""
        return self._read("y") if "y" in self.names else None

    def spikes(self, layer: str) -> NDArray[Any]:
        """Return what a layer sent, (T, B, *shape); raises ``InputError`` if that was not recorded, as the next two."""
        return self._array("spikes", layer)

    def v(self, layer: str) -> NDArray[Any]:
        """Return its membranes or accumulators after reset, (T, B, *shape) integers.

        Raises:
            InputError: They were not saved.
        """
        return self._array("v", layer)

    def u(self, layer: str) -> NDArray[Any]:
        """Return its synaptic currents, (T, B, *shape) integers.

        Raises:
            InputError: They were not saved.
        """
        return self._array("u", layer)

    def _array(self, state: str, layer: str) -> NDArray[Any]:
        if f"{state}/{layer}" in self.names:
            return self._read(f"{state}/{layer}")
        held = sorted(name for name in self.names if name.startswith(f"{state}/"))
        raise InputError(
            f"{state} of layer {layer!r} is not in it; there are {', '.join(held) or 'none'}",
            where=str(self.path),
            help="record it: spikewright run ... --save FILE.npz --record all",
        )

    def _refused(self, what: str) -> InputError:
        return InputError(what, where=str(self.path), help="write it with spikewright run BUNDLE --save FILE.npz")


RECORDED: tuple[Recorded, ...] = get_args(Recorded)
