"""The whole platform in one process, by arithmetic: for tests and for measuring the edges alone.

A character is a token, its id the code point after three special ones. The vector of a token is a
row of a table of small whole numbers, so that every embedding can be checked by hand.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import BaseModel, Bundle, GoldenRecord
from triptych_gateway.catalog import Catalog
from triptych_gateway.local_tokens import VOCAB_SIZE, Sequenced, decode, tokenize
from triptych_gateway.tasks import (
    Detokenized,
    Embedded,
    EmbedOptions,
    Input,
    Origin,
    Pair,
    Similarities,
    TextOptions,
    Timing,
    TokenIds,
    Tokens,
    Usage,
)
from triptych_servicekit.errors import DeadlineExceeded, Overloaded, TriptychError, Unavailable

TABLE_ROWS: Final = 64


def local_bundle(name: str = "local", version: str = "1", dimensions: int = 384) -> Bundle:
    """A model for LocalPlatform, with a prompt called "query" and 256 tokens at most."""
    return Bundle(
        path=Path(),
        name=name,
        version=version,
        digest=f"{name}@{version}".encode().hex().ljust(64, "0"),
        created=1_700_000_000,
        task="embed",
        architecture="arithmetic",
        pooling="mean",
        normalize=True,
        max_length=256,
        hidden_size=dimensions,
        vocab_size=VOCAB_SIZE,
        prompts={"query": "query: "},
        outputs=(),
        graphs={},
        base=BaseModel("arithmetic", "apache-2.0", ""),
        golden=GoldenRecord("", "", "", 1.0),
        recipe="",
        files={},
    )


def token_vectors(ids: Sequence[int], dimensions: int) -> NDArray[np.float32]:
    """Row t, column d: ((id + 1) * (d + 1)) % 31 - 15, the id taken modulo TABLE_ROWS."""
    return _table(dimensions)[[number % TABLE_ROWS for number in ids]]


class LocalPlatform:
    """A Platform without stages.

    It takes `seconds_per_token` over its answers, is full at `max_concurrent` requests, and cannot
    be reached while `problems` says why.
    """

    def __init__(
        self,
        bundles: Sequence[Bundle],
        *,
        max_concurrent: int = 4096,
        seconds_per_token: float = 0.0,
    ) -> None:
        self.catalog = Catalog(bundles)
        self.problems: list[str] = []
        self.in_progress = 0
        self.cancelled = 0
        self._max_concurrent = max_concurrent
        self._seconds_per_token = seconds_per_token

    def unready(self) -> Sequence[str]:
        """The problems."""
        return self.problems

    async def embed(
        self,
        model: Bundle,
        inputs: Sequence[Input],
        text: TextOptions,
        options: EmbedOptions,
        origin: Origin,
    ) -> Embedded:
        """Embeddings of the inputs that tokenize."""
        done = [tokenize(model, item, text) for item in inputs]
        timing = await self._work(done, origin)
        rows = [_embed(model, item.ids, options) for item in done if item.error is None]
        width = options.dimensions or model.hidden_size
        stacked = np.stack(rows) if rows else np.empty((0, width), options.dtype)
        return Embedded(model, stacked, _usage(done), _errors(done), timing)

    async def similarity(
        self, model: Bundle, pairs: Sequence[Pair], text: TextOptions, origin: Origin
    ) -> Similarities:
        """Cosines of the pairs whose texts both tokenize."""
        distinct = list(dict.fromkeys(side for pair in pairs for side in (pair.first, pair.second)))
        done = [tokenize(model, item, text) for item in distinct]
        timing = await self._work(done, origin)
        by_text = dict(zip(distinct, done, strict=True))
        scores, errors = [], {}
        for index, pair in enumerate(pairs):
            first, second = by_text[pair.first], by_text[pair.second]
            error = first.error or second.error
            if error:
                errors[index] = error
            else:
                scores.append(_cosine(model, first.ids, second.ids))
        return Similarities(model, np.array(scores, np.float32), _usage(done), errors, timing)

    async def tokenize(
        self, model: Bundle, inputs: Sequence[Input], text: TextOptions, origin: Origin
    ) -> Tokens:
        """Tokens of the inputs that are not too long."""
        done = [tokenize(model, item, text) for item in inputs]
        timing = await self._work(done, origin)
        good = [item for item in done if item.error is None]
        places = [place for item in good for place in item.places()]
        offsets = [(place.start, place.end) for place in places]
        return Tokens(
            model,
            _column([number for item in good for number in item.ids]),
            _column([len(item.ids) for item in good]),
            _usage(done),
            _column([place.type_id for place in places]),
            _column(offsets).reshape(-1, 2) if text.layout else None,
            _column([place.special for place in places]) if text.layout else None,
            _errors(done),
            timing,
        )

    async def detokenize(
        self,
        model: Bundle,
        sequences: Sequence[TokenIds],
        include_special_tokens: bool,
        origin: Origin,
    ) -> Detokenized:
        """The characters behind the ids."""
        timing = await self._work([], origin)
        texts = [decode(sequence.ids, include_special_tokens) for sequence in sequences]
        return Detokenized(model, texts, {}, timing)

    async def _work(self, done: Sequence[Sequenced], origin: Origin) -> Timing:
        """Take the time that so many tokens take, or fail as a real platform would."""
        if self.problems:
            raise Unavailable("the platform is starting or stopping", retry_after=1.0)
        if self.in_progress >= self._max_concurrent:
            message = f"{self._max_concurrent} requests are in progress"
            raise Overloaded(message, retry_after=0.5)
        seconds = self._seconds_per_token * sum(len(item.ids) for item in done)
        left = origin.deadline - time.monotonic()
        self.in_progress += 1
        try:
            if seconds:
                await asyncio.sleep(max(0.0, min(seconds, left)))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_progress -= 1
        if seconds >= left:
            raise DeadlineExceeded("the request's time ended before its answer was ready")
        return Timing(encode=seconds)


_TABLES: Final[dict[int, NDArray[np.float32]]] = {}


def _table(dimensions: int) -> NDArray[np.float32]:
    if dimensions not in _TABLES:
        products = np.outer(np.arange(1, TABLE_ROWS + 1), np.arange(1, dimensions + 1))
        _TABLES[dimensions] = (products % 31 - 15).astype(np.float32)
    return _TABLES[dimensions]


def _embed(model: Bundle, ids: Sequence[int], options: EmbedOptions) -> NDArray[Any]:
    vector = _pool(model, ids, options.pooling or model.pooling)
    vector = vector[: options.dimensions or None]
    normalize = model.normalize if options.normalize is None else options.normalize
    if normalize:
        vector = vector / math.sqrt(vector @ vector)
    return vector.astype(options.dtype, copy=False)


def _pool(model: Bundle, ids: Sequence[int], pooling: str) -> NDArray[np.float32]:
    if pooling == "mean":
        total: NDArray[np.float32] = token_vectors(ids, model.hidden_size).sum(axis=0)
        return total / np.float32(len(ids))
    return token_vectors(ids[:1] if pooling == "cls" else ids[-1:], model.hidden_size).ravel()


def _cosine(model: Bundle, first: Sequence[int], second: Sequence[int]) -> float:
    options = EmbedOptions(normalize=True)
    return float(_embed(model, first, options) @ _embed(model, second, options))


def _usage(done: Sequence[Sequenced]) -> Usage:
    total = np.array([item.total for item in done], np.int32)
    return Usage(total, np.array([len(item.ids) for item in done], np.int32))


def _errors(done: Sequence[Sequenced]) -> dict[int, TriptychError]:
    return {index: item.error for index, item in enumerate(done) if item.error is not None}


def _column(values: Sequence[Any]) -> NDArray[np.int32]:
    return np.array(values, np.int32)
