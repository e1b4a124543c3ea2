"""Prefixes: the stages of a deployment remembered by the content that led there, so that neighbours in a grid share them.

    prefix(0) = H(net, data, chip, options that no stage names),   prefix(k) = H(prefix(k - 1), stage k, options it names)

Kept is one context a stage, the last: a grid walked in the order of its stages needs no more, and memory stays bounded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from spikewright.toolchain.content import digest
from spikewright.toolchain.options import declared
from spikewright.toolchain.pipeline import pipeline
from spikewright.toolchain.stage import Context, Stage


@dataclass(eq=False)
class Prefixes:
    """A memory of stages (see ``toolchain.stage.Memory``).

    Args:
        ran: How often each stage was run, by name.
        shared: How often it was not.
    """

    ran: Counter[str] = field(default_factory=Counter)
    shared: Counter[str] = field(default_factory=Counter)
    _kept: dict[str, tuple[str, Context]] = field(default_factory=dict)

    def begin(self, context: Context) -> Context:
        """Return the context with the prefix of what all stages see."""
        later = {name for stage in pipeline() for name in stage.options} | {"gates"}
        early = {one.name: getattr(context.options, one.name) for one in declared(context.options)}
        seen = {name: value for name, value in early.items() if name not in later}
        key = digest(context.name, context.captured, context.chip, context.code, context.x, context.y, seen)
        return replace(context, prefix=key)

    def take(self, stage: Stage, context: Context) -> Context:
        """Return what the stage makes of the context; what it does not read is that of the present walk."""
        chosen = {name: getattr(context.options, name) for name in stage.options}
        reads = "strategies" in stage.needs
        lowered = (context.gates, context.strategies) if reads else ()
        key = digest(context.prefix, stage.name, stage.origin, chosen, lowered)
        before, made = self._kept.get(stage.name, ("", context))
        if before == key:
            self.shared[stage.name] += 1
            strategies = made.strategies if reads else context.strategies
            return replace(made, options=context.options, gates=context.gates, strategies=strategies)
        self.ran[stage.name] += 1
        made = replace(stage.run(context), prefix=key)
        self._kept[stage.name] = (key, made)
        return made
