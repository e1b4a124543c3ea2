"""The extension nodes of TCJA (a gate on spikes) and of STAA-style attention (a gated neuron)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import nir
import numpy as np

from spikewright.toolchain.nirx.nodes import (
    GATES,
    Array,
    Gate,
    Neuron,
    _check_choice,
    _check_neuron,
    _check_parameters,
    _ports,
    _shape,
)
from spikewright.toolchain.nirx.registry import extension


@extension
@dataclass(eq=False)
class JointGate(nir.NIRNode):  # type: ignore[misc]
    r"""TCJA: a gate per step and channel on binary spikes; equations in ``toolchain.ops.JointGate``.

    .. math::
        y_{t,c} = g_{t,c} \, s_{t,c}, \qquad g = h(P Q), \quad P = \text{conv}_t(\bar{s}), \quad Q = \text{conv}_c(\bar{s})

    Shapes: s, y ``shape``, ``(C, H, W)`` or ``(C,)``. ``parameters``, as far as ``dims`` names them: ``tla (C, C, k)``,
    ``cla (T, T, k)``, or ``(1, 1, k)`` for ``memory`` "count".
    The gate is real: a binary spike leaves as a *graded* one.

    Reference: Zhu et al., "TCJA-SNN", IEEE TNNLS, 2024 (causal: ours).
    """

    parameters: dict[str, Array]
    dims: Literal["T", "C", "TC"]
    variant: Literal["published", "causal"]
    timesteps: int  # T the weights are for
    gate: Gate  # the function h
    gate_delay: int  # causal: steps from a spike to the gate it moves
    memory: Literal["table", "count"]  # causal cla: weights per pair of steps, or one kernel over counts
    decay: float  # share of the counts kept per step
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check shapes, then set NIR's port types."""
        self.shape, self.timesteps, self.gate_delay = _shape(self.shape), int(self.timesteps), int(self.gate_delay)
        self.decay = float(self.decay)
        _check_choice("JointGate", "gate", self.gate, GATES)
        _check_choice("JointGate", "variant", self.variant, ("published", "causal"))
        _check_choice("JointGate", "dims", self.dims, ("T", "C", "TC"))
        _check_choice("JointGate", "memory", self.memory, ("table", "count"))
        _check_numbers("JointGate", self.timesteps, self.gate_delay, 0, self.decay)
        self.parameters = {name: np.asarray(value) for name, value in self.parameters.items()}
        counted = self.variant == "causal" and self.memory == "count"
        steps, channels = 1 if counted else self.timesteps, self.shape[0]
        expected: dict[str, tuple[int | None, ...]] = {}
        if "T" in self.dims:
            expected["tla"] = (channels, channels, None)
        if "C" in self.dims:
            expected["cla"] = (steps, steps, None)
        _check_parameters("JointGate", self.parameters, expected)
        _ports(self, self.shape)


@extension
@dataclass(eq=False)
class StaaLif(nir.NIRNode):  # type: ignore[misc]
    r"""STAA-style attention with its adaptive neuron, from a current to spikes; equations in ``toolchain.ops.StaaLif``.

    .. math::
        s = \mathrm{LIF}(g \, (x + pe_t)), \qquad y = a_t \, s

    Shapes: x, y ``shape``: ``(C, H, W)`` or ``(C,)``. ``parameters``: ``pe (T, C)`` where there is a position encoding;

    * reconstruction: ``gc_key (1, C)`` (softmax only), ``gc_query (h, C)``, ``gc_scale (h,)``, ``gc_shift (h,)``,
      ``gc_value (C, h)``, ``sa_w0 (n, T)``, ``sa_w1 (T, n)``;
    * causal: ``ta_w ()``, ``ta_b ()``, ``ca_w0 (h, C)``, ``ca_w1 (C, h)``, ``ca_b (C,)``.

    Reference: after Zhang et al., "STAA-SNN", CVPR 2025. Provenance: a reconstruction; no code was published (causal: ours).
    """

    neuron: Neuron
    parameters: dict[str, Array]
    variant: Literal["reconstruction", "causal"]
    timesteps: int  # T the weights are for
    gate: Gate  # the function h
    gate_delay: int  # causal: steps from a spike to the gate it moves
    decay: float  # causal: share of the counts kept per step
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check shapes, then set NIR's port types."""
        self.shape, self.timesteps, self.gate_delay = _shape(self.shape), int(self.timesteps), int(self.gate_delay)
        self.decay = float(self.decay)
        _check_neuron("StaaLif", self.neuron, self.shape)
        _check_choice("StaaLif", "gate", self.gate, GATES)
        _check_choice("StaaLif", "variant", self.variant, ("reconstruction", "causal"))
        _check_numbers("StaaLif", self.timesteps, self.gate_delay, 1, self.decay)
        self.parameters = {name: np.asarray(value) for name, value in self.parameters.items()}
        _check_parameters("StaaLif", self.parameters, self._expected())
        _ports(self, self.shape)

    def _expected(self) -> dict[str, tuple[int | None, ...]]:
        channels, steps = self.shape[0], self.timesteps
        expected: dict[str, tuple[int | None, ...]] = {"pe": (steps, channels)} if "pe" in self.parameters else {}
        if self.variant == "causal":
            own = {"ta_w": (), "ta_b": (), "ca_w0": (None, channels), "ca_w1": (channels, None), "ca_b": (channels,)}
            return expected | own
        expected |= {"gc_key": (1, channels)} if "gc_key" in self.parameters else {}
        hidden = {"gc_query": (None, channels), "gc_scale": (None,), "gc_shift": (None,), "gc_value": (channels, None)}
        return expected | hidden | {"sa_w0": (None, steps), "sa_w1": (steps, None)}


def _check_numbers(node: str, timesteps: int, gate_delay: int, least: int, decay: float) -> None:
    if timesteps < 1 or gate_delay < least or not 0 <= decay <= 1:
        raise ValueError(
            f"{node}: timesteps {timesteps}, gate_delay {gate_delay}, decay {decay}; "
            f"expected timesteps >= 1, gate_delay >= {least}, decay in 0 .. 1"
        )
