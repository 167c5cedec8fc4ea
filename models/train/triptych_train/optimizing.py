"""AdamW with a rate for each layer, under a warm-up and a cosine."""

import math
import re
from collections.abc import Iterator

import torch
from torch import nn

from triptych_train.network import Network
from triptych_train.recipe import FitRecipe

# of the second moment: gradients of a small trunk change fast (0.999 reacts too late in few steps)
_BETAS = (0.9, 0.98)
_LAYER = re.compile(r"\.layer\.(\d+)\.")


def make_optimizer(network: Network, fit: FitRecipe, layers: int) -> torch.optim.AdamW:
    """Biases and scales of a norm do not decay; nothing frozen is in it."""
    groups = [
        {
            "params": [weight],
            "lr": _rate(name, fit, layers),
            "weight_decay": 0.0 if weight.ndim == 1 else fit.weight_decay,
        }
        for name, weight in network.named_parameters()
        if weight.requires_grad
    ]
    return torch.optim.AdamW(groups, betas=_BETAS, fused=True)


def _rate(name: str, fit: FitRecipe, layers: int) -> float:
    """The full rate for the last layer, for each below `layer_decay` of it, and so on down."""
    if name.startswith("classifier."):
        return fit.head_learning_rate
    layer = _LAYER.search(name)
    below = layers - 1 - int(layer[1]) if layer else layers
    return fit.learning_rate * fit.layer_decay**below


def make_schedule(
    optimizer: torch.optim.Optimizer, fit: FitRecipe, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear up over `warmup` of the steps, then half a cosine down to 0."""
    warm = max(1, round(fit.warmup * steps))

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def trained(network: nn.Module) -> Iterator[nn.Parameter]:
    """The weights that change."""
    return (weight for weight in network.parameters() if weight.requires_grad)
