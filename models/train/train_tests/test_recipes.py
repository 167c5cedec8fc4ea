"""Recipes: what they may say, and how a mistake is named."""

from pathlib import Path

import pytest

from triptych_models.errors import TrainingDataError
from triptych_train.recipe import read_recipe

OURS = Path(__file__).parents[1] / "recipes"
LEAST = "name: a\ndata: {train: a.csv}\n"


@pytest.mark.parametrize("path", sorted(OURS.glob("*.yaml")), ids=lambda path: path.stem)
def test_ours_can_be_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.fit.epochs >= 1
    assert recipe.data.licence != "not stated"


def test_settings_are_changed_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(LEAST)
    plain = read_recipe(path)
    changed = read_recipe(path, ["seed=3", "fit.epochs=1", "fit.freeze_words=false"])
    assert (changed.seed, changed.fit.epochs, changed.fit.freeze_words) == (3, 1, False)
    assert plain.digest() == read_recipe(path).digest() != changed.digest()


@pytest.mark.parametrize(
    ("content", "change", "reason"),
    [
        ("name: [", "", "a.yaml: cannot be read"),
        ("- a", "", "must hold settings by name"),
        ("name: a", "", "data. must hold settings by name"),
        ("data: {train: a.csv}", "", "'name'"),
        ("name: A b\ndata: {train: a.csv}", "", "name: 'A b' must match"),
        (LEAST, "fit.epoch=2", "fit.epoch: there is no such setting"),
        (LEAST, "fit.epochs=many", "fit.epochs: 'many' is not of type int"),
        (LEAST, "fit.epochs=true", "fit.epochs: True is not of type int"),
        (LEAST, "fit.epochs=0", "fit.epochs: must be at least 1"),
        (LEAST, "fit.average=1", "fit.average: must be at least 0, below 1"),
        (LEAST, "task=guess", "task: must be one of classify, tag"),
        (LEAST, "epochs", "--set: 'epochs' is not KEY=VALUE"),
        (LEAST, "a.b.c=1", "--set: 'a.b.c=1' is not KEY=VALUE"),
        (LEAST, "name.x=1", "--set: name is no section"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, content: str, change: str, reason: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(content)
    with pytest.raises(TrainingDataError) as caught:
        read_recipe(path, [change] if change else [])
    assert reason in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
