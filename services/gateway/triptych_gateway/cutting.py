"""Large requests in parts that fit a stage call, whatever their texts turn out to be."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from triptych_gateway.tasks import Input, Pair

T = TypeVar("T", bound=Input)

# What an input costs the tokenizer beside its text, in characters: many tiny ones are work too.
CHARACTERS_PER_INPUT = 16


def weight_of(inputs: Sequence[Input]) -> int:
    """What inputs cost the tokenizer, in characters or ids."""
    return sum(map(_weight, inputs))


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
