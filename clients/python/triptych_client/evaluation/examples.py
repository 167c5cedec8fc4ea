"""Labelled sets: what a platform is asked, and what it should answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np

from triptych_client.errors import DataError

MAX_TEXT_CHARACTERS: Final = 65_536
"""Of one text: what a platform reads unless its settings say otherwise."""
MAX_LABEL_CHARACTERS: Final = 256
MAX_EXAMPLES: Final = 1_000_000
"""A set is held in memory, so that a bad row is told of before anything is asked."""
_HASHED_AT_ONCE: Final = 1 << 20


class Pair(NamedTuple):
    """Two texts that are read together."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text or a pair, and its class."""

    input: str | Pair
    label: str


@dataclass(frozen=True, slots=True)
class Graded:
    """A pair, and how alike its texts are on any scale."""

    input: Pair
    score: float


@dataclass(frozen=True, slots=True)
class Tagged:
    """W words, and the tag of each."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """What is sent: the words with a blank between."""
        return " ".join(self.words)


E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class LabelledSet(Generic[E]):
    """The examples of a file, in its order."""

    file: str
    """Its name, without folders."""
    sha256: str
    examples: Sequence[E]

    def sample(self, size: int, seed: int) -> "LabelledSet[E]":
        """`size` of the examples, drawn without replacement, in the file's order; all if fewer."""
        if size >= len(self.examples):
            return self
        rows = np.random.default_rng(seed).choice(len(self.examples), size, replace=False)
        return replace(self, examples=[self.examples[row] for row in np.sort(rows)])


def labelled_set(path: Path, examples: Sequence[E]) -> LabelledSet[E]:
    """The set that was read from a file. Raises DataError where it is empty or cannot be read."""
    if not examples:
        raise DataError(f"{path.name}: holds no examples")
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_HASHED_AT_ONCE):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror}") from error
    return LabelledSet(path.name, digest.hexdigest(), examples)


def check_text(text: str, place: str) -> str:
    """The text. Raises DataError, which begins with `place`, where it is empty or too long."""
    if not text.strip():
        raise DataError(f"{place} is empty")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise DataError(f"{place} has {len(text):,} characters; at most {MAX_TEXT_CHARACTERS:,}")
    return text


def check_count(count: int, place: str) -> None:
    """Raises DataError where a set is larger than is held."""
    if count > MAX_EXAMPLES:
        raise DataError(f"{place}: the set has more than {MAX_EXAMPLES:,} examples")
