"""Where a model wants its special tokens."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

PROBE = "a"

# A sequence is five runs: special tokens, the first text, special tokens, the second text, special
# tokens. These are the texts' numbers, None for special tokens.
RUNS: tuple[int | None, ...] = (None, 0, None, 1, None)


@dataclass(frozen=True, slots=True)
class Template:
    """The special tokens around one text or a pair, and the token type of each of the five runs."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    type_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)

    def without_special_tokens(self) -> "Template":
        """The same token types, nothing around the texts."""
        return replace(self, before=(), between=(), after=())

    def strip(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """A single text's ids without the special tokens, where they surround it already."""
        prefix, suffix = self.before, self.between + self.after
        stop = len(ids) - len(suffix)
        if stop < len(prefix):
            return ids
        head, tail = tuple(ids[: len(prefix)].tolist()), tuple(ids[stop:].tolist())
        return ids[len(prefix) : stop] if (head, tail) == (prefix, suffix) else ids


def read_template(tokenizer: Tokenizer, *, pair: bool) -> Template:
    """The template that a tokenizer applies, read off a probe.

    Raises ValueError where it cannot be told in five runs of one token type each.
    """
    encoding = tokenizer.encode(PROBE, PROBE if pair else None)
    tokens = deque(zip(encoding.sequence_ids, encoding.ids, encoding.type_ids, strict=True))
    runs = [list(_take(tokens, text)) for text in RUNS]
    types = [{type_id for _, type_id in run} or {0} for run in runs]
    if tokens or max(map(len, types)) > 1:
        raise ValueError("its post-processor places special tokens in a way that is not supported")
    before, _, between, _, after = (tuple(token for token, _ in run) for run in runs)
    return Template(before, between, after, tuple(type_id for (type_id,) in types))


def _take(
    tokens: deque[tuple[int | None, int, int]], text: int | None
) -> Iterator[tuple[int, int]]:
    while tokens and tokens[0][0] == text:
        _, token, type_id = tokens.popleft()
        yield token, type_id
