"""Which recipe suits the examples, and how its scores vary."""

from collections.abc import Mapping, Sequence
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


def select(data: Data, parts: Split, seed: int, say: Say) -> Outcome:
    """Choose by validation, vary over folds, fit on both, and look at the test once."""
    validation = {}
    for recipe in RECIPES:
        validation[recipe] = data.score(data.fit(parts.train, recipe, seed), parts.validation)
        say(f"  {recipe}: validation {validation[recipe]}")
    chosen = max(validation, key=lambda each: validation[each].accuracy)
    say(f"  chosen: {chosen}")
    varied = _vary(data, parts.seen, chosen, seed, say)
    fitted = data.fit(parts.seen, chosen, seed)
    test = data.score(fitted, parts.test)
    say(f"  test {test}")
    return Outcome(fitted, chosen, validation, varied, test)


def _vary(data: Data, rows: Rows, recipe: Recipe, seed: int, say: Say) -> list[Scores]:
    fold = folds(data.classes[rows], FOLDS, seed)
    found = []
    for number in range(FOLDS):
        fitted = data.fit(rows[fold != number], recipe, seed + number)
        found.append(data.score(fitted, rows[fold == number]))
        say(f"  fold {number + 1} of {FOLDS}: {found[-1]}")
    return found
