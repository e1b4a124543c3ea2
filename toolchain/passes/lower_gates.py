"""Lower attention blocks to neurons, synapses, gate ports: ``causal`` gates from earlier events, ``static`` ones from a table.

``barrier`` gates are pooled from the membranes inside the step; ``replay`` ones a host computes from a run before.
A block says itself which lowerings it has, and why it has no others. The host strategy (attention in front of the first spike)
is ``split-host``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from spikewright.hw_sim.names import did_you_mean
from spikewright.toolchain.attention_block import BEHIND, AttentionBlock
from spikewright.toolchain.errors import GateLoweringError
from spikewright.toolchain.ir import Graph
from spikewright.toolchain.ops import Array, Op
from spikewright.toolchain.passes.base import Pass

Strategy = Literal["auto", "static", "causal", "barrier", "replay", "host"]


def strategy_for(op: AttentionBlock, wanted: str, *, front: bool | None = None) -> str:
    """Return the strategy an attention block gets, or refuse it with the reason.

    A block in front of the first spike runs on the host whatever the others get.

    Args:
        op: The block.
        wanted: What is asked for.
        front: Whether it holds the first neurons, so that a host can compute it; None: as far as the block itself says.

    Raises:
        GateLoweringError: The block and the strategy do not go together.
    """
    chosen = op.own_strategy if wanted == "auto" or op.on_host else wanted
    if front and (chosen == "host" or op.gates_currents):
        return "host"
    reason = BEHIND if chosen == "host" and front is False else op.refusal(chosen)
    if reason:
        raise _refused(op, chosen, reason, _advice(op))
    return chosen


def by_block(wanted: str) -> dict[str, str]:
    """Read ``STRATEGY``, or ``BLOCK=STRATEGY,...``: the strategy by block; of all blocks that are not named under ""."""
    words = [word.rpartition("=") for word in wanted.split(",")]
    return {block: strategy for block, _, strategy in words}


def strategies_for(
    blocks: Sequence[AttentionBlock], wanted: str, front: Collection[AttentionBlock] | None = None
) -> dict[str, str]:
    """Return the strategy of every attention block of a net, by block.

    Args:
        blocks: The attention blocks.
        front: Those of them that hold the first neurons; None: not known.
        wanted: A strategy, or ``BLOCK=STRATEGY,...``; blocks that are not named get the one without a name, or ``auto``.

    Raises:
        GateLoweringError: A block and the strategy do not go together; of a net whose blocks all run on the host, any other;
            or there is no such block.
    """
    asked = by_block(wanted)
    named = {block: strategy for block, strategy in asked.items() if block}
    known = [op.block for op in blocks]
    for block in named:
        if block not in known:
            raise GateLoweringError(
                f"there is no attention block {block!r}; there are {', '.join(map(repr, known)) or 'none'}",
                where=f"--gates {block}={named[block]}",
                help=f"{did_you_mean(block, known)}name a block that has attention",
            )
    if named:
        rest = asked.get("", "auto")
        return {
            op.block: _asked(op, named[op.block], _stands(op, front))
            if op.block in named
            else strategy_for(op, rest, front=_stands(op, front))
            for op in blocks
        }
    if blocks and all(op.on_host for op in blocks) and wanted != "auto" and (reason := blocks[0].refusal(wanted)):
        raise _refused(blocks[0], wanted, reason, "deploy with --gates host (or auto)")
    return {op.block: strategy_for(op, wanted, front=_stands(op, front)) for op in blocks}


def _stands(op: AttentionBlock, front: Collection[AttentionBlock] | None) -> bool | None:
    return None if front is None else op in front


def _asked(op: AttentionBlock, wanted: str, front: bool | None) -> str:
    """Return what is asked of this very block, or refuse it with the reason."""
    chosen = op.own_strategy if wanted == "auto" else wanted
    if wanted == "auto" and front and op.gates_currents:
        return "host"
    if chosen != "host" and (reason := op.refusal(chosen)):
        raise _refused(op, chosen, reason, _advice(op))
    return strategy_for(op, chosen, front=front)


def _advice(op: AttentionBlock) -> str:
    """Return what to do where a lowering is refused: the exact one, where the block has it."""
    return op.advice if op.refusal("causal") else "deploy with --gates causal (or auto)"


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
    chosen: Mapping[str, str] = field(default_factory=dict)
    """The strategy by block, where it is not the one of all."""

    def rewrite(self, graph: Graph, op: Op) -> Graph | None:
        """Lower the block at ``op``."""
        if not isinstance(op, AttentionBlock) or op.on_host:
            return None
        lowering = op.lowerings()[self.chosen.get(op.block) or strategy_for(op, self.strategy)]
        return lowering(graph, self.means.get(op.name, {}))


def mean_gates(graph: Graph, signals: dict[str, Array]) -> dict[str, dict[str, Array]]:
    """Return every block's mean gates over the samples of ``signals``: per dimension (T or 1, *gate shape)."""
    return {
        op.name: {dim: g.mean(axis=1) for dim, g in op.gates_on([signals[name] for name in op.inputs]).items()}
        for op in graph
        if isinstance(op, AttentionBlock) and not op.on_host
    }
