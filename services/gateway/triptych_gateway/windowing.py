"""How inputs are cut into windows: what that amounts to, before and after they are tokenized."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from triptych_gateway.bounds import MAX_TOKENS_PER_CHARACTER
from triptych_gateway.cutting import (
    LEAST_WEIGHT,
    MAX_CALL_NUMBERS,
    MOST_CHARACTERS_PER_TOKEN,
    NUMBERS_PER_TOKEN,
    SPECIAL_TOKENS,
    token_estimate,
    weight_of,
)
from triptych_gateway.layout import Ints
from triptych_gateway.plan import Plan
from triptych_gateway.tasks import Input, Pair, TextOptions, WindowOptions
from triptych_servicekit.errors import InvalidArgument

T = TypeVar("T", bound=Input)

TOO_MANY_WINDOWS: Final = "TOO_MANY_WINDOWS"

# Tokens of an input in all its windows: as many as postprocess takes in a call that finds entities.
MAX_DOCUMENT_TOKENS: Final = 262_144
# Neighbours share an eighth of a window: where one takes over from the other a token still sees a
# sixteenth to its nearer side, 16 tokens of 256, for a seventh more of them to encode.
STRIDE_SHARE: Final = 8
# Around a single text; models have 2 or 3.
MOST_SPECIAL_TOKENS: Final = 4


@dataclass(frozen=True, slots=True)
class Windowing:
    """Windows of `length` tokens, of which neighbours share `stride`; at most `most` an input."""

    length: int
    stride: int
    most: int

    @classmethod
    def of(cls, plan: Plan, text: TextOptions, options: WindowOptions) -> "Windowing":
        """What is asked for, with its defaults and within what one call of a stage can take."""
        length = text.max_length or plan.model.max_length
        stride = length // STRIDE_SHARE if options.stride is None else options.stride
        fits = (MAX_DOCUMENT_TOKENS // length, MAX_CALL_NUMBERS // max(1, plan.numbers()))
        return cls(length, stride, max(1, min(options.max_windows or MAX_DOCUMENT_TOKENS, *fits)))

    def text(self, text: TextOptions) -> TextOptions:
        """The options as the tokenizer gets them."""
        windows = WindowOptions(self.stride, self.most)
        return replace(text, max_length=self.length, windows=windows)

    def at_most(self, item: Input) -> int:
        """Windows of an input, whatever its tokens are."""
        if isinstance(item, Pair):
            return 1
        units = MAX_TOKENS_PER_CHARACTER if isinstance(item, str) else 1
        size = len(item) if isinstance(item, str) else len(item.ids)
        return self._count(units * size, MOST_SPECIAL_TOKENS)

    def estimate(self, inputs: Sequence[Input]) -> int:
        """About how many tokens are encoded, what windows share counted in each."""
        return sum(map(self._estimate, inputs))

    def weight(self, inputs: Sequence[Input]) -> int:
        """What inputs cost the tokenizer, in characters.

        What may become of a full call is no more tokens than the tokenizer makes in one.
        """
        tokens = sum(map(self.at_most, inputs)) * self.length
        return max(weight_of(inputs), tokens // MOST_CHARACTERS_PER_TOKEN)

    def cut(self, inputs: Sequence[T], weight: int) -> Iterator[Sequence[T]]:
        """Runs of inputs with no more windows than one may have, that weigh `weight` at most."""
        start = windows = total = 0
        for index, item in enumerate(inputs):
            own, size = self.at_most(item), weight_of([item])
            if index > start and (windows + own > self.most or total + size > weight):
                yield inputs[start:index]
                start, windows, total = index, 0, 0
            windows, total = windows + own, total + size
        if start < len(inputs):
            yield inputs[start:]

    def _estimate(self, item: Input) -> int:
        tokens = token_estimate(item)
        more = self._count(tokens, SPECIAL_TOKENS) - 1
        return tokens + more * (self.stride + SPECIAL_TOKENS)

    def _count(self, tokens: int, special: int) -> int:
        room = max(1, self.length - special)
        beyond = max(0, tokens - room)
        return min(self.most, 1 - (-beyond // max(1, room - self.stride)))


@dataclass(slots=True)
class Tally:
    """Windows of a request so far, of `limit` at most; 0: of any number."""

    limit: int
    count: int = 0

    def add(self, windows: int) -> None:
        """Some more. Raises InvalidArgument over the limit."""
        self.count += windows
        if self.limit and self.count > self.limit:
            message = f"the inputs have more than {self.limit} windows together; send fewer"
            raise InvalidArgument(message, reason=TOO_MANY_WINDOWS, field="inputs")


@dataclass(frozen=True, slots=True)
class Portion:
    """Windows that go to the encoder together, and what they weigh in a cohort, in tokens."""

    run: slice
    weight: int


def portions(lengths: Ints, numbers: int, full: int) -> Iterator[Portion]:
    """Windows of so many tokens, for each of which the encoder returns `numbers` at most.

    A portion weighs `full` at most; a heavier window goes alone.
    """
    least = max(LEAST_WEIGHT, numbers // NUMBERS_PER_TOKEN)
    start = total = 0
    for index, length in enumerate(lengths.tolist()):
        weight = max(least, length)
        if index > start and total + weight > full:
            yield Portion(slice(start, index), total)
            start, total = index, 0
        total += weight
    if start < len(lengths):
        yield Portion(slice(start, len(lengths)), total)
