"""Load a MODEL, whatever it is: a file, a name, an object in memory; by entry points ``spikewright.importers``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import nir
import numpy as np
from numpy.typing import NDArray

from spikewright.hw_sim.names import did_you_mean
from spikewright.hw_sim.typed import parse_json
from spikewright.toolchain import nirx
from spikewright.toolchain.autoencoder import Autoencoder
from spikewright.toolchain.comparison import compared
from spikewright.toolchain.dequantize import to_float
from spikewright.toolchain.diagnostics import Diagnostic
from spikewright.toolchain.errors import ImportingError, InputError, UnsupportedNodeError
from spikewright.toolchain.from_nir import assumed, from_nir, says_all, says_input_shape, unknown, with_input_shape
from spikewright.toolchain.integer import IntInput, with_timesteps
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.model_card import checked_card
from spikewright.toolchain.nirx.dialects import DIALECTS
from spikewright.toolchain.ops import Shape
from spikewright.toolchain.options import FACTS, Reading, refuse_unfit
from spikewright.toolchain.plugins import points

KINDS = ("nir", "net", "onnx", "factory", "checkpoint")
"""Importers that are known by how a spec ends."""


@dataclass(frozen=True, eq=False)
class Imported:
    """A model on its way in.

    Args:
        nir_graph: Its graph, standard and extension nodes; None for a model that is integer already.
        name: What to call it.
        dataset: The dataset it was trained on, if known.
        card: Its model card, maybe empty.
        note: What was checked on the way.
        integer: The integer graph of a model that is integer already (netx); ``timesteps`` 0 where it does not say them.
        graph: The float graph of a model that is one already.
        example: Input (T, B, *shape) that came with a model in memory.
        diagnostics: What was assumed, noted or lost on the way; deploy tells it.
        reads_data: Reading it looked at its data set.
        sized: For a model that does not say the shape of its input: the model for one.
        shaped: The shape of its input is what the user or the samples said.
        autoencoder: The parts of an autoencoder, which becomes two programs.
    """

    nir_graph: nir.NIRGraph | None
    name: str
    dataset: str | None = None
    card: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    integer: Graph | None = None
    graph: Graph | None = None
    example: NDArray[np.float32] | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    reads_data: bool = False
    sized: Callable[[Shape], Imported] | None = None
    shaped: bool = False
    autoencoder: Autoencoder | None = None

    def float_graph(
        self, *, dt_s: float | None = None, timesteps: int | None = None, reading: Reading | None = None
    ) -> Graph:
        """Return the model as a float graph: its NIR graph lowered, or its integers read as real numbers.

        Raises:
            InputError: An option is for something else, or says something else than the model itself.
        """
        refuse_unfit(reading, self.facts, self.name)
        if self.autoencoder is not None:
            raise UnsupportedNodeError(
                "is an autoencoder: two nets that spike, and a latent between them that a host draws",
                where=self.name,
                help="deploy it, and take its bundle, or one program of it: DIR/encoder, DIR/decoder",
            )
        if self.sized is not None:
            raise self.no_size()
        if self.integer is not None:
            integer = self.integer_graph(dt_s=dt_s, timesteps=timesteps)
            return to_float(compared(integer, None if reading is None else reading.comparison))
        if self.graph is not None:
            return self._as_said(dt_s, timesteps)
        return from_nir(self.nir_graph, dt_s=dt_s, timesteps=timesteps, where=self.name, reading=reading)

    def first(self) -> Imported:
        """Return the net that the data goes into: of an autoencoder its encoder, else the model itself."""
        return self if self.autoencoder is None else replace(self, graph=self.autoencoder.encoder, autoencoder=None)

    def integer_graph(self, *, dt_s: float | None = None, timesteps: int | None = None) -> Graph:
        """Return the integer graph for samples of T steps; a file may leave T open, and say a length of its own.

        Raises:
            InputError: Nobody says how many steps a sample has.
        """
        assert self.integer is not None
        graph = with_timesteps(self.integer, timesteps or self.integer.timesteps)
        if graph.timesteps < 1:
            raise InputError(
                "the file does not say how many steps a sample has", where=self.name, help="say it with --timesteps T"
            )
        return graph if dt_s is None else replace(graph, dt_s=dt_s)

    def _as_said(self, dt_s: float | None, timesteps: int | None) -> Graph:
        """Return the float graph, which says T and dt itself."""
        assert self.graph is not None
        for flag, given, said in (("--timesteps", timesteps, self.graph.timesteps), ("--dt", dt_s, self.graph.dt_s)):
            if given is not None and given != said:
                raise InputError(f"{given:g}; the model is for {said:g}", where=flag, help=f"leave {flag} out")
        return self.graph

    @property
    def facts(self) -> dict[str, bool]:
        """Which of ``options.FACTS`` hold of the model itself; of attention, only that an integer net has none."""
        whole = self.nir_graph is None and (self.integer is not None or self.sized is not None)
        return {
            "foreign": self.nir_graph is not None and not says_all(self.nir_graph),
            "float": not whole,
            "integer": whole,
            "latent": self.autoencoder is not None,
            "unsized": self.sized is not None or self.shaped,
            **({"attention": False, "graded": False} if whole else {}),
        }

    def refuse_folder(self, data: Path | None) -> None:
        """Refuse a folder of data that nobody looked at.

        Raises:
            InputError: Reading the model looked at no data set.
        """
        if data is not None and not self.reads_data:
            raise InputError(
                f"is for {FACTS['data set']}; this is not so of {self.name!r}", where="--data", help="leave it out"
            )

    def assumed(self, *, dt_s: float | None, reading: Reading | None) -> tuple[Diagnostic, ...]:
        """Return what neither the model nor the user says, and so was assumed, and what of it is not understood."""
        if self.nir_graph is None or says_all(self.nir_graph):
            return ()
        found = []
        texts = assumed(self.nir_graph, dt_s, reading, self.name)
        if texts:
            help = f"the options in brackets say otherwise, or --dialect {', '.join(DIALECTS)}"
            found.append(Diagnostic("nir-unsaid", self.name, "; ".join(texts), help, "assumption"))
        keys = unknown(self.nir_graph)
        if keys:
            what = f"metadata that mean nothing here: {', '.join(keys[:8])}" + (" ..." if len(keys) > 8 else "")
            found.append(Diagnostic("nir-metadata", self.name, what, "", "note"))
        return tuple(found)

    def no_size(self) -> ImportingError:
        """Return the refusal of a model without a known input shape."""
        return ImportingError(
            "says no shape of its input" if self.nir_graph else "begins with a convolution and says no input size",
            where=self.name,
            help="deploy it with --input-shape C,H,W, or with --samples FILE.npz whose frames have the shape",
        )


class Importer(Protocol):
    """An entry point of group ``spikewright.importers``: the model, or None where it is none of its kind.

    An importer of objects takes ``example``, too; one of names may have ``names()``, for the help of an unknown one.
    """

    def __call__(self, model: Any, data: Path | None = None, example: Any = None) -> Imported | None:
        """Import a model.

        Args:
            model: A spec (a name, a path, ``file.py:factory``), or an object in memory.
            data: Folder of the data set it was trained on, if the user named one.
            example: Input (T, B, *shape) of an object.
        """
        ...


def import_nir(model: Any, data: Path | None = None, example: Any = None) -> Imported | None:
    """Import a ``.nir`` file, or a ``nir.NIRGraph``; ``data`` is not looked at.

    Raises:
        ImportingError: It cannot be read.
        UnsupportedNodeError: It holds a node nobody here knows.
    """
    if isinstance(model, nir.NIRGraph):
        return _nir(model, "net", "nir.NIRGraph")
    if not isinstance(model, str) or Path(model).suffix != ".nir":
        return None
    return _nir(nirx.read(Path(model)), Path(model).stem, model)


def _nir(graph: nir.NIRGraph, name: str, where: str) -> Imported:
    graph = nirx.plain(graph, where)
    dataset, text = graph.metadata.get("dataset"), graph.metadata.get("card", "{}")
    try:
        card = parse_json(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError) as error:
        raise ImportingError(
            f"metadata card is not JSON ({error})", where=where, help="remove the card from the graph's metadata"
        ) from error
    found = Imported(graph, name, dataset if isinstance(dataset, str) else None, checked_card(card, where))
    if says_input_shape(graph, where):
        return found
    return replace(found, sized=lambda shape: replace(found, nir_graph=with_input_shape(graph, shape), shaped=True))


def import_graph(model: Any, data: Path | None = None, example: Any = None) -> Imported | None:
    """Import a float or integer ``Graph`` of the toolchain."""
    if not isinstance(model, Graph):
        return None
    if any(isinstance(op, IntInput) for op in model):
        return Imported(None, "net", integer=model)
    return Imported(None, "net", graph=model)


AT_HOME: dict[str, Importer] = {"graph": import_graph, "nir": import_nir}


def importers() -> dict[str, Importer]:
    """Return the installed importers by name; ``graph`` and ``nir`` are always there."""
    found = dict(AT_HOME)
    for point in points("spikewright.importers"):
        if point.name not in AT_HOME:
            found[point.name] = _Lazy(point.load)
    return found


class _Lazy:
    """An importer that is loaded when it is asked."""

    def __init__(self, load: Callable[[], Importer]) -> None:
        self.load = load

    def __call__(self, model: Any, data: Path | None = None, example: Any = None) -> Imported | None:
        return self.load()(model, data) if example is None else self.load()(model, data, example)

    def names(self) -> tuple[str, ...]:
        return _names(self.load())


def _names(importer: Importer) -> tuple[str, ...]:
    return tuple(importer.names()) if hasattr(importer, "names") else ()


def load_model(
    model: Any,
    available: Mapping[str, Importer] | None = None,
    *,
    data: Path | None = None,
    example: Any = None,
    layout: str | None = None,
) -> Imported:
    """Load a model.

    Args:
        model: A zoo name, a ``.safetensors`` written by ``spikewright train``, a ``.nir`` or ``.net`` file,
            ``path/to/file.py:factory``; or a torch module, a ``nir.NIRGraph`` or a ``Graph`` in memory.
        available: Importers by name; None: the installed ones.
        data: Folder of the data set that a checkpoint was trained on; None: where it is looked for by default.
        example: Input (T, B, *shape) of a model in memory.
        layout: Axes of a torch model's example, where they are not to be guessed: "TB", "BT", "S", "B" or "N".

    Raises:
        ImportingError: No importer takes it, or it cannot be read, or a layout is given for one that has none.
    """
    known = importers() if available is None else available
    if isinstance(model, Path):
        model = str(model)
    if isinstance(model, str):
        return _load_spec(model, known, data, example, layout)
    for importer in known.values():
        takes = layout is not None and _takes_layout(importer)
        found = _of_layout(importer)(model, data, example, layout=layout) if takes else importer(model, data, example)
        if found is not None:
            if layout is not None and not takes:
                raise no_layout(found.name, f"a {type(model).__name__}")
            return found if example is None or found.example is not None else replace(found, example=_array(example))
    raise ImportingError(
        f"a {type(model).__name__} is no model; a torch.nn.Module, a nir.NIRGraph, a Graph, or a name or path is",
        where="model",
        help="see spikewright doctor: a torch module needs pip install 'spikewright[models]'",
    )


def _array(example: Any) -> NDArray[np.float32]:
    return np.asarray(example, np.float32)


def no_layout(where: str, what: str) -> ImportingError:
    """Make the error for a layout of a model that has none to be said."""
    return ImportingError(
        f"{what} has no layout to be said: it takes (T, B, ...)", where=f"{where}, --layout", help="leave --layout out"
    )


def _takes_layout(importer: Importer) -> bool:
    made = importer.load() if isinstance(importer, _Lazy) else importer
    return "layout" in inspect.signature(made).parameters


def _of_layout(importer: Importer) -> Callable[..., Imported | None]:
    return importer.load() if isinstance(importer, _Lazy) else importer


def _load_spec(
    spec: str, known: Mapping[str, Importer], data: Path | None, example: Any, layout: str | None
) -> Imported:
    if example is not None:
        raise ImportingError(
            "an example input is for a model in memory", where=spec, help="leave it out, or give calibration="
        )
    for name in _order(spec, known):
        if layout is not None:
            if not _takes_layout(known[name]):
                raise no_layout(spec, "a model that is no Python factory")
            found = _of_layout(known[name])(spec, data, layout=layout)
        else:
            found = known[name](spec) if data is None else known[name](spec, data)
        if found is not None:
            return found
    raise _nobody(spec, known)


def _order(spec: str, known: Mapping[str, Importer]) -> list[str]:
    """Ask only the importer of the kind where the spec's ending says it (so that no other one is loaded)."""
    kind = _kind(spec)
    return [kind] if kind in known else [] if kind in KINDS else sorted(known)


