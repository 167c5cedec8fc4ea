"""The loop: steps, epochs, early stopping, checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from triptych_train import checkpoints
from triptych_train.averaging import Average
from triptych_train.batches import Batch, Order, collate
from triptych_train.devices import Device
from triptych_train.network import Network
from triptych_train.optimizing import make_optimizer, make_schedule, trained
from triptych_train.parts import IGNORED, Part
from triptych_train.predicting import features, predict
from triptych_train.progress import Progress
from triptych_train.recipe import Recipe

Weights = dict[str, Tensor]
# what lies between the seeds of a training's runs: more than anybody counts recipes' seeds up to
_RUN_SEEDS = 1_000_003


@dataclass(slots=True)
class Course:
    """How it went so far; plain values, so that a checkpoint can hold it."""

    step: int = 0
    loss: float = 0.0
    """Summed over the steps of the epoch at hand."""
    losses: list[float] = field(default_factory=list)
    """Mean of each epoch that is over."""
    scores: list[float] = field(default_factory=list)
    """On the validation part after each; empty where that is fitted on."""

    @property
    def best(self) -> int:
        """The epoch with the highest score, the first of equals; -1 before there is one."""
        return self.scores.index(max(self.scores)) if self.scores else -1


class Training:
    """One network on its way; `fit` leaves the best weights in `average.network`."""

    def __init__(
        self,
        recipe: Recipe,
        network: Network,
        part: Part,
        device: Device,
        layers: int,
        run: int = 0,
    ) -> None:
        self.recipe, self.part, self.device = recipe, part, device
        self.seed = recipe.seed + _RUN_SEEDS * run
        self.network = network.to(device.device)
        self.order = Order(part.inputs.lengths, recipe.fit.batch_size, self.seed)
        self.average = Average(self.network, recipe.fit.average)
        self.optimizer = make_optimizer(self.network, recipe.fit, layers)
        self.steps = self.order.per_epoch * recipe.fit.epochs
        self.schedule = make_schedule(self.optimizer, recipe.fit, self.steps)
        self.course = Course()
        self.best: Weights = {}

    def begin(self) -> None:
        """Seed what is random, and point a head for whole inputs at its classes."""
        torch.manual_seed(self.seed)
        if not self.part.per_token:
            made = features(self.network, self.part, self.device)
            vectors = torch.stack([torch.from_numpy(row) for row in made])
            classes = torch.cat([torch.from_numpy(one) for one in self.part.targets])
            place = self.device.device
            self.network.point_at_centroids(vectors.to(place), classes.to(place))
            self.average = Average(self.network, self.recipe.fit.average)

    def fit(self, validation: Part | None, folder: Path, fingerprint: str, every: int) -> Course:
        """Train to the end, or until `validation` has not got better for `patience` epochs.

        A checkpoint is written to `folder` every so many steps and after each epoch.
        """
        progress = Progress(self.steps, self.course.step)
        self.network.train()
        for batch in self._batches():
            progress.step(self._step(batch))
            over = self.course.step % self.order.per_epoch == 0
            if over:
                progress.say(self._end_epoch(validation))
            if over or self.course.step % every == 0:
                checkpoints.save(folder, self.state(fingerprint))
            if over and self._is_done():
                break
        progress.close()
        if self.best:
            _put_weights(self.average.network, self.best)
        return self.course

    def _batches(self) -> Iterator[Batch]:
        if self._is_done():
            return
        for rows in self.order.from_step(self.course.step, self.recipe.fit.epochs):
            yield collate(self.part, rows, self.network.padding).to(self.device.device)

    def _step(self, batch: Batch) -> float:
        with self.device.products():
            read = self.network.features(batch)
        loss = self._loss(self.network.classify(read), batch.targets)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(list(trained(self.network)), self.recipe.fit.clip)
        self.optimizer.step()
        self.schedule.step()
        self.course.step += 1
        self.average.update(self.course.step)
        value: float = loss.item()
        self.course.loss += value
        return value

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits.flatten(0, -2),
            targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.recipe.fit.smoothing,
        )

    def _end_epoch(self, validation: Part | None) -> str:
        course = self.course
        course.losses.append(course.loss / self.order.per_epoch)
        course.loss = 0.0
        line = f"epoch {len(course.losses)}: loss {course.losses[-1]:.4f}"
        if validation is None:
            return line
        score = validation.score(predict(self.average.network, validation, self.device))
        course.scores.append(score)
        if course.best == len(course.scores) - 1:
            self.best = self._weights(self.average.network)
        return f"{line}, validation {score:.4f}"

    def _is_done(self) -> bool:
        """Whether epochs have brought nothing for as long as patience lasts."""
        patience, scores = self.recipe.fit.patience, self.course.scores
        return bool(patience and scores) and len(scores) - 1 - self.course.best >= patience

    def _weights(self, network: Network) -> Weights:
        """Copies of those that training changes, on the CPU."""
        names = {name for name, one in self.network.named_parameters() if one.requires_grad}
        every = network.state_dict()
        return {name: every[name].detach().to("cpu", copy=True) for name in names}

    def state(self, fingerprint: str) -> Mapping[str, Any]:
        """All that changes with a step: what goes on from it ends as if never stopped."""
        course = self.course
        return {
            "fingerprint": fingerprint,
            "course": [course.step, course.loss, course.losses, course.scores],
            "network": self._weights(self.network),
            "average": self._weights(self.average.network),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of `state`."""
        self.course = Course(*state["course"])
        _put_weights(self.network, state["network"])
        _put_weights(self.average.network, state["average"])
        self.best = dict(state["best"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])


@torch.no_grad()
def mean_weights(networks: Sequence[Network]) -> Network:
    """The first of some networks of equal shapes, with the mean of all their weights."""
    first, *others = networks
    for other in others:
        for mine, theirs in zip(first.parameters(), other.parameters(), strict=True):
            mine += theirs
    for mine in first.parameters():
        mine /= len(networks)
    return first


def _put_weights(network: Network, weights: Weights) -> None:
    """Into a network whose other weights never change."""
    network.load_state_dict(weights, strict=False)
