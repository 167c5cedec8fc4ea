"""Labelled texts from a CSV file, each once; every refusal names the option at fault."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import sha256_file
from triptych_models.errors import TrainingDataError

MIN_CLASSES = 2
# a tenth of every class is tested on, and another tenth decides between recipes
MIN_ROWS_PER_CLASS = 10
# what a CSV field may hold, in characters: far more than any trunk reads
MAX_FIELD_CHARACTERS = 1 << 20

Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """The header's names of the columns that are read."""

    text: str
    label: str
    pair: str = ""
    """Of the second text; empty where examples are single texts."""

    @property
    def options(self) -> Mapping[str, str]:
        """By the option that names each: the texts in their order, then the label."""
        pair = {"--pair-column": self.pair} if self.pair else {}
        return {"--text-column": self.text, **pair, "--label-column": self.label}


@dataclass(frozen=True, slots=True)
class Examples:
    """N different texts or pairs, and the class of each as a position in `labels`."""

    texts: tuple[str, ...]
    classes: Classes
    labels: tuple[str, ...]
    origin: "Origin"
    pairs: tuple[str, ...] = ()
    """The second texts; none where examples are single texts."""

    def take(self, rows: NDArray[np.integer]) -> "Examples":
        """Those at `rows`, in that order."""
        texts = tuple(self.texts[row] for row in rows)
        pairs = tuple(self.pairs[row] for row in rows) if self.pairs else ()
        return replace(self, texts=texts, classes=self.classes[rows], pairs=pairs)

    def keys(self) -> list[tuple[str, ...]]:
        """One for each; those of the same text, or pair of texts, are equal."""
        columns = (self.texts, self.pairs) if self.pairs else (self.texts,)
        return [_key(texts) for texts in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that the examples are from, and what of it was left out."""

    file: str
    """Its name, without folders."""
    sha256: str
    rows: int
    duplicates: int
    """Rows whose text is there before with the same label."""
    contradictions: int
    """Rows whose text is there with several labels; none of them is kept."""


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    texts: tuple[str, ...]
    label: str

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for the same texts."""
        return _key(self.texts)


def _key(texts: Sequence[str]) -> tuple[str, ...]:
    """Equal where only case and white space differ, which a frozen trunk hardly sees."""
    return tuple(" ".join(text.split()).casefold() for text in texts)


def read_examples(
    path: Path,
    columns: Columns,
    names: Mapping[str, str] | None,
    least: int = MIN_ROWS_PER_CLASS,
) -> Examples:
    """Read a file; `names` gives labels by the file's values, in the order of their classes.

    Without names the values are the labels, in sorted order. Raises TrainingDataError, also where a
    label has fewer than the `least` texts.
    """
    rows = list(_rows(path, columns))
    kept, duplicates = _distinct(rows)
    names = names or {value: value for value in sorted({row.label for row in rows})}
    classes = _classes(kept, tuple(names), columns)
    _check_counts(classes, tuple(names.values()), least)
    contradictions = len(rows) - duplicates - len(kept)
    origin = Origin(path.name, sha256_file(path), len(rows), duplicates, contradictions)
    texts, *pairs = zip(*(row.texts for row in kept), strict=True) if kept else ((),)
    return Examples(texts, classes, tuple(names.values()), origin, pairs[0] if pairs else ())


def read_labels(path: Path) -> Mapping[str, str]:
    """Labels from a JSON list of strings; raises TrainingDataError."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingDataError(f"--labels: cannot be read: {error}") from error
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TrainingDataError("--labels: must hold a JSON list of strings")
    return _named(((value, value) for value in values), "--labels")


def parse_label_names(text: str) -> Mapping[str, str]:
    """Labels by value from `0=bearish,1=bullish`; raises TrainingDataError."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(separator and value and name for value, separator, name in pairs):
        raise TrainingDataError("--label-names: must be VALUE=NAME, separated by commas")
    return _named(((value, name) for value, _, name in pairs), "--label-names")


def _named(pairs: Iterator[tuple[str, str]], option: str) -> Mapping[str, str]:
    listed = list(pairs)
    if len(dict(listed)) != len(listed) or len({name for _, name in listed}) != len(listed):
        raise TrainingDataError(f"{option}: names a label twice")
    return dict(listed)


def _rows(path: Path, columns: Columns) -> Iterator[_Row]:
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            yield from _read(
                _positions(next(reader, []), columns),
                ((reader.line_num, cells) for cells in reader),
            )
    except OSError as error:
        raise TrainingDataError(f"--data: cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise TrainingDataError(f"--data: is not CSV in UTF-8: {error}") from error


def _positions(header: Sequence[str], columns: Columns) -> Mapping[str, int]:
    """The place of each column by its option; the label's is the last."""
    found = {}
    for option, name in columns.options.items():
        if header.count(name) != 1:
            there = ", ".join(header)[:200] or "nothing"
            reason = f"the header must name {name!r} once; it holds {there}"
            raise TrainingDataError(f"{option}: {reason}")
        found[option] = header.index(name)
    return found


def _read(positions: Mapping[str, int], lines: Iterator[tuple[int, list[str]]]) -> Iterator[_Row]:
    for line, cells in lines:
        if not cells:  # a blank line
            continue
        if len(cells) <= max(positions.values()):
            raise TrainingDataError(f"--data: line {line} has {len(cells)} cells only")
        for option, position in positions.items():
            if not cells[position].strip():
                raise TrainingDataError(f"{option}: is empty on line {line}")
        *texts, label = (cells[position] for position in positions.values())
        yield _Row(line, tuple(texts), label.strip())


def _distinct(rows: Sequence[_Row]) -> tuple[list[_Row], int]:
    """The first row of every text that has one label, and how many others repeat one of them."""
    labels: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        labels.setdefault(row.key, set()).add(row.label)
    agreed = [row for row in rows if len(labels[row.key]) == 1]
    first = {row.key: row for row in reversed(agreed)}
    kept = [row for row in agreed if first[row.key] is row]
    return kept, len(agreed) - len(kept)


def _classes(rows: Sequence[_Row], values: Sequence[str], columns: Columns) -> Classes:
    index = {value: position for position, value in enumerate(values)}
    for row in rows:
        if row.label not in index:
            reason = f"{row.label[:80]!r} on line {row.line} is none of the labels"
            raise TrainingDataError(f"--label-column: {columns.label}: {reason}")
    return np.array([index[row.label] for row in rows], np.int64)


def _check_counts(classes: Classes, labels: Sequence[str], required: int) -> None:
    if len(labels) < MIN_CLASSES:
        reason = f"holds {len(labels)} labels, at least {MIN_CLASSES} are needed"
        raise TrainingDataError(f"--label-column: {reason}")
    counts = np.bincount(classes, minlength=len(labels))
    least = int(counts.argmin())
    if counts[least] < required:
        reason = f"label {labels[least]!r} has {counts[least]} different texts"
        raise TrainingDataError(f"--data: {reason}, at least {required} are needed")
