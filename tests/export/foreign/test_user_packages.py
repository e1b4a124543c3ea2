"""A user's own packages beside the factory's file are found, whatever they are called, and do not stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikewright.export.torch_to_nir import load_factory


@pytest.mark.parametrize("package", ["models", "export", "toolchain"])
def test_a_package_beside_the_file_is_the_users(tmp_path: Path, package: str) -> None:
    for width, folder in ((5, tmp_path / "a"), (7, tmp_path / "b")):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text("")
        (folder / package / "mine.py").write_text(f"width = {width}\n")
        (folder / "net.py").write_text(
            f"import torch\nfrom torch import nn\nfrom {package}.mine import width\n"
            "def make():\n    return nn.Linear(5, width), torch.rand(4, 2, 5)\n"
        )

        made = load_factory(f"{folder}/net.py:make")
        assert isinstance(made, tuple)
        net, _ = made

        assert net.out_features == width
