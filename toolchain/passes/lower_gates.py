"""Lower attention blocks to neurons, synapses, gate ports: ``causal`` gates from earlier events, ``static`` ones from a table.

A block says itself which lowerings it has, and why it has no others. The host strategy (attention in front of the first spike)
is ``split-host``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from spikewright.toolchain.attention_block import AttentionBlock
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Op
from spikewright.toolchain.passes.base import Pass

Strategy = Literal["auto", "static", "causal", "host"]


def strategy_for(op: AttentionBlock, wanted: str) -> str:
    """Return the strategy an attention block gets, or refuse it with the reason.

    A block in front of the first spike runs on the host whatever the others get.

    Raises:
        GateLoweringError: The block and the strategy do not go together.
    """
    chosen = op.own_strategy if wanted == "auto" or op.on_host else wanted
    reason = op.refusal(chosen)
    if reason:
        raise _refused(op, chosen, reason, op.advice)
    return chosen


def strategies_for(blocks: Sequence[AttentionBlock], wanted: str) -> dict[str, str]:
    """Return the strategy of every attention block of a net, by block.

    Raises:
        GateLoweringError: A block and the strategy do not go together; of a net whose blocks all run on the host, any other.
    """
    if blocks and all(op.on_host for op in blocks) and wanted != "auto" and (reason := blocks[0].refusal(wanted)):
        raise _refused(blocks[0], wanted, reason, "deploy with --gates host (or auto)")
    return {op.block: strategy_for(op, wanted) for op in blocks}


def _refused(op: AttentionBlock, strategy: str, reason: str, help: str) -> GateLoweringError:
    what = f"{op.title} cannot be lowered by {strategy!r}: {reason}"
    return GateLoweringError(what, where=f"block {op.block!r}", help=help)


@dataclass(frozen=True)
class LowerGates(Pass):
    """Replace every attention block behind the first spike by neurons with gate ports and what drives them."""

    name: ClassVar[str] = "lower-gates"
    strategy: str = "auto"
    means: dict[str, dict[str, Array]] = field(default_factory=dict)
    """For ``static``: per block and dimension the mean gate over a calibration set, (T or 1, *gate shape)."""

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Lower the block at ``op``."""
        if not isinstance(op, AttentionBlock) or op.on_host:
            return None
        lowering = op.lowerings()[strategy_for(op, self.strategy)]
        return lowering(graph, self.means.get(op.name, {}))


def mean_gates(graph: Graph, signals: dict[str, Array]) -> dict[str, dict[str, Array]]:
    """Return every block's mean gates over the samples of ``signals``: per dimension (T or 1, *gate shape)."""
    return {
        op.name: {dim: g.mean(axis=1) for dim, g in op.gates_on([signals[name] for name in op.inputs]).items()}
        for op in graph
        if isinstance(op, AttentionBlock) and not op.on_host
    }
