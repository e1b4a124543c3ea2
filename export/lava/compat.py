"""Make lava-nc 0.10.0 (archived upstream in 2026) usable on CPython 3.11 and later with numpy 2: five small repairs.

Call ``prepare`` before anything of ``lava`` is imported, in a process that runs nothing but Lava.
"""

from __future__ import annotations

import dataclasses
import importlib
import multiprocessing
import os
import sys
import traceback
import types
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

INSTALL = 'pip install --no-deps --ignore-requires-python "lava-nc==0.10.0"'
"""Lava declares Python < 3.11 and caps that it does not need; its requirements are in the lock file."""


def available() -> tuple[bool, str]:
    """Say whether Lava is installed: (True, its version) or (False, the command that installs it)."""
    try:
        return True, f"lava-nc {version('lava-nc')}"
    except PackageNotFoundError:
        return False, INSTALL


def prepare(errors: Path) -> None:
    """Repair Lava for this interpreter; tracebacks of dying process models are appended to the file ``errors``."""
    _shorten_socket_paths(errors.parent)
    _accept_unhashable_default()
    _stub_object_detection()
    _convolve_wide_images()
    _report_deaths(errors)


def _shorten_socket_paths(folder: Path) -> None:
    """Name Lava's sockets relative to ``folder``: an absolute path of over 107 bytes (a cluster's TMPDIR) kills its manager."""
    os.chdir(folder)
    multiprocessing.current_process()._config["tempdir"] = os.curdir  # type: ignore[attr-defined]  # inherited by each fork


def _accept_unhashable_default() -> None:
    """Give ``ByteEncoder``, a mutable dataclass used as a field default, a hash: Python 3.11 asks for one."""
    name = "lava.magma.compiler.var_model"
    if name in sys.modules:
        return
    original = dataclasses.dataclass

    def patched(cls: Any = None, /, **options: Any) -> Any:
        def wrap(target: Any) -> Any:
            if target.__name__ == "ByteEncoder" and target.__module__ == name:
                options["unsafe_hash"] = True
            return original(target, **options)

        return wrap if cls is None else wrap(cls)

    dataclasses.dataclass = patched
    try:
        importlib.import_module(name)
    finally:
        dataclasses.dataclass = original


def _stub_object_detection() -> None:
    """Keep ``lava.lib.dl.slayer`` from importing its object detection, which needs cv2 and torchvision."""
    name = "lava.lib.dl.slayer.object_detection"
    if name not in sys.modules:
        module = types.ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module


def _convolve_wide_images() -> None:
    """Hand Conv plain integers: with numpy 2 its int8 arithmetic overflows on images wider than 127."""
    utils: Any = importlib.import_module("lava.proc.conv.utils")
    original = utils.conv_scipy
    if getattr(original, "widened", False):
        return

    def conv_scipy(x: Any, weight: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
        return original(x, weight, _plain(kernel), _plain(stride), _plain(padding), _plain(dilation), int(groups))

    conv_scipy.widened = True  # type: ignore[attr-defined]
    utils.conv_scipy = conv_scipy


def _plain(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _report_deaths(errors: Path) -> None:
    """Write down why a process model died: Lava drops its traceback, and the neighbours wait for it for ever."""
    infrastructure = importlib.import_module("lava.magma.runtime.message_infrastructure.multiprocessing")

    def run(self: Any) -> None:
        try:
            multiprocessing.Process.run(self)
            self._cconn.send(None)
        except Exception as error:
            text = traceback.format_exc()
            report(errors, text)
            self._cconn.send((error, text))

    infrastructure.SystemProcess.run = run


def report(errors: Path, text: str) -> None:
    """Append a traceback to the file of errors, in one write."""
    handle = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
