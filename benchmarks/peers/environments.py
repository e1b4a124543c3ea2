"""A venv per simulator under ``build/peers``, made on demand; what cannot be installed is said, not raised."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTALL_LIMIT_S = 900


@dataclass(frozen=True)
class Environment:
    """What a simulator needs.

    Args:
        name: Folder under ``build/peers``; empty for our own interpreter.
        requirements: Pinned, as pip takes them.
        shares_ours: It also sees our own packages (torch is large), and nothing but the requirements is installed.
    """

    name: str = ""
    requirements: tuple[str, ...] = ()
    shares_ours: bool = False


@dataclass(frozen=True)
class Missing:
    """Why a simulator is not available."""

    reason: str


def interpreter(environment: Environment) -> Path | Missing:
    """Return the Python of an environment, installing it if need be."""
    if not environment.name:
        return Path(sys.executable)
    folder = ROOT / "build" / "peers" / environment.name
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join(environment.requirements)
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    sys.stderr.write(f"installing {', '.join(environment.requirements)} into {folder}\n")
    failed = _command([sys.executable, "-m", "venv", str(folder)]) or _install(environment, python)
    if failed is not None:
        return failed
    stamp.write_text(wanted)
    return python


def _install(environment: Environment, python: Path) -> Missing | None:
    options = []
    if environment.shares_ours:
        site = subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        (Path(site) / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
        options = ["--no-deps"]
    return _command([str(python), "-m", "pip", "install", "-q", *options, *environment.requirements])


def _command(words: list[str]) -> Missing | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Missing(str(error))
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines() or ["no output"]
    return Missing(f"`{' '.join(words[1:])}` failed: {lines[-1]}")
