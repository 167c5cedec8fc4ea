"""Labelled sets: what is read, and that every refusal names the place."""

import hashlib
from pathlib import Path

import pytest

from triptych_client.errors import DataError
from triptych_client.evaluation.conll_file import read_tagged
from triptych_client.evaluation.csv_file import Columns, read_graded, read_labelled
from triptych_client.evaluation.examples import Graded, Labelled, Pair, Tagged

SINGLE = Columns("text", "", "label")
PAIRS = Columns("a", "b", "score")


def write(folder: Path, content: str | bytes, name: str = "set.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    text = '\ufeffid,label,text\n1,good,"two\nlines, and a comma"\n\n2, bad ,x\n'
    path = write(tmp_path, text)
    data = read_labelled(path, SINGLE, None, None)
    assert data.examples == [Labelled("two\nlines, and a comma", "good"), Labelled("x", "bad")]
    assert (data.file, data.sha256) == ("set.csv", hashlib.sha256(path.read_bytes()).hexdigest())


def test_values_stand_for_labels(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label\na,0\nb,1\n")
    data = read_labelled(path, SINGLE, None, {"0": "bad", "1": "good"})
    assert [one.label for one in data.examples] == ["bad", "good"]


def test_pairs_and_a_file_without_header(tmp_path: Path) -> None:
    path = write(tmp_path, "left,right,4.5\n")
    header = ["a", "b", "score"]
    assert read_graded(path, PAIRS, header).examples == [Graded(Pair("left", "right"), 4.5)]
    labelled = read_labelled(path, PAIRS, header, None)
    assert labelled.examples == [Labelled(Pair("left", "right"), "4.5")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\n", "set.csv: holds no examples"),
        ("", "set.csv: the header must name 'text' once; it holds nothing"),
        ("text,text,label\na,b,c\n", "the header must name 'text' once; it holds text, text, lab"),
        ("text,label\na,b\n \t,b\n", r"row 2 \(line 3\), column 'text': is empty"),
        ("text,label\na,\n", r"row 1 \(line 2\), column 'label': is empty"),
        ("text,label\na,b,c\n", r"row 1 \(line 2\) has 3 cells; the header has 2"),
        ("text,label\na\n", r"row 1 \(line 2\) has 1 cells; the header has 2"),
        (f"text,label\n{'x' * 65_537},b\n", "column 'text': has 65,537 characters; at most 65,536"),
        (f"text,label\na,{'x' * 257}\n", "column 'label': has 257 characters; at most 256"),
        (f"text,label\na,{'x' * 300_000}\n", r"row 1 \(line 2\): field larger than field limit"),
        ('text,label\n"a,b\n', r"row 1 \(line 2\): unexpected end of data"),
        (b"text,label\n\xff,b\n", "set.csv: is not UTF-8"),
    ],
)
def test_bad_rows_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labelled(write(tmp_path, content), SINGLE, None, None)


def test_unknown_values_numbers_and_files(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label\na,2\n")
    with pytest.raises(DataError, match=r"row 1 \(line 2\), column 'label': '2' is not among"):
        read_labelled(path, SINGLE, None, {"0": "bad"})
    for value in ("four", "nan", "inf", ""):
        rows = write(tmp_path, f"a,b,score\nx,y,{value}\n")
        with pytest.raises(DataError, match=f"column 'score': '{value}' is not a finite number"):
            read_graded(rows, PAIRS, None)
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file"):
        read_labelled(tmp_path / "none.csv", SINGLE, None, None)


def test_sentences(tmp_path: Path) -> None:
    content = "-DOCSTART- -X- O\n\nAda NNP B-PER\nLovelace\tNNP\tI-PER\n \n\nran O\r\n"
    assert read_tagged(write(tmp_path, content, "set.conll")).examples == [
        Tagged(("Ada", "Lovelace"), ("B-PER", "I-PER")),
        Tagged(("ran",), ("O",)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n\n", "set.conll: holds no examples"),
        ("a O\nb\n", "set.conll: line 2 has a word without a tag"),
        ("a PER\n", "line 1: the tag 'PER' is not O, B-…, I-…, E-… or S-…"),
        ("a B-\n", "line 1: the tag 'B-' is not O"),
        (f"a B-{'x' * 257}\n", "line 1: the label has more than 256 characters"),
        (f"{'a' * 5000} O\n", "line 1 has more than 4,096 characters"),
        (f"{'a' * 4000} O\n" * 17, "sentence that ends at line 17 has 68,016 characters; at most"),
        (b"\xff O\n", "set.conll: is not UTF-8"),
    ],
)
def test_bad_lines_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_tagged(write(tmp_path, content, "set.conll"))


def test_a_sample_is_drawn_once_and_in_order(tmp_path: Path) -> None:
    rows = "".join(f"text {number},x\n" for number in range(100))
    data = read_labelled(write(tmp_path, f"text,label\n{rows}"), SINGLE, None, None)
    drawn = [one.input for one in data.sample(10, seed=1).examples]
    assert drawn == [one.input for one in data.sample(10, seed=1).examples]
    assert drawn != [one.input for one in data.sample(10, seed=2).examples]
    order = [one.input for one in data.examples]
    assert len(set(drawn)) == 10
    assert sorted(map(order.index, drawn)) == list(map(order.index, drawn))
    assert data.sample(1000, seed=1) is data
