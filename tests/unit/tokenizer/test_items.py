import time

import numpy as np
import pytest

from triptych_servicekit.callers import Caller
from triptych_servicekit.errors import DeadlineExceeded, InvalidArgument
from triptych_tokenizer.items import Item, ItemRules, TextPair, deadlines_of, drop_expired, screen

RULES = ItemRules(max_characters=5, vocab_size=10, pair_refusal="")


def ids(*values: int) -> Item:
    return np.array(values, np.int32)


@pytest.mark.parametrize(
    "item", ["a", "five!", "\x00", " ", "🙂" * 5, TextPair("a", "b"), ids(0, 9), ids(1, 2, 3, 4, 5)]
)
def test_sound_items_pass(item: Item) -> None:
    assert screen([item], RULES)[0] is item


@pytest.mark.parametrize(
    ("item", "reason", "field"),
    [
        ("", "EMPTY_INPUT", "inputs[1].text"),
        ("sixsix", "INPUT_TOO_LARGE", "inputs[1].text"),
        ("\ud800", "INVALID_ARGUMENT", "inputs[1].text"),
        (TextPair("", "b"), "EMPTY_INPUT", "inputs[1].pair.first"),
        (TextPair("a", ""), "EMPTY_INPUT", "inputs[1].pair.second"),
        (TextPair("a", "sixsix"), "INPUT_TOO_LARGE", "inputs[1].pair.second"),
        (ids(), "EMPTY_INPUT", "inputs[1].token_ids.ids"),
        (ids(-1), "INVALID_ARGUMENT", "inputs[1].token_ids.ids"),
        (ids(10), "INVALID_ARGUMENT", "inputs[1].token_ids.ids"),
        (ids(1, 2, 3, 4, 5, 6), "INPUT_TOO_LARGE", "inputs[1].token_ids.ids"),
    ],
)
def test_others_fail_alone(item: Item, reason: str, field: str) -> None:
    sound, refused = screen(["a", item], RULES)
    assert sound == "a"
    assert isinstance(refused, InvalidArgument)
    assert (refused.reason, refused.field) == (reason, field)


def test_messages_name_the_limit() -> None:
    (refused,) = screen(["sixsix"], RULES)
    assert "at most 5" in str(refused)


def test_pairs_may_be_refused_as_such() -> None:
    (refused,) = screen([TextPair("a", "b")], ItemRules(5, 10, "is a pair"))
    assert str(refused) == "inputs[0].pair is a pair"


def test_items_of_expired_callers_are_dropped() -> None:
    now = time.monotonic()
    deadlines = deadlines_of([Caller(0, 1, now + 60), Caller(1, 2, now - 1)])
    earlier = InvalidArgument("was wrong before")
    kept, dropped, error = drop_expired(["a", "b", earlier], deadlines)
    assert kept == "a"
    assert isinstance(dropped, DeadlineExceeded)
    assert error is earlier
