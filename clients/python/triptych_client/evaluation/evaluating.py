"""One evaluation: a set, a task, a model and perhaps another one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from triptych_client.connection import Connection
from triptych_client.evaluation.asking import Answers, Load, ask, identity
from triptych_client.evaluation.bootstrap import Interval, Plan, Sampled, sample
from triptych_client.evaluation.examples import LabelledSet
from triptych_client.evaluation.labels import Coverage, cover
from triptych_client.evaluation.mcnemar import McNemar, mcnemar
from triptych_client.evaluation.progress import Progress, say
from triptych_client.evaluation.scores import Scores
from triptych_client.evaluation.task import Entry, Target, Task

MODELS_PATH = "/api/v1/models"

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model before it is asked for the set."""

    coverage: Coverage
    head: str
    """`name@version` and the digest's beginning, of the head that answers; empty without one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one model made of the set."""

    target: Target
    known: Known
    answers: Answers[Any]
    scores: Scores
    sampled: Mapping[str, Sampled]
    """By the names of the scores' statistics."""

    def intervals(self, confidence: float) -> dict[str, Interval]:
        """Each score and its interval."""
        return {name: one.interval(confidence) for name, one in self.sampled.items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first model less the second, item by item."""

    differences: Mapping[str, Interval]
    test: McNemar | None
    """Of accuracy; None where answers are not simply right or wrong."""


@dataclass(frozen=True, slots=True)
class Evaluation(Generic[E]):
    """What is done; the models are asked one after the other, so that each has its own rate."""

    task: Task[E, Any]
    data: LabelledSet[E]
    load: Load
    plan: Plan

    async def run(self, targets: Sequence[Target], connection: Connection) -> list[Outcome]:
        """Each target's outcome. Raises ClientError."""
        known = [await self._probe(target, connection) for target in targets]
        for target, one in zip(targets, known, strict=True):
            for line in one.coverage.warnings(str(target)):
                say(line)
        pairs = zip(targets, known, strict=True)
        return [await self._outcome(target, found, connection) for target, found in pairs]

    async def _probe(self, target: Target, connection: Connection) -> Known:
        """Ask once, so that a model that cannot do the task is told of before all is asked."""
        reply = await connection.post(self.task.path, self.task.probe(target))
        cards = (await connection.get(MODELS_PATH))["data"]
        labels = self.task.model_labels(reply.body["data"][0], _card(reply.body, cards))
        coverage = cover(self.task.expected_labels(self.data.examples), labels, str(target))
        return Known(coverage, _head(target, cards))

    async def _outcome(self, target: Target, known: Known, connection: Connection) -> Outcome:
        examples = self.data.examples
        with Progress(str(target), len(examples), self.task.unit) as progress:
            answers = await ask(self.task, target, examples, connection, self.load, progress.done)
        scores = self.task.score(examples, answers.values)
        sampled = {
            name: sample(statistic, scores.items, self.plan)
            for name, statistic in scores.statistics().items()
        }
        return Outcome(target, known, answers, scores, sampled)


def compare(model: Outcome, baseline: Outcome, confidence: float) -> Comparison:
    """Two outcomes over the same items, drawn by the same plan."""
    differences = {
        name: sampled.minus(baseline.sampled[name]).interval(confidence)
        for name, sampled in model.sampled.items()
    }
    ours, theirs = model.scores.correct, baseline.scores.correct
    test = mcnemar(ours, theirs) if ours is not None and theirs is not None else None
    return Comparison(differences, test)


def _card(body: Any, cards: Sequence[Entry]) -> Entry:
    """The card of what answered; empty where it has just gone."""
    return next((card for card in cards if card["digest"] == body["model"]["digest"]), {})


def _head(target: Target, cards: Sequence[Entry]) -> str:
    """The head that the target names, which answers do not tell; empty where it may be several."""
    name, _, version = (target.head or target.model).partition("@")
    found = [
        card
        for card in cards
        if card.get("trunk") and card["name"] == name and version in ("", card["version"])
    ]
    return identity(found[0]) if len(found) == 1 else ""
