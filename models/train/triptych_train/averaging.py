"""A moving average of weights, which generalises better than where the last step ended.

Polyak and Juditsky 1992; with a short memory at first, as in tf.train.ExponentialMovingAverage.
"""

import copy

import torch

from triptych_train.network import Network


class Average:
    """The averaged network; without a decay it is the trained one itself."""

    def __init__(self, network: Network, decay: float) -> None:
        self._trained, self._decay = network, decay
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        pairs = zip(self.network.parameters(), self._trained.parameters(), strict=True)
        for mean, weight in pairs:
            if weight.requires_grad:
                mean.lerp_(weight, 1 - decay)
