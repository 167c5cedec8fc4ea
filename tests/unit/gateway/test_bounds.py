import pytest

from triptych_gateway.bounds import Bounds, Names
from triptych_gateway.local_platform import local_bundle
from triptych_gateway.options import check_embed, check_text
from triptych_gateway.settings import Requests
from triptych_gateway.tasks import EmbedOptions, Input, Pair, TextOptions, TokenIds
from triptych_servicekit.errors import InvalidArgument

BOUNDS = Bounds(max_inputs=3, max_characters=5)
MODEL = local_bundle(dimensions=8)
NAMES = Names("inputs[{}]")


@pytest.mark.parametrize(
    "item", ["a", "abcde", "🙂" * 5, Pair("abcde", "a"), TokenIds([0]), TokenIds([1] * 5)]
)
def test_items_up_to_the_bound_pass(item: Input) -> None:
    assert BOUNDS.refused(MODEL, [item], NAMES) == {}


@pytest.mark.parametrize(
    ("item", "field", "reason"),
    [
        ("", "inputs[1]", "EMPTY_INPUT"),
        ("abcdef", "inputs[1]", "INPUT_TOO_LARGE"),
        (Pair("", "a"), "inputs[1].first", "EMPTY_INPUT"),
        (Pair("a", "abcdef"), "inputs[1].second", "INPUT_TOO_LARGE"),
        (TokenIds([]), "inputs[1]", "EMPTY_INPUT"),
        (TokenIds([1] * 6), "inputs[1]", "INPUT_TOO_LARGE"),
        (TokenIds([-1]), "inputs[1]", "INVALID_ARGUMENT"),
        (TokenIds([MODEL.vocab_size]), "inputs[1]", "INVALID_ARGUMENT"),
    ],
)
def test_items_over_a_bound_are_named(item: Input, field: str, reason: str) -> None:
    refused = BOUNDS.refused(MODEL, ["a", item, "b"], NAMES)
    assert list(refused) == [1]
    assert (refused[1].field, refused[1].reason) == (field, reason)
    assert refused[1].message.startswith(field)


def test_the_limit_is_in_the_message() -> None:
    assert "at most 5" in BOUNDS.refused(MODEL, ["abcdef"], NAMES)[0].message


@pytest.mark.parametrize("count", [0, 4])
def test_counts_out_of_bounds(count: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        BOUNDS.check_count(count, "inputs")
    assert caught.value.field == "inputs"


def test_the_settings_give_the_bounds() -> None:
    bounds = Bounds.of(Requests(max_client_batch_size=7, max_input_characters=9))
    assert bounds == Bounds(7, 9)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (TextOptions(max_length=257), "max_length"),
        (TextOptions(prompt_name="unheard"), "prompt_name"),
    ],
)
def test_text_options_beyond_the_model(text: TextOptions, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_text(MODEL, text)
    assert caught.value.field == field


def test_dimensions_beyond_the_model() -> None:
    check_embed(MODEL, EmbedOptions(dimensions=8))
    with pytest.raises(InvalidArgument, match="dimensions is 9, the model has 8"):
        check_embed(MODEL, EmbedOptions(dimensions=9))
