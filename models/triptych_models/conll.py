"""Sentences of tagged words, one word a line, as in the shared tasks of CoNLL and WNUT."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych_models.errors import TrainingDataError

# what one line may hold, in characters: far more than any word
MAX_LINE_CHARACTERS = 4096
OUTSIDE = "O"
_DOCUMENT = "-DOCSTART-"


@dataclass(frozen=True, slots=True)
class Sentence:
    """W words and the tag of each: `O`, or `B-` or `I-` and a label."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words with a blank between: what a client would send."""
        return " ".join(self.words)


def read_conll(path: Path) -> list[Sentence]:
    """Sentences in the order of the file: columns by tab or blank, the word first, the tag last.

    Lines without a word end a sentence. Raises TrainingDataError with the line at fault.
    """
    try:
        with path.open(encoding="utf-8-sig") as stream:
            sentences = list(_sentences(stream))
    except OSError as error:
        raise TrainingDataError(f"{path.name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TrainingDataError(f"{path.name}: is not UTF-8: {error}") from error
    except TrainingDataError as error:
        raise TrainingDataError(f"{path.name}: {error}") from None
    if not sentences:
        raise TrainingDataError(f"{path.name}: holds no sentence")
    return sentences


def distinct(sentences: Sequence[Sentence], unlike: Sequence[Sentence] = ()) -> list[Sentence]:
    """Each text once, the first time that it comes, but none of the texts of `unlike`."""
    seen = {_key(sentence) for sentence in unlike}
    kept: dict[str, Sentence] = {}
    for sentence in sentences:
        if _key(sentence) not in seen:
            kept.setdefault(_key(sentence), sentence)
    return list(kept.values())


def labels_of(sentences: Sequence[Sentence]) -> tuple[str, ...]:
    """The tags that a model of these sentences needs: `O`, and both tags of every label, sorted."""
    found = {tag[2:] for sentence in sentences for tag in sentence.tags if tag != OUTSIDE}
    return (OUTSIDE, *(f"{part}-{label}" for label in sorted(found) for part in "BI"))


def _key(sentence: Sentence) -> str:
    return sentence.text.casefold()


def _sentences(lines: Iterator[str]) -> Iterator[Sentence]:
    words: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith(_DOCUMENT):
            words.append(_word(number, line))
        elif words:
            yield _sentence(words)
            words = []
    if words:
        yield _sentence(words)


def _word(number: int, line: str) -> tuple[str, str]:
    if len(line) > MAX_LINE_CHARACTERS:
        raise TrainingDataError(f"line {number} has more than {MAX_LINE_CHARACTERS} characters")
    columns = line.split()
    if len(columns) < 2:
        raise TrainingDataError(f"line {number} has a word without a tag")
    word, tag = columns[0], columns[-1]
    if tag != OUTSIDE and (not tag.startswith(("B-", "I-")) or not tag[2:]):
        raise TrainingDataError(f"line {number} has the tag {tag[:80]!r}, not O, B-… or I-…")
    return word, tag


def _sentence(words: Sequence[tuple[str, str]]) -> Sentence:
    return Sentence(tuple(word for word, _ in words), tuple(tag for _, tag in words))
