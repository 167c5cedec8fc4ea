"""Small models and small data, which a few seconds of training tell apart."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.parity.tiny_models import write_model
from triptych_train.devices import Device, choose_device

WriteRecipe = Callable[..., Path]
# each is one token of every tiny vocabulary of words
TOPICS = {
    "place": ("geneva", "japan", "zurich"),
    "money": ("bank", "fine", "world"),
    "travel": ("train", "ferry", "deck"),
}
FILLERS = ("the", "and", "for", "from", "was", "not", "then", "they")
PER_LABEL = 150


@pytest.fixture
def device() -> Device:
    """In fp32 on the CPU: the same numbers wherever the tests run."""
    return choose_device("cpu", "fp32")


def sentence(numbers: random.Random, words: tuple[str, ...]) -> list[str]:
    """A few words, one of which says what it is about."""
    filled = numbers.choices(FILLERS, k=numbers.randint(3, 9))
    filled[numbers.randrange(len(filled))] = numbers.choice(words)
    return filled


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with texts, pairs and tagged sentences."""
    folder, numbers = tmp_path / "data", random.Random(5)
    folder.mkdir()
    rows = [
        (label, " ".join(sentence(numbers, words)), " ".join(sentence(numbers, words)))
        for label, words in TOPICS.items()
        for _ in range(PER_LABEL)
    ]
    lines = [
        f"{label},{first} {number},{second}" for number, (label, first, second) in enumerate(rows)
    ]
    (folder / "topics.csv").write_text("\n".join(["topic,text,other", *lines]) + "\n")
    tagged = [
        _tagged(sentence(numbers, words), label)
        for label, words in TOPICS.items()
        for _ in range(PER_LABEL)
    ]
    (folder / "topics.conll").write_text("\n".join(tagged))
    return folder


def _tagged(words: list[str], label: str) -> str:
    known = {word for words in TOPICS.values() for word in words}
    return "".join(f"{word}\t{f'B-{label}' if word in known else 'O'}\n" for word in words)


@pytest.fixture
def write_recipe(tmp_path: Path) -> WriteRecipe:
    """A recipe over a tiny trunk; sections are merged into those of the recipe."""

    def write(task: str = "classify", architecture: str = "bert", **fit: object) -> Path:
        trunk = tmp_path / f"{architecture}-embed"
        if not trunk.is_dir():
            write_model(tmp_path, architecture, "embed")
        file = "topics.conll" if task == "tag" else "topics.csv"
        recipe = {
            "name": f"tiny-{task}",
            "task": task,
            "trunk": str(trunk),
            # random weights have no slack in int8
            "int8_min_cosine": 0.5,
            "data": {"train": file, "label_column": "topic"},
            "fit": {
                "epochs": 3,
                "batch_size": 8,
                "freeze_words": False,
                "learning_rate": 2e-3,
                "head_learning_rate": 1e-2,
            }
            | fit,
        }
        path = tmp_path / f"{architecture}-{task}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path

    return write
