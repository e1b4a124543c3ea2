"""Results on disk, one JSON file a job, whole or not at all; found again only by a job of the same settings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.attention_effect.plan import Job
from spikewright.toolchain.errors import InputError

Result = dict[str, Any]


def place(out: Path, job: Job) -> Path:
    """Return where a job's result lies."""
    return out / job.set / f"{job.net}-seed{job.seed}.json"


def write(out: Path, job: Job, result: Result) -> None:
    """Write a result under a temporary name, then rename it."""
    path = place(out, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(json.dumps({"settings": job.settings(), "result": result}, indent=1, allow_nan=False) + "\n")
    partial.replace(path)


def read(out: Path, job: Job) -> Result | None:
    """Return a job's result, or None where there is none yet.

    Raises:
        InputError: The file is damaged, or of other settings.
    """
    path = place(out, job)
    try:
        found = json.loads(path.read_text())
        settings, result = found["settings"], found["result"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"not a result of this benchmark ({type(error).__name__})", where=str(path), help="delete it"
        ) from error
    wanted = json.loads(json.dumps(job.settings()))
    if settings != wanted:
        differ = sorted(key for key in wanted if settings.get(key) != wanted[key])
        raise InputError(
            f"a result of other settings ({', '.join(differ) or 'more of them'})",
            where=str(path),
            help="name another folder with --out, or give the options it was made with",
        )
    return dict(result)
