"""From the tokens of a call's items to its sequences: check lengths, cut, surround."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_servicekit.errors import InvalidArgument, PayloadTooLarge, TriptychError
from triptych_tokenizer.cutting import Cuts, Lengths, cut, window_counts
from triptych_tokenizer.items import EMPTY_INPUT, Item, TextPair, failed
from triptych_tokenizer.options import Plan, Truncation
from triptych_tokenizer.sequences import Column, Sequences, assemble, lay_runs
from triptych_tokenizer.tokens import Tokens

INPUT_TOO_LONG = "INPUT_TOO_LONG"
TOO_MANY_WINDOWS = "TOO_MANY_WINDOWS"


@dataclass(frozen=True, slots=True)
class Tokenized:
    """The sequences of the items that survived, and what became of all N."""

    sequences: Sequences
    total_tokens: Column
    """[N]: before cutting, special tokens included; 0 for items that never were tokenized"""
    kept_tokens: Column
    """[N]"""
    errors: dict[int, TriptychError]


@dataclass(frozen=True, slots=True)
class Measures:
    """Of some items, in tokens: what each has, what it may keep, and what it will take up."""

    index: Lengths
    """[K]: which items"""
    totals: Lengths
    """[K]: special tokens included"""
    room: Lengths
    """[K]: for text, in one sequence"""
    sizes: Lengths
    """[K]: all sequences together"""
    windows: Lengths
    """[K]: how many they are"""

    def only(self, living: NDArray[np.bool_]) -> "Measures":
        """Those of them that `living`, bool [N], says are left."""
        left = living[self.index]
        columns = (self.index, self.totals, self.room, self.sizes, self.windows)
        return Measures(*(column[left] for column in columns))


def finish(tokens: Tokens, items: Sequence[Item], plan: Plan, max_tokens: int) -> Tokenized:
    """Cut the tokens of a call's items and make sequences of them.

    Raises PayloadTooLarge where the sequences would have more than `max_tokens` tokens together,
    before memory is taken for them.
    """
    errors = {index: item for index, item in enumerate(items) if isinstance(item, TriptychError)}
    pair = np.array([isinstance(item, TextPair) for item in items], bool)
    living = np.array([not failed(item) for item in items], bool)
    measures = _measure(tokens.lengths, np.flatnonzero(living), pair, plan)
    errors.update(_length_errors(measures, plan, max_tokens))
    living[list(errors)] = False
    alive = measures.only(living)
    _check_size(int(alive.sizes.sum()), max_tokens)
    cuts = cut(tokens.lengths[alive.index], alive.room, plan.truncation, plan.stride)
    sequences = _sequences(tokens, cuts, alive.index, pair, plan)
    totals, kept = np.zeros((2, len(items)), np.int32)
    totals[measures.index] = measures.totals
    windowed = plan.truncation is Truncation.WINDOW
    kept[alive.index] = alive.totals if windowed else sequences.lengths
    return Tokenized(sequences, totals, kept, errors)


def _measure(lengths: Lengths, index: Lengths, pair: NDArray[np.bool_], plan: Plan) -> Measures:
    special = np.where(pair[index], len(plan.pair), len(plan.single))
    room = plan.max_length - special
    texts = lengths[index].sum(axis=1)
    totals = texts + special
    if plan.truncation is not Truncation.WINDOW:
        one = np.ones_like(totals)
        return Measures(index, totals, room, np.minimum(totals, plan.max_length), one)
    windows = window_counts(texts, room, plan.stride)
    # every window after the first repeats `stride` tokens and has special tokens of its own
    sizes = totals + (windows - 1) * (plan.stride + special)
    return Measures(index, totals, room, sizes, windows)


def _length_errors(
    measures: Measures, plan: Plan, max_tokens: int
) -> Iterator[tuple[int, TriptychError]]:
    for index, _ in _where(measures.totals == 0, measures):
        field = f"inputs[{index}]"
        yield index, InvalidArgument(f"{field} has no tokens", reason=EMPTY_INPUT, field=field)
    if plan.truncation is Truncation.ERROR:
        for index, total in _where(measures.totals > plan.max_length, measures):
            yield index, _too_long(index, f"has {total} tokens", plan.max_length)
    if plan.max_windows:
        for index, _ in _where(measures.windows > plan.max_windows, measures):
            yield index, _too_many(index, plan.max_windows)
    for index, _ in _where(measures.sizes > max_tokens, measures):
        yield index, _too_long(index, "has windows of more tokens together", max_tokens)


def _where(wrong: NDArray[np.bool_], measures: Measures) -> Iterator[tuple[int, int]]:
    if wrong.any():
        yield from zip(measures.index[wrong].tolist(), measures.totals[wrong].tolist(), strict=True)


def _too_long(index: int, what: str, limit: int) -> InvalidArgument:
    field = f"inputs[{index}]"
    message = f"{field} {what}, at most {limit} are allowed"
    return InvalidArgument(message, reason=INPUT_TOO_LONG, field=field)


def _too_many(index: int, limit: int) -> InvalidArgument:
    field = f"inputs[{index}]"
    message = f"{field} needs more than {limit} windows, which is as many as are allowed"
    return InvalidArgument(message, reason=TOO_MANY_WINDOWS, field=field)


def _check_size(tokens: int, limit: int) -> None:
    if tokens > limit:
        raise PayloadTooLarge(f"the call makes {tokens} tokens, at most {limit}", field="inputs")


def _sequences(
    tokens: Tokens, cuts: Cuts, alive: Lengths, pair: NDArray[np.bool_], plan: Plan
) -> Sequences:
    item = alive[cuts.item]
    runs = lay_runs(tokens, tokens.starts[item] + cuts.starts, cuts.lengths, pair[item], plan)
    windowed = len(item) > len(alive)
    indexed = windowed or len(alive) < len(pair)
    return assemble(
        tokens,
        runs,
        plan,
        item.astype(np.int32) if indexed else None,
        cuts.starts[:, 0].astype(np.int32) if windowed else None,
    )
