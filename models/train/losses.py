"""The losses of the papers, on a net's answer (B, classes) = mean over T.

mse-rate       mean over classes of (rate - onehot)^2                     (MA-SNN)
cross-entropy  -log softmax(mean logits)[label]                           (GAC)
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from models.train.recipes import Loss


def loss_of(loss: Loss, answer: Tensor, y: Tensor) -> Tensor:
    """Return the loss of a batch, averaged over its samples."""
    match loss:
        case "mse-rate":
            return functional.mse_loss(answer, functional.one_hot(y, answer.shape[1]).to(answer.dtype))
        case "cross-entropy":
            return functional.cross_entropy(answer, y)
