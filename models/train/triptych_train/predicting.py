"""What a network makes of a part, without training."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from triptych_models.batches import by_length
from triptych_train.batches import Batch, collate
from triptych_train.devices import Device
from triptych_train.network import Network
from triptych_train.parts import Logits, Part

BATCH_TOKENS = 2048


def predict(network: Network, part: Part, device: Device) -> Logits:
    """Logits of every input, in its order and without padding."""
    return _rows(network, part, device, network)


def features(network: Network, part: Part, device: Device) -> Logits:
    """What the head reads, likewise."""
    return _rows(network, part, device, network.features)


def _rows(network: Network, part: Part, device: Device, run: Callable[[Batch], Tensor]) -> Logits:
    training = network.training
    network.eval()
    rows = [np.empty(0, np.float32)] * len(part)
    for batch in by_length(part.inputs.lengths, BATCH_TOKENS):
        with torch.inference_mode(), device.products():
            made = run(collate(part, batch, network.padding).to(device.device))
        for row, values in zip(batch, made.float().cpu().numpy(), strict=True):
            tokens = len(part.inputs.input_ids[row])
            rows[row] = values[:tokens] if network.task == "tag" else values
    network.train(training)
    return rows