def _kind(spec: str) -> str:
    head, colon, _ = spec.rpartition(":")
    if colon and head.endswith(".py"):
        return "factory"
    return {".nir": "nir", ".net": "net", ".onnx": "onnx", ".safetensors": "checkpoint"}.get(Path(spec).suffix, "")


def _nobody(spec: str, known: Mapping[str, Importer]) -> ImportingError:
    match _kind(spec):
        case "net":
            return ImportingError(
                "netx .net files are read by the package 'export', which is not installed",
                where=spec,
                help="install spikewright whole: pip install spikewright",
            )
        case "onnx":
            return ImportingError(
                ".onnx files are read by the package 'export' and onnx, which are not installed",
                where=spec,
                help="pip install 'spikewright[onnx]'",
            )
        case "factory" | "checkpoint":
            return ImportingError(
                "this kind of model needs torch's side of spikewright, which is not installed",
                where=spec,
                help="pip install 'spikewright[models]'",
            )
        case _ if spec.endswith(".py"):
            return ImportingError(
                "a Python file without a factory",
                where=spec,
                help=f"name the function that returns the net: {spec}:NAME",
            )
    names = [name for importer in known.values() for name in _names(importer)]
    return ImportingError(
        "no such model; a model is a zoo name, a .safetensors, .nir, .net or .onnx file, or file.py:factory",
        where=spec,
        help=did_you_mean(spec, names) + "see spikewright zoo for the names"
        if "checkpoint" in known
        else "pip install 'spikewright[models]' for the zoo",
    )
