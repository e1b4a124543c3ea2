"""Which blocks exist: the entry points of group ``spikewright.blocks``, ours and those of any installed package.

[project.entry-points."spikewright.blocks"]
my-kind = "my_package.my_block:MyBlock"        MyBlock.kind == "my-kind"
"""

from __future__ import annotations

from importlib.metadata import EntryPoint

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import ImportingError, UnsupportedNodeError
from spikewright.toolchain.plugins import points

GROUP = "spikewright.blocks"
_LOADED: dict[str, type[AttentionBlock]] = {}
"""By kind; a kind that is not here is looked for anew, so a package installed meanwhile is found."""


def block_class(kind: str, where: str = "") -> type[AttentionBlock]:
    """Return the block class registered as ``kind``.

    Raises:
        UnsupportedNodeError: No installed package registers it.
        ImportingError: The package that registers it cannot be imported.
    """
    if kind not in _LOADED:
        _load_all()
    if kind not in _LOADED:
        raise UnsupportedNodeError(
            f"no attention block of kind {kind!r}; there are {', '.join(sorted(_LOADED))}",
            where=where or f"block {kind!r}",
            help=f"install the package that registers it (entry point group {GROUP!r})",
        )
    return _LOADED[kind]


def block_of_op(name: str) -> type[AttentionBlock] | None:
    """Return the block class of this name, or that once had it; None if there is none."""
    for again in (False, True):
        if again:
            _load_all()
        for block in _LOADED.values():
            if name == block.__name__ or name in block.former:
                return block
    return None


def _load_all() -> None:
    for point in points(GROUP):
        if point.name not in _LOADED:
            _LOADED[point.name] = load_block(point)


def load_block(point: EntryPoint) -> type[AttentionBlock]:
    """Return the block class of an entry point.

    Raises:
        ImportingError: It cannot be imported, or is none.
    """
    where, help = f"entry point {point.name!r} of {GROUP!r}", "mend or uninstall the package that registers it"
    try:
        block = point.load()
    except (ImportError, AttributeError) as error:
        raise ImportingError(f"{point.value} cannot be loaded ({error})", where=where, help=help) from error
    if not (isinstance(block, type) and issubclass(block, AttentionBlock) and block.kind == point.name):
        raise ImportingError(f"{point.value} is no AttentionBlock of kind {point.name!r}", where=where, help=help)
    return block
