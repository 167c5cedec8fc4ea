"""Large requests in parts that fit a stage call, whatever their texts turn out to be."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from triptych_gateway.tasks import Input, Pair

T = TypeVar("T", bound=Input)

# A token of English is about four characters; taken low, so that nothing is underestimated.
CHARACTERS_PER_TOKEN: Final = 3
SPECIAL_TOKENS: Final = 2
# What an input weighs in a cohort at least, in tokens, so that a full one of 4,096 has no more than
# 256 inputs, four million numbers out of the encoder, and 65,536 characters to tokenize.
LEAST_WEIGHT: Final = 16
NUMBERS_PER_TOKEN: Final = 1024
MOST_CHARACTERS_PER_TOKEN: Final = 16
# Numbers that an encoder call may return, at most: half of the largest message.
MAX_CALL_NUMBERS: Final = 4 * 1024 * 1024

# What an input costs the tokenizer beside its text, in characters: many tiny ones are work too.
CHARACTERS_PER_INPUT = 16


def weight_of(inputs: Sequence[Input]) -> int:
    """What inputs cost the tokenizer, in characters or ids."""
    return sum(map(_weight, inputs))


def estimate_tokens(inputs: Sequence[Input], max_length: int) -> int:
    """About how many tokens the inputs have, before they are tokenized."""
    return sum([min(max_length, token_estimate(item)) for item in inputs])


def ride_weight(inputs: Sequence[Input], max_length: int, numbers: int) -> int:
    """What inputs weigh in a cohort, in tokens. Of each the encoder returns `numbers` at most."""
    least = max(LEAST_WEIGHT, numbers // NUMBERS_PER_TOKEN)
    return sum([max(least, _ride_weight(item, max_length)) for item in inputs])


def _ride_weight(item: Input, max_length: int) -> int:
    tokens = token_estimate(item)
    characters = tokens * CHARACTERS_PER_TOKEN
    return max(min(max_length, tokens), characters // MOST_CHARACTERS_PER_TOKEN)


def token_estimate(item: Input) -> int:
    """About how many tokens an input has, however long it is."""
    if isinstance(item, str):
        return len(item) // CHARACTERS_PER_TOKEN + SPECIAL_TOKENS
    if isinstance(item, Pair):
        return (len(item.first) + len(item.second)) // CHARACTERS_PER_TOKEN + SPECIAL_TOKENS
    return len(item.ids) + SPECIAL_TOKENS


def cut(inputs: Sequence[T], most: int, weight: int) -> Iterator[Sequence[T]]:
    """Runs of at most `most` inputs that weigh at most `weight`; a heavier input goes alone."""
    start = total = 0
    for index, item in enumerate(inputs):
        size = _weight(item)
        if index > start and (index - start == most or total + size > weight):
            yield inputs[start:index]
            start, total = index, 0
        total += size
    if start < len(inputs):
        yield inputs[start:]


def _weight(item: Input) -> int:
    if isinstance(item, str):
        return len(item) + CHARACTERS_PER_INPUT
    if isinstance(item, Pair):
        return len(item.first) + len(item.second) + CHARACTERS_PER_INPUT
    return len(item.ids) + CHARACTERS_PER_INPUT
