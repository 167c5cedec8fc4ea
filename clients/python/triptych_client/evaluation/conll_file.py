"""Labelled sets of words and tags, a word a line, as in the shared tasks of CoNLL and WNUT."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from triptych_client.errors import DataError
from triptych_client.evaluation.entities import OUTSIDE, PREFIXES
from triptych_client.evaluation.examples import (
    MAX_LABEL_CHARACTERS,
    LabelledSet,
    Tagged,
    check_count,
    check_text,
    labelled_set,
)

MAX_LINE_CHARACTERS: Final = 4096
"""Far more than a word and its columns."""
MAX_QUOTED: Final = 80
DOCUMENT: Final = "-DOCSTART-"
"""The word of a line that separates documents and is none of a sentence."""


def read_tagged(path: Path) -> LabelledSet[Tagged]:
    """Sentences: columns by tab or blank, the word first and the tag last, an empty line between.

    Tags are `O`, or B-, I-, E- or S- and a label. Raises DataError with the line at fault.
    """
    sentences: list[Tagged] = []
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as stream:
            for line, sentence in _sentences(stream, path.name):
                check_text(sentence.text, f"{path.name}: the sentence that ends at line {line}")
                sentences.append(sentence)
                check_count(len(sentences), path.name)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: is not UTF-8: {error.reason}") from error
    return labelled_set(path, sentences)


def _sentences(lines: Iterator[str], name: str) -> Iterator[tuple[int, Tagged]]:
    """Each sentence, and the number of its last line."""
    words: list[tuple[str, str]] = []
    number = 0
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith(DOCUMENT):
            words.append(_word(line, f"{name}: line {number}"))
        elif words:
            yield number - 1, _sentence(words)
            words = []
    if words:
        yield number, _sentence(words)


def _word(line: str, place: str) -> tuple[str, str]:
    if len(line) > MAX_LINE_CHARACTERS:
        raise DataError(f"{place} has more than {MAX_LINE_CHARACTERS:,} characters")
    columns = line.split()
    if len(columns) < 2:
        raise DataError(f"{place} has a word without a tag")
    word, tag = columns[0], columns[-1]
    prefix, _, label = tag.partition("-")
    if tag != OUTSIDE and (prefix not in PREFIXES or not label):
        raise DataError(f"{place}: the tag {tag[:MAX_QUOTED]!r} is not O, B-…, I-…, E-… or S-…")
    if len(label) > MAX_LABEL_CHARACTERS:
        raise DataError(f"{place}: the label has more than {MAX_LABEL_CHARACTERS} characters")
    return word, tag


def _sentence(words: list[tuple[str, str]]) -> Tagged:
    return Tagged(tuple(word for word, _ in words), tuple(tag for _, tag in words))
