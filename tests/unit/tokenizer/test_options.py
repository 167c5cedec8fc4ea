import pytest

from triptych_servicekit.errors import InvalidArgument
from triptych_tokenizer.items import TextPair, screen
from triptych_tokenizer.options import Options, Truncation, Vocabulary, resolve
from triptych_tokenizer.template import Template

SINGLE = Template((1,), (2,), (), (0, 0, 0, 0, 0))
PAIR = Template((1,), (2,), (2,), (0, 0, 0, 1, 1))
WINDOW = Truncation.WINDOW


def vocabulary(**prompts: str) -> Vocabulary:
    return Vocabulary(100, 16, SINGLE, PAIR, prompts)


def test_the_models_maximum_is_the_default() -> None:
    assert resolve(Options(), vocabulary()).max_length == 16
    assert resolve(Options(max_length=3), vocabulary()).max_length == 3


@pytest.mark.parametrize(
    ("options", "field", "limit"),
    [
        (Options(max_length=17), "options.max_length", "16"),
        (Options(max_length=2), "options.max_length", "3"),
        (Options(truncation=WINDOW, stride=14), "options.stride", "14"),
        (Options(truncation=WINDOW, max_length=3, stride=1), "options.stride", "1"),
        (Options(prompt_name="poem"), "options.prompt_name", "passage, query"),
    ],
)
def test_refusals_name_field_and_limit(options: Options, field: str, limit: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(options, vocabulary(query="q: ", passage="p: "))
    assert caught.value.field == field
    assert limit in caught.value.message


def test_without_special_tokens_all_room_is_for_text() -> None:
    plan = resolve(Options(add_special_tokens=False, max_length=1), vocabulary())
    assert (plan.max_length, len(plan.single), len(plan.pair)) == (1, 0, 0)
    assert plan.pair.type_ids == PAIR.type_ids


def test_prompts() -> None:
    known = vocabulary(query="q: ", default="d: ")
    assert resolve(Options(prompt_name="query"), known).prompt == "q: "
    assert resolve(Options(), known).prompt == "d: "
    assert resolve(Options(), vocabulary(query="q: ")).prompt == ""


@pytest.mark.parametrize("options", [Options(truncation=WINDOW), Options(max_length=3)])
def test_pairs_are_refused_where_they_have_no_place(options: Options) -> None:
    rules = resolve(options, vocabulary()).item_rules(10, 100)
    refused = screen([TextPair("a", "b"), "a"], rules)
    assert isinstance(refused[0], InvalidArgument)
    assert refused[0].field == "inputs[0].pair"
    # the name comes first, so that the gateway puts its client's in its place
    assert refused[0].message.startswith("inputs[0].pair is a pair, which ")
    assert refused[1] == "a"
