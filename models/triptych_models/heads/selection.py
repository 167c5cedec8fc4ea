"""Which recipe suits the examples, and how its scores vary."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_models.heads.examples import Classes
from triptych_models.heads.fitting import Fitted, Recipe, fit
from triptych_models.heads.scoring import Scores, score
from triptych_models.heads.splitting import Rows, Split, folds
from triptych_models.progress import Say

RECIPES = (
    Recipe(hidden=0, epochs=30, noise=0.5, dropout=0.0, smoothing=0.0, decay=0.3),
    Recipe(hidden=512, epochs=30, noise=0.5, dropout=0.5, smoothing=0.0, decay=0.3),
    Recipe(hidden=512, epochs=30, noise=0.5, dropout=0.5, smoothing=0.1, decay=0.01),
    Recipe(hidden=512, epochs=60, noise=0.8, dropout=0.5, smoothing=0.1, decay=0.01),
)
"""From the smallest to the slowest; of equals the first is chosen."""
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Data:
    """N raw vectors [N, H], their classes [N], and the names of the classes."""

    vectors: NDArray[np.float32]
    classes: Classes
    labels: tuple[str, ...]

    def fit(self, rows: Rows, recipe: Recipe, seed: int) -> Fitted:
        """What is fitted on some of them."""
        return fit(self.vectors[rows], self.classes[rows], len(self.labels), recipe, seed)

    def score(self, fitted: Fitted, rows: Rows) -> Scores:
        """How often it is right on some of them."""
        return score(fitted.logits(self.vectors[rows]), self.classes[rows])


@dataclass(frozen=True, slots=True)
class Outcome:
    """A head on everything but the test, how it was chosen, and how good it is."""

    fitted: Fitted
    recipe: Recipe
    validation: Mapping[Recipe, Scores]
    """Of each recipe fitted on the training part."""
    folds: Sequence[Scores]
    """Of the chosen recipe, each fold of training and validation fitted without it."""
    test: Scores


def select(data: Data, parts: Split, seed: int, threads: int, say: Say) -> Outcome:
    """Choose by validation, vary over folds, fit on both, and look at the test once.

    Fits run side by side, and their outcome does not depend on how many do.
    """
    with ThreadPoolExecutor(threads) as pool:
        validation = _validate(data, parts, seed, pool, say)
        chosen = max(validation, key=lambda each: validation[each].accuracy)
        say(f"  chosen: {chosen}")
        last = pool.submit(data.fit, parts.seen, chosen, seed)
        varied = _vary(data, parts.seen, chosen, seed, pool, say)
        fitted = last.result()
    test = data.score(fitted, parts.test)
    say(f"  test: {test}")
    return Outcome(fitted, chosen, validation, varied, test)


def _validate(
    data: Data, parts: Split, seed: int, pool: ThreadPoolExecutor, say: Say
) -> Mapping[Recipe, Scores]:
    def attempt(recipe: Recipe) -> Scores:
        return data.score(data.fit(parts.train, recipe, seed), parts.validation)

    found = {}
    for recipe, scores in zip(RECIPES, pool.map(attempt, RECIPES), strict=True):
        say(f"  {recipe}: validation {scores}")
        found[recipe] = scores
    return found


def _vary(
    data: Data, rows: Rows, recipe: Recipe, seed: int, pool: ThreadPoolExecutor, say: Say
) -> Sequence[Scores]:
    fold = folds(data.classes[rows], FOLDS, seed)

    def attempt(number: int) -> Scores:
        fitted = data.fit(rows[fold != number], recipe, seed + number)
        return data.score(fitted, rows[fold == number])

    found = []
    for scores in pool.map(attempt, range(FOLDS)):
        found.append(scores)
        say(f"  fold {len(found)} of {FOLDS}: {scores}")
    return found
