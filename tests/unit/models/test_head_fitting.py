"""Splitting, fitting and scoring, without any text."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from triptych_bundles import forward
from triptych_models.heads.fitting import Dense, Fitted, Recipe, fit, gradients
from triptych_models.heads.scoring import score
from triptych_models.heads.selection import RECIPES, Data, select
from triptych_models.heads.splitting import folds, split

LINEAR, HIDDEN = RECIPES[0], replace(RECIPES[1], hidden=32)
Array = NDArray[np.float32]
Classes = NDArray[np.int64]


def rings(seed: int, count: int = 400) -> tuple[Array, Classes]:
    """Vectors that no plane tells apart: the class is whether two elements agree in sign."""
    numbers = np.random.default_rng(seed)
    signs = numbers.choice([-1.0, 1.0], (count, 2))
    noise = numbers.normal(0, 0.2, (count, 6))
    noise[:, :2] += signs
    noise[:, 2] += 3
    return noise.astype(np.float32), (signs[:, 0] == signs[:, 1]).astype(np.int64)


def accuracy(fitted: Fitted, seed: int = 1) -> float:
    vectors, classes = rings(seed)
    return score(fitted.logits(vectors), classes).accuracy


def test_a_hidden_layer_learns_what_a_plane_cannot() -> None:
    vectors, classes = rings(0)
    assert accuracy(fit(vectors, classes, 2, HIDDEN, 0)) > 0.95
    assert accuracy(fit(vectors, classes, 2, LINEAR, 0)) < 0.75


@pytest.mark.parametrize("recipe", [LINEAR, HIDDEN], ids=str)
def test_layers_give_what_was_fitted(recipe: Recipe) -> None:
    vectors, classes = rings(0)
    # an element that never changes must not be divided by
    vectors[:, 5] = 0
    fitted = fit(vectors, classes, 2, recipe, 0)
    served = forward(fitted.layers(), vectors * 7, normalized=True)
    np.testing.assert_allclose(served, fitted.logits(vectors), atol=1e-4)


def loss(network: list[Dense], inputs: Array, targets: Array) -> float:
    """The mean cross entropy, in float64."""
    values = inputs.astype(np.float64)
    for dense in network[:-1]:
        values = np.maximum(values @ dense.kernel + dense.bias, 0)
    logits = values @ network[-1].kernel + network[-1].bias
    shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-(targets * shares).sum(axis=1).mean())


@pytest.mark.parametrize("widths", [(5, 3), (5, 4, 3)], ids=str)
def test_gradients_are_the_slopes_of_the_loss(widths: tuple[int, ...]) -> None:
    numbers, step = np.random.default_rng(2), 1e-3
    network = [
        Dense(numbers.standard_normal(shape, np.float32), numbers.standard_normal(shape[1], "f4"))
        for shape in itertools.pairwise(widths)
    ]
    inputs = numbers.standard_normal((7, 5), np.float32)
    targets = numbers.dirichlet(np.ones(3), 7).astype(np.float32)
    plain = replace(HIDDEN, noise=0.0, dropout=0.0)
    found = gradients(network, inputs, targets, plain, numbers)
    for dense, slope in zip(network, found, strict=True):
        for values, slopes in ((dense.kernel, slope.kernel), (dense.bias, slope.bias)):
            for index in np.ndindex(values.shape):
                before = values[index]
                around = []
                for shift in (step, -step):
                    values[index] = before + np.float32(shift)
                    around.append(loss(network, inputs, targets))
                values[index] = before
                expected = (around[0] - around[1]) / (2 * step)
                assert slopes[index] == pytest.approx(expected, abs=1e-3)


def test_a_fit_follows_from_its_seed() -> None:
    vectors, classes = rings(0)
    first, again, other = (fit(vectors, classes, 2, HIDDEN, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.network[0].kernel, again.network[0].kernel)
    assert not np.array_equal(first.network[0].kernel, other.network[0].kernel)


def test_the_recipe_that_validates_best_is_fitted_on_all_but_the_test() -> None:
    vectors, classes = rings(0)
    parts = split(classes, 0)
    lines: list[str] = []
    outcome = select(Data(vectors, classes, ("no", "yes")), parts, 0, 2, lines.append)
    assert outcome.recipe.hidden
    best = max(scores.accuracy for scores in outcome.validation.values())
    assert outcome.validation[outcome.recipe].accuracy == best
    assert outcome.test.accuracy > 0.9
    assert len(outcome.folds) == sum("fold " in line for line in lines) == 5
    alone = fit(vectors[parts.seen], classes[parts.seen], 2, outcome.recipe, 0)
    np.testing.assert_array_equal(outcome.fitted.logits(vectors), alone.logits(vectors))


def test_every_class_has_its_share_of_every_fold() -> None:
    classes = np.repeat(np.arange(4), [10, 37, 11, 42])
    fold = folds(classes, 10, 5)
    assert np.bincount(fold).tolist() == [10] * 10
    for label, size in enumerate((10, 37, 11, 42)):
        counts = np.bincount(fold[classes == label], minlength=10)
        assert {size // 10, -(-size // 10)} >= set(counts.tolist())


def test_a_split_is_whole_and_follows_from_its_seed() -> None:
    classes = np.arange(200) % 3
    parts, again, other = (split(classes, seed) for seed in (1, 1, 2))
    joined = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(joined.tolist()) == list(range(200))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (160, 20, 20)
    np.testing.assert_array_equal(parts.test, again.test)
    assert not np.array_equal(parts.test, other.test)


def test_scores_are_the_formulas() -> None:
    predicted = np.array([0, 0, 1, 1, 1])
    scores = score(np.eye(3)[predicted], np.array([0, 1, 1, 1, 2]))
    assert scores.accuracy == pytest.approx(3 / 5)
    assert scores.by_class == pytest.approx((2 / 3, 4 / 6, 0))
    assert scores.macro_f1 == pytest.approx((2 / 3 + 4 / 6) / 3)
