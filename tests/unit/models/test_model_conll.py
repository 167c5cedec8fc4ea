"""Tagged words from CoNLL files, and every way in which a file is none."""

from pathlib import Path

import pytest

from triptych_models.conll import Sentence, distinct, labels_of, read_conll
from triptych_models.errors import TrainingDataError


def write(folder: Path, content: str) -> Path:
    path = folder / "names.conll"
    path.write_text(content, encoding="utf-8")
    return path


def test_sentences_end_at_lines_without_a_word(tmp_path: Path) -> None:
    content = "-DOCSTART- X O\n\nParis NNP B-place\nis\tO\n\t\n\nEmpire B-place\nState I-place"
    assert read_conll(write(tmp_path, content)) == [
        Sentence(("Paris", "is"), ("B-place", "O")),
        Sentence(("Empire", "State"), ("B-place", "I-place")),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "holds no sentence"),
        ("\n\n", "holds no sentence"),
        ("Paris B-place\nis\n", "line 2 has a word without a tag"),
        ("Paris B-place\n\nis place\n", "line 3 has the tag 'place', not O, B-… or I-…"),
        ("Paris B-\n", "line 1 has the tag 'B-'"),
        (f"{'a' * 5000} O\n", "line 1 has more than 4096 characters"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: str, reason: str) -> None:
    with pytest.raises(TrainingDataError) as caught:
        read_conll(write(tmp_path, content))
    assert str(caught.value).startswith("names.conll: ")
    assert reason in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "names.conll"
    path.write_bytes(b"\xff\xfe O\n")
    with pytest.raises(TrainingDataError, match="is not UTF-8"):
        read_conll(path)
    with pytest.raises(TrainingDataError, match="cannot be read: No such file"):
        read_conll(tmp_path / "other.conll")


def test_repeated_sentences_are_left_out(tmp_path: Path) -> None:
    first, again = Sentence(("A", "b"), ("B-x", "O")), Sentence(("a", "B"), ("O", "O"))
    other, held = Sentence(("c",), ("O",)), Sentence(("C",), ("B-x",))
    assert distinct([first, again, other]) == [first, other]
    assert distinct([first, again, other], unlike=[held]) == [first]


def test_labels_have_both_tags_of_each() -> None:
    sentences = [Sentence(("a", "b"), ("I-person", "B-group")), Sentence(("c",), ("O",))]
    assert labels_of(sentences) == ("O", "B-group", "I-group", "B-person", "I-person")
