"""Labelled sets in CSV; every refusal names the row and the column."""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from triptych_client.errors import DataError
from triptych_client.evaluation.examples import (
    MAX_LABEL_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    Graded,
    Labelled,
    LabelledSet,
    Pair,
    check_count,
    check_text,
    labelled_set,
)

MAX_FIELD_CHARACTERS: Final = 4 * MAX_TEXT_CHARACTERS
"""Of any cell, so that one quote too few does not read the rest of the file as one."""
MAX_QUOTED: Final = 200
"""Characters of the file that a message repeats."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Columns:
    """The header's names of the columns that are read; `pair` is empty where texts are single."""

    text: str
    pair: str
    label: str

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are read."""
        return (self.text, self.pair, self.label) if self.pair else (self.text, self.label)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one row that are read, in the order of the columns' names."""

    place: str
    names: Sequence[str]
    values: Sequence[str]

    def column(self, number: int) -> str:
        """Row and column, for a message."""
        return f"{self.place}, column {self.names[number]!r}:"

    def input(self) -> str | Pair:
        """The text, or the pair."""
        texts = [
            check_text(value, self.column(number)) for number, value in enumerate(self.values[:-1])
        ]
        return Pair(*texts) if len(texts) == 2 else texts[0]

    def label(self, names: Mapping[str, str] | None) -> str:
        """The label that the last cell stands for."""
        value, place = self.values[-1].strip(), self.column(-1)
        if not value:
            raise DataError(f"{place} is empty")
        if len(value) > MAX_LABEL_CHARACTERS:
            raise DataError(
                f"{place} has {len(value)} characters; at most {MAX_LABEL_CHARACTERS} in a label"
            )
        if names is None:
            return value
        if value not in names:
            raise DataError(f"{place} {value[:MAX_QUOTED]!r} is not among the label names")
        return names[value]

    def number(self) -> float:
        """The finite number in the last cell."""
        try:
            found = float(self.values[-1])
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            value = self.values[-1][:MAX_QUOTED]
            raise DataError(f"{self.column(-1)} {value!r} is not a finite number")
        return found


def read_labelled(
    path: Path, columns: Columns, header: Sequence[str] | None, names: Mapping[str, str] | None
) -> LabelledSet[Labelled]:
    """Texts or pairs and their labels; `names` gives labels by the column's values.

    `header` names the columns of a file that has no header of its own. Raises DataError.
    """
    return _read(path, columns, header, lambda cells: Labelled(cells.input(), cells.label(names)))


def read_graded(path: Path, columns: Columns, header: Sequence[str] | None) -> LabelledSet[Graded]:
    """Pairs and their scores. Raises DataError."""
    if not columns.pair:
        raise DataError("--pair-column: similarity needs a second text")
    return _read(path, columns, header, _graded)


def _graded(cells: Cells) -> Graded:
    pair = cells.input()
    assert isinstance(pair, Pair)  # noqa: S101 (there is a column of second texts)
    return Graded(pair, cells.number())


def _read(
    path: Path, columns: Columns, header: Sequence[str] | None, make: Callable[[Cells], T]
) -> LabelledSet[T]:
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    examples: list[T] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for cells in _cells(stream, path.name, columns, header):
                examples.append(make(cells))
                check_count(len(examples), path.name)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: is not UTF-8: {error.reason}") from error
    return labelled_set(path, examples)


def _cells(
    stream: Iterator[str], name: str, columns: Columns, header: Sequence[str] | None
) -> Iterator[Cells]:
    """The rows; numbered from 1, the header not counted."""
    reader = csv.reader(stream, strict=True)
    row = 0
    try:
        header = header or next(reader, [])
        positions = _positions(name, header, columns)
        for cells in filter(None, reader):
            row += 1
            place = f"{name}: row {row} (line {reader.line_num})"
            if len(cells) != len(header):
                raise DataError(f"{place} has {len(cells)} cells; the header has {len(header)}")
            yield Cells(place, columns.names, [cells[position] for position in positions])
    except csv.Error as error:
        raise DataError(f"{name}: row {row + 1} (line {reader.line_num}): {error}") from error


def _positions(name: str, header: Sequence[str], columns: Columns) -> list[int]:
    for column in columns.names:
        if header.count(column) != 1:
            there = ", ".join(header)[:MAX_QUOTED] or "nothing"
            raise DataError(f"{name}: the header must name {column!r} once; it holds {there}")
    return [header.index(column) for column in columns.names]
