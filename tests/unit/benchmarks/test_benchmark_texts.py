"""The texts that benchmarks ask, and what is read of wrk's answers and of HTTP."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.closed_loop import LoadError, parse
from benchmarks.open_loop import answer_length
from benchmarks.texts import (
    LETTERS,
    LONG_RANGE,
    MIXED_RANGE,
    SHORT_TOKENS,
    Source,
    Words,
    lengths,
    requests,
    tokens_of_characters,
)

SAID = {
    "answers": 90,
    "failures": 0,
    "counted": 1080,
    "exhausted": 0,
    "run_us": 3_000_000,
    "socket_errors": 0,
    "timeouts": 0,
    "p50": 6400,
    "p95": 8500,
    "p99": 10300,
}


@pytest.fixture
def words(tmp_path: Path) -> Words:
    """A vocabulary of 26 words that qualify and a few that do not."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    listed = [
        "[PAD]",
        "[CLS]",
        "[SEP]",
        "##aaaaa",
        "short",
        *(letter * LETTERS for letter in letters),
    ]
    vocabulary = {word: number for number, word in enumerate(listed)}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"vocab": vocabulary}}))
    return Words.read(path)


def test_only_whole_words_of_one_length_are_used(words: Words) -> None:
    assert len(words.words) == 26
    assert words.ids.tolist() == list(range(5, 31))


@pytest.mark.parametrize("kind", ["short", "mixed", "long"])
def test_no_text_comes_twice(words: Words, kind: str) -> None:
    source = Source(words)
    texts = [text.text for _ in range(3) for text in source.take(kind, 300)]
    assert len(set(texts)) == len(texts)


def test_tokens_follow_from_characters(words: Words) -> None:
    texts = Source(words).take("mixed", 50)
    characters = sum(len(text.text) for text in texts)
    assert tokens_of_characters(characters, len(texts)) == sum(len(text.ids) for text in texts)


def test_a_text_is_framed_by_the_special_tokens(words: Words) -> None:
    (text,) = Source(words).take("short", 1)
    assert len(text.ids) == SHORT_TOKENS
    assert (text.ids[0], text.ids[-1]) == (words.cls, words.sep)
    assert len(text.text.split()) == SHORT_TOKENS - 2


@pytest.mark.parametrize(
    ("kind", "least", "most", "mean"),
    [
        ("short", SHORT_TOKENS, SHORT_TOKENS, SHORT_TOKENS),
        ("mixed", *MIXED_RANGE, 51),
        ("long", *LONG_RANGE, 228),
    ],
)
def test_lengths_are_as_said(kind: str, least: int, most: int, mean: float) -> None:
    drawn = lengths(kind, 20_000, np.random.default_rng(5))
    assert (drawn.min(), drawn.max()) == (least, most)
    assert drawn.mean() == pytest.approx(mean, rel=0.02)


def test_a_request_asks_whole_groups_of_texts(words: Words) -> None:
    texts = Source(words).take("short", 5)
    assert list(requests(texts, 1)) == [text.text for text in texts]
    assert [len(asked) for asked in requests(texts, 2)] == [2, 2]


def test_wrk_counts_what_was_answered() -> None:
    load = parse(f"Running 3s test\n\nRESULT {json.dumps(SAID)}\n", cpu=0.1)
    assert (load.answers, load.counted, load.exhausted, load.cpu) == (90, 1080, False, 0.1)
    assert (load.duration, load.p50, load.p99) == (3.0, 0.0064, 0.0103)


@pytest.mark.parametrize(
    "wrong", [{"failures": 1}, {"socket_errors": 2}, {"timeouts": 1}, {"answers": 0}]
)
def test_a_run_with_failures_does_not_count(wrong: dict[str, int]) -> None:
    with pytest.raises(LoadError):
        parse(f"\nRESULT {json.dumps(SAID | wrong)}\n", cpu=0.1)


def test_texts_that_ran_out_are_told() -> None:
    load = parse(f"\nRESULT {json.dumps(SAID | {'answers': 0, 'exhausted': 1})}\n", cpu=0.1)
    assert load.exhausted


def test_a_run_without_a_result_does_not_count() -> None:
    with pytest.raises(LoadError, match="no result"):
        parse("unable to connect", cpu=0.0)


def test_an_answer_ends_where_its_length_says() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\n"
    assert answer_length(head[:-2]) == 0
    assert answer_length(head) == len(head) + 5
    assert answer_length(head + b"hello") == len(head) + 5
