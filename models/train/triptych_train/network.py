"""A trunk with a head: what is trained, and what a bundle will be made of.

B inputs of S tokens, H hidden elements, L labels.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel
from transformers.utils import logging

from triptych_models.config import EncoderConfig
from triptych_train.batches import Batch
from triptych_train.recipe import Recipe, Task

POOLING = "mean"
"""What a head for whole inputs reads. For a trunk that was trained for it the mean says more than
the first token: it classifies from the first step on."""

SHARPNESS = 6.0
"""Logits of a fresh head lie within plus and minus it: far enough apart to rank, and to move."""


class Network(nn.Module):
    """Logits [B, L] of whole inputs, or [B, S, L] of tokens."""

    def __init__(
        self, trunk: nn.Module, config: EncoderConfig, task: Task, labels: int, dropout: float
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, labels)
        self.task = task
        self.padding = config.padding_id or 0
        self._token_types = bool(config.token_types)

    def forward(self, batch: Batch) -> Tensor:
        """See the class."""
        return self.classify(self.features(batch))

    def features(self, batch: Batch) -> Tensor:
        """What the head reads, in fp32: [B, H], or [B, S, H]."""
        types = {"token_type_ids": batch.token_types} if self._token_types else {}
        made = self.trunk(input_ids=batch.input_ids, attention_mask=batch.mask, **types)
        states: Tensor = made.last_hidden_state.float()
        if self.task == "tag":
            return states
        weights = batch.mask[..., None].float()
        return (states * weights).sum(dim=1) / weights.sum(dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """The head alone."""
        logits: Tensor = self.classifier(self.dropout(features))
        return logits

    @torch.no_grad()
    def point_at_centroids(self, features: Tensor, classes: Tensor) -> None:
        """Begin as a classifier by the nearest mean direction of a class.

        Of N inputs' features [N, H] and classes [N]; the mean of all is at 0 for every class.
        """
        directions, length = functional.normalize(features, dim=1), features.norm(dim=1).mean()
        middle, labels = directions.mean(dim=0), range(self.classifier.out_features)
        means = torch.stack([_mean(directions[classes == label], middle) for label in labels])
        rows = SHARPNESS * functional.normalize(means - middle, dim=1)
        self.classifier.weight.copy_(rows / length)
        self.classifier.bias.copy_(-(rows @ middle))


def _mean(rows: Tensor, otherwise: Tensor) -> Tensor:
    return rows.mean(dim=0) if len(rows) else otherwise


def build(recipe: Recipe, folder: Path, config: EncoderConfig, labels: int) -> Network:
    """The trunk of a Hugging Face folder under a fresh head, in fp32 on the CPU."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    trunk = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    # a layer over the first token that neither of our heads reads
    if getattr(trunk, "pooler", None) is not None:
        trunk.pooler = None
    _set_dropout(trunk, recipe.fit.dropout)
    network = Network(trunk, config, recipe.task, labels, recipe.fit.dropout)
    if recipe.fit.freeze_words:
        trunk.get_input_embeddings().requires_grad_(requires_grad=False)
    return network


def _set_dropout(trunk: nn.Module, rate: float) -> None:
    """In every place: architectures name the settings for it differently."""
    for module in trunk.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
