"""Fixtures and options that all tests share: ``--data DIR``, a seeded generator, hypothesis without deadlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile(
    "quick", settings.get_profile("ci"), max_examples=settings.get_profile("ci").max_examples // 5
)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--data DIR``, the folder of real data."""
    parser.addoption("--data", default=None, metavar="DIR", help="folder of real data (nir_lif/, nmnist/, ...)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that starts Lava is slow: ``-m "not slow"`` leaves it out."""
    for item in items:
        if item.get_closest_marker("lava") is not None:
            item.add_marker(pytest.mark.slow)


def pytest_configure(config: pytest.Config) -> None:
    """Let properties be tried on a fifth of their examples where slow tests are left out."""
    if config.getoption("markexpr") == "not slow":
        settings.load_profile("quick")


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """Return the folder of real data; skip where none was given."""
    given = request.config.getoption("--data")
    if given is None:
        pytest.skip("needs real data: run pytest with --data DIR")
    folder = Path(given)
    if not folder.is_dir():
        pytest.fail(f"--data {folder}: no such folder")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with seed 0."""
    return np.random.default_rng(0)
