"""Load a user's net from ``path/to/file.py:factory``, by file location, under a name of our own.

While the file and its factory run, the file's folder is first on the search path, as when python runs the file: packages of
the user's beside it, whatever they are called, are found. Ours live under ``spikewright`` and are never hidden.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import nir
import torch
from torch import Tensor, nn

from spikewright.hw_sim.errors import text_of
from spikewright.hw_sim.files import regular
from spikewright.toolchain.errors import ImportingError

EXAMPLE = "give it an example: self.example_input = torch.zeros(T, B, C, H, W), or return (module, example)"


def load_factory(spec: str) -> tuple[nn.Module, Tensor] | nir.NIRGraph:
    """Load a file, call its factory, and return the module with its example input, or the NIR graph it makes.

    Args:
        spec: ``path/to/file.py:name``. The factory takes no arguments and returns a module with an attribute
            ``example_input``, a tensor (T, B, ...), the pair (module, example), or a ``nir.NIRGraph``.

    Raises:
        ImportingError: No such file or function, the code raised, or the result is not what is expected.
    """
    path, _, name = spec.rpartition(":")
    file = Path(path)
    if not file.is_file() or file.suffix != ".py":
        raise ImportingError("no such Python file", where=path, help="write it as path/to/file.py:factory")
    try:
        regular(file)
    except OSError as error:
        raise ImportingError(str(error.strerror), where=path, help="name a file of Python code") from error
    with _beside(file):
        return _made(spec, file, name)


@contextmanager
def _beside(file: Path) -> Iterator[None]:
    """Put a file's folder first on the search path; forget what an earlier factory loaded from another folder."""
    folder = str(file.resolve().parent)
    for loaded, home in list(_LOADED.items()):
        if home != folder:
            sys.modules.pop(loaded, None)
            del _LOADED[loaded]
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
        for loaded in set(sys.modules) - before:
            origin = getattr(sys.modules[loaded], "__file__", None) or ""
            if origin and Path(origin).resolve().is_relative_to(folder):
                _LOADED[loaded] = folder


_LOADED: dict[str, str] = {}
"""Modules that factories loaded from beside their file, and the folder."""


def _made(spec: str, file: Path, name: str) -> tuple[nn.Module, Tensor] | nir.NIRGraph:
    module = _load(file)
    factory = getattr(module, name, None)
    if not callable(factory):
        others = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        own = [key for key in others if getattr(vars(module)[key], "__module__", "") == module.__name__]
        raise ImportingError(
            f"no function {name!r}; the file defines {', '.join(own) or 'none'}",
            where=str(file),
            help="name a function that returns the net: file.py:factory",
        )
    try:
        made = factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's code can raise anything; its last line is the message
        raise _raised(error, file, f"{name}() raised") from error
    if isinstance(made, nir.NIRGraph):
        return made
    net, example = made if isinstance(made, tuple) and len(made) == 2 else (made, getattr(made, "example_input", None))
    if not isinstance(net, nn.Module):
        raise ImportingError(
            f"{name}() returned a {type(net).__name__}; expected a torch.nn.Module or a nir.NIRGraph",
            where=spec,
            help="return the net",
        )
    if not isinstance(example, torch.Tensor):
        raise ImportingError(f"{name}() says nothing about the shape of its input", where=spec, help=EXAMPLE)
    return net, example


def _load(file: Path) -> ModuleType:
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
    name = f"_spikewright_user_{digest}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportingError("cannot be loaded as Python", where=str(file), help="name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch look a class's module up
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's code can raise anything
        del sys.modules[name]
        raise _raised(error, file, "the file raised") from error
    return module


def _raised(error: BaseException, file: Path, what: str) -> ImportingError:
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file.resolve()
    ]
    if (
        isinstance(error, SyntaxError)
        and error.filename is not None
        and Path(error.filename).resolve() == file.resolve()
    ):
        lines.append(error.lineno)
    where = f"{file}:{lines[-1]}" if lines else str(file)
    return ImportingError(
        f"{what} {text_of(error)}", where=where, help="correct this line; python runs the file alone, too"
    )
