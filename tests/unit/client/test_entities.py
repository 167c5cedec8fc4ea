"""Entities by their tags, against the rules of conlleval written out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_client.evaluation.entities import Span, spans, word_spans, words_of_tokens
from triptych_client.evaluation.entity_scores import score_entities
from triptych_client.evaluation.scores import Confusion

LABELS = ("PER", "LOC")
TAGS = ["O", *(f"{prefix}-{label}" for prefix in "BIES" for label in LABELS)]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O O", []),
        ("B-PER I-PER O", [(0, 1, "PER")]),
        ("B-PER B-PER", [(0, 0, "PER"), (1, 1, "PER")]),
        ("O I-PER I-PER", [(1, 2, "PER")]),  # IOB1: nothing before it, so it begins
        ("B-PER I-LOC", [(0, 0, "PER"), (1, 1, "LOC")]),
        ("I-PER I-LOC I-LOC", [(0, 0, "PER"), (1, 2, "LOC")]),
        ("I-PER B-PER I-PER", [(0, 0, "PER"), (1, 2, "PER")]),
        ("B-PER I-PER E-PER S-LOC", [(0, 2, "PER"), (3, 3, "LOC")]),
        ("B-PER E-PER I-PER", [(0, 1, "PER"), (2, 2, "PER")]),
        ("S-PER I-PER", [(0, 0, "PER"), (1, 1, "PER")]),
        ("S-PER S-PER", [(0, 0, "PER"), (1, 1, "PER")]),
        ("E-PER E-PER", [(0, 0, "PER"), (1, 1, "PER")]),
        ("B-a-b I-a-b", [(0, 1, "a-b")]),  # the label is all behind the first hyphen
        ("PER PER O LOC", [(0, 1, "PER"), (3, 3, "LOC")]),  # a model without prefixes
    ],
)
def test_tags_form_entities(tags: str, found: list[tuple[int, int, str]]) -> None:
    assert list(word_spans(tags.split())) == found


@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_entities_lie_apart_and_cover_what_is_tagged(tags: list[str]) -> None:
    found = list(word_spans(tags))
    covered = [word for first, last, _ in found for word in range(first, last + 1)]
    assert covered == [word for word, tag in enumerate(tags) if tag != "O"]
    for first, last, label in found:
        assert {tags[word].partition("-")[2] for word in range(first, last + 1)} == {label}


@given(st.lists(st.tuples(st.sampled_from((*LABELS, "")), st.integers(1, 3)), max_size=6))
def test_entities_come_back_from_their_bio_tags(pieces: list[tuple[str, int]]) -> None:
    tags: list[str] = []
    wanted = []
    for label, length in pieces:
        if label:
            wanted.append((len(tags), len(tags) + length - 1, label))
        tags += [f"{'I' if word else 'B'}-{label}" if label else "O" for word in range(length)]
    assert list(word_spans(tags)) == wanted


def test_places_are_code_points_of_the_text() -> None:
    words = ("Zoë", "Ng", "in", "🌧-Paris")
    found = spans(words, ("B-PER", "I-PER", "O", "B-LOC"))
    assert found == [Span(0, 6, "PER"), Span(10, 17, "LOC")]
    text = " ".join(words)
    assert [text[one.start : one.end] for one in found] == ["Zoë Ng", "🌧-Paris"]


def test_a_word_takes_the_tag_of_its_first_token() -> None:
    words = ("New", "York", "x", "end")
    # "York" begins with the blank before it, as byte-level tokenizers cut; "x" has no token
    tokens = [
        Span(0, 2, "B-LOC"),
        Span(2, 3, "O"),
        Span(3, 6, "I-LOC"),
        Span(6, 8, "B-PER"),
        Span(11, 12, "B-PER"),
        Span(12, 14, "O"),
    ]
    assert words_of_tokens(words, tokens) == ["B-LOC", "I-LOC", "O", "B-PER"]
    assert words_of_tokens(words, []) == ["O"] * 4


def test_an_entity_is_right_as_a_whole_or_not() -> None:
    """The example of seqeval's manual: of two, one begins a word early."""
    words = [tuple("abcdefg"), tuple("abc")]
    sides = (
        ("O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O"),
        ("O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O"),
    )
    expected, answered = (
        [spans(text, tags.split()) for text, tags in zip(words, side, strict=True)]
        for side in sides
    )
    document = score_entities(expected, answered).document()
    assert document["micro"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert document["macro"]["f1"] == 0.5
    assert document["by_label"]["MISC"]["f1"] == 0.0
    assert document["by_label"]["PER"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}


def test_counts_by_hand() -> None:
    gold = [[Span(0, 3, "PER"), Span(5, 9, "LOC")], [Span(0, 3, "PER")], [Span(0, 3, "LOC")], []]
    found = [
        [Span(0, 3, "PER"), Span(5, 9, "PER")],  # one right, one with another label
        [Span(0, 2, "PER")],  # too short: one missed, one made up
        None,  # no answer: missed
        [Span(1, 2, "ORG")],  # made up
    ]
    scores = score_entities(gold, found)
    assert scores.labels == ("LOC", "ORG", "PER")
    micro = scores.tally().micro()
    assert (micro.precision, micro.recall, micro.f1) == (1 / 4, 1 / 4, 1 / 4)
    assert scores.tally().f1.tolist() == [0, 0, 2 / 5]
    assert scores.tally().weighted().f1 == pytest.approx((2 * 0 + 2 * 2 / 5) / 4)
    assert set(scores.confusion()) == {
        Confusion("PER", "PER", 1),
        Confusion("LOC", "PER", 1),
        Confusion("PER", "O", 1),
        Confusion("O", "PER", 1),
        Confusion("LOC", "O", 1),
        Confusion("O", "ORG", 1),
    }
