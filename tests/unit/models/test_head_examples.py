"""Labelled texts from CSV, and every way in which a file is none."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from triptych_models.errors import TrainingDataError
from triptych_models.heads.examples import (
    Columns,
    parse_label_names,
    read_examples,
    read_labels,
)

COLUMNS = Columns("text", "mood")
GOOD = [(f"glad {number}", "1") for number in range(10)]
BAD = [(f"sad {number}", "0") for number in range(10)]


def write(folder: Path, rows: list[tuple[str, str]], header: str = "mood,text") -> Path:
    path = folder / "moods.csv"
    lines = [header, *(f'{label},"{text}"' for text, label in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def refusal(path: Path, names: Mapping[str, str] | None = None) -> str:
    with pytest.raises(TrainingDataError) as caught:
        read_examples(path, COLUMNS, names)
    assert str(path.parent) not in str(caught.value)
    return str(caught.value)


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    rows = [*GOOD, *BAD, ('a "quoted", long\ntext'.replace('"', '""'), "1")]
    examples = read_examples(write(tmp_path, rows), COLUMNS, None)
    assert examples.labels == ("0", "1")
    assert examples.texts[-1] == 'a "quoted", long\ntext'
    assert examples.classes.tolist() == [1] * 10 + [0] * 10 + [1]
    assert (examples.origin.file, examples.origin.rows) == ("moods.csv", 21)


def test_names_give_labels_and_their_order(tmp_path: Path) -> None:
    names = parse_label_names("1=good,0=bad")
    examples = read_examples(write(tmp_path, [*GOOD, *BAD]), COLUMNS, names)
    assert examples.labels == ("good", "bad")
    assert examples.classes.tolist() == [0] * 10 + [1] * 10


def test_a_text_counts_once_and_not_at_all_with_two_labels(tmp_path: Path) -> None:
    rows = [*GOOD, *BAD, ("GLAD   1", "1"), ("so so", "1"), ("So so", "0"), ("so so", "1")]
    examples = read_examples(write(tmp_path, rows), COLUMNS, None)
    assert examples.texts == tuple(text for text, _ in (*GOOD, *BAD))
    assert (examples.origin.duplicates, examples.origin.contradictions) == (1, 3)


def test_refuses_a_missing_column(tmp_path: Path) -> None:
    path = write(tmp_path, [*GOOD, *BAD], "label,text")
    reason = "--label-column: the header must name 'mood' once; it holds label, text"
    assert refusal(path) == reason


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (GOOD, "--label-column: holds 1 labels, at least 2 are needed"),
        ([], "--label-column: holds 0 labels"),
        ([*GOOD, *BAD[:9]], "--data: label '0' has 9 different texts, at least 10 are needed"),
        ([*GOOD, ("", "0")], "--text-column: is empty on line 12"),
        ([*GOOD, ("well", " ")], "--label-column: is empty on line 12"),
    ],
)
def test_refuses_rows(tmp_path: Path, rows: list[tuple[str, str]], reason: str) -> None:
    assert refusal(write(tmp_path, rows)).startswith(reason)


def test_refuses_a_label_without_a_name(tmp_path: Path) -> None:
    path = write(tmp_path, [*GOOD, *BAD])
    reason = refusal(path, {"1": "good", "2": "bad"})
    assert reason == "--label-column: mood: '0' on line 12 is none of the labels"
    assert "label 'odd' has 0" in refusal(path, {"0": "bad", "1": "good", "2": "odd"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "--text-column: the header must name 'text' once; it holds nothing"),
        (b"mood,text\n1\n", "--data: line 2 has 1 cells only"),
        (b"mood,text\n1,\xff\n", "--data: is not CSV in UTF-8"),
        (b'mood,text\n1,"open\n', "--data: is not CSV in UTF-8"),
    ],
)
def test_refuses_what_is_no_csv(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "moods.csv"
    path.write_bytes(content)
    assert refusal(path).startswith(reason)


def test_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.csv") == "--data: cannot be read: No such file or directory"


@pytest.mark.parametrize("text", ["", "0", "0=", "=a", "0=a,1", "0=a,0=b", "0=a,1=a"])
def test_refuses_label_names(text: str) -> None:
    with pytest.raises(TrainingDataError, match="--label-names: "):
        parse_label_names(text)


def test_labels_are_a_list_of_strings(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('["b", "a"]')
    assert list(read_labels(path).items()) == [("b", "b"), ("a", "a")]
    for content in ('{"a": 1}', "[1]", "[", '["a", "a"]'):
        path.write_text(content)
        with pytest.raises(TrainingDataError, match="--labels: "):
            read_labels(path)
