"""Data parallel training under ``torchrun``: every process takes its part of each batch; gradients and statistics are averaged.

    gradient = sum over processes of (part's samples / batch's samples) * part's gradient
    batch norm: mean and variance over the whole batch

so that a run on n processes follows the run of one process with the same whole batch, up to the order of sums.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous

from spikewright.models.errors import RecipeError
from spikewright.models.layers import over_steps

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

LEFT, LEAVING_S = "spikewright/left", 60.0
"""Key under which the processes that are done are counted, and how long one waits for the others, in s."""


@dataclass(frozen=True)
class Workers:
    """This process's rank, and how many there are."""

    rank: int = 0
    count: int = 1

    def part(self, batch: int) -> slice:
        """Return this process's part of a batch: every ``count``-th sample, so that parts differ by one at most."""
        return slice(self.rank, batch, self.count)


@contextmanager
def workers(device: str) -> Iterator[Workers]:
    """Join the other processes if torchrun started this one (gloo on a CPU, nccl on GPUs); else be alone."""
    if distributed.is_available() and distributed.is_initialized():
        yield Workers(distributed.get_rank(), distributed.get_world_size())
        return
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield Workers()
        return
    store, rank, count = next(rendezvous("env://"))
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        me = Workers(distributed.get_rank(), distributed.get_world_size())
        if device == "cuda":
            torch.cuda.set_device(me.rank % torch.cuda.device_count())
        yield me
        distributed.barrier()
        _leave_together(store, count)
    finally:
        distributed.destroy_process_group()


def _leave_together(store: Store, count: int) -> None:
    """Wait until every process has left the last reduction: a socket that closes under one would abort it."""
    store.add(LEFT, 1)
    end = time.monotonic() + LEAVING_S
    while store.add(LEFT, 0) < count and time.monotonic() < end:
        time.sleep(0.01)


class _AllSum(torch.autograd.Function):
    """Sum over processes, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.clone()
        distributed.all_reduce(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad = grads[0].clone()
        distributed.all_reduce(grad)
        return grad


def all_sum(x: Tensor) -> Tensor:
    """Return the sum over processes, differentiable. Of any shape (..., n)."""
    total: Tensor = _AllSum.apply(x)  # type: ignore[no-untyped-call]
    return total


def _normalise(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Normalise (T, B, C, ...) by statistics over all processes, as ``norm`` does by its own batch's."""
    if not norm.training:
        y: Tensor = type(norm).forward(norm, x)
        return y
    return over_steps(partial(_normalise_batch, norm), x)


def _normalise_batch(norm: nn.BatchNorm1d | nn.BatchNorm2d, flat: Tensor) -> Tensor:
    axes, shape = (0, *range(2, flat.ndim)), (1, -1, *(1,) * (flat.ndim - 2))
    sums = all_sum(torch.cat([flat.sum(axes), flat.new_tensor([flat.numel() / flat.shape[1]])]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = flat - mean.reshape(shape)
    variance = all_sum(centred.square().sum(axes)) / count
    if norm.running_mean is not None and norm.running_var is not None:
        momentum = norm.momentum or 0.1
        with torch.no_grad():
            norm.running_mean.lerp_(mean.detach(), momentum)
            norm.running_var.lerp_(variance.detach() * count / (count - 1), momentum)
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(1)
    scale = norm.weight * getattr(norm, "scale", 1.0) * torch.rsqrt(variance + norm.eps)
    return centred * scale.reshape(shape) + norm.bias.reshape(shape)


def share(module: nn.Module) -> None:
    """Let every batch norm of a net take its batch statistics from all processes; ``unshare`` undoes it."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            vars(norm)["forward"] = partial(_normalise, norm)


def unshare(module: nn.Module) -> None:
    """Give every batch norm its own statistics back."""
    for norm in module.modules():
        vars(norm).pop("forward", None)


def average_gradients(module: nn.Module, me: Workers) -> None:
    """Replace every gradient by its mean over the processes."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= me.count
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.reshape(gradient.shape))


def check_parts(samples: int, batch: int, me: Workers) -> None:
    """Refuse batches that leave a process without a sample.

    Raises:
        RecipeError: A batch, or the last one of an epoch, has fewer samples than there are processes.
    """
    smallest = samples % batch or min(batch, samples)
    if smallest < me.count:
        raise RecipeError(
            f"the smallest batch has {smallest} samples, for {me.count} processes",
            where="train",
            help="start torchrun with fewer processes, or change the batch",
        )
