"""Tokens beside the pieces of text that they stand for."""

from collections.abc import Iterator, Sequence

import numpy as np

from triptych_gateway.routes.answers import Entry
from triptych_gateway.tasks import Input, Pair, TokenIds, Tokens


def token_entries(found: Tokens, inputs: Sequence[Input]) -> Iterator[Entry]:
    """An entry for each input without error."""
    ends = np.cumsum(found.lengths)
    good = [index for index in range(len(inputs)) if index not in found.errors]
    truncated = found.usage.truncated
    for index, length, end in zip(good, found.lengths, ends, strict=True):
        run = slice(int(end - length), int(end))
        yield {
            "input_ids": found.input_ids[run],
            "tokens": list(_tokens(found, run, inputs[index])),
            "truncated": bool(truncated[index]),
            "total_tokens": int(found.usage.total_tokens[index]),
        }


def _tokens(found: Tokens, run: slice, item: Input) -> Iterator[Entry]:
    assert found.offsets is not None  # noqa: S101 (asked for by `layout`)
    assert found.special_tokens_mask is not None  # noqa: S101 (the same)
    ids = found.input_ids[run].tolist()
    places = found.offsets[run].tolist()
    special = found.special_tokens_mask[run].tolist()
    types = [0] * len(ids) if found.token_type_ids is None else found.token_type_ids[run].tolist()
    for number, (start, end), mark, type_id in zip(ids, places, special, types, strict=True):
        piece = None if mark else _piece(item, type_id, start, end)
        yield {"id": number, "text": piece, "start": start, "end": end, "special": bool(mark)}


def _piece(item: Input, type_id: int, start: int, end: int) -> str | None:
    if isinstance(item, TokenIds):
        return None
    if isinstance(item, Pair):
        item = item.second if type_id else item.first
    return item[start:end]
