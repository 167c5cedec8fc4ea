"""The gRPC edge of the tokenizer: convert, tokenize, convert."""

from collections.abc import Sequence
from typing import Any

import grpc.aio

from triptych.v1 import tokenizer_service_pb2 as pb
from triptych.v1 import tokenizer_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_servicekit.callers import Caller, read_callers
from triptych_servicekit.errors import TriptychError
from triptych_servicekit.groups import Limits
from triptych_servicekit.items import check_count, write_errors
from triptych_servicekit.registry import Held, LiveRegistry
from triptych_servicekit.tensors import to_tensor
from triptych_tokenizer.engine import Engine
from triptych_tokenizer.model import ModelTokenizer
from triptych_tokenizer.wire import (
    read_items,
    read_options,
    read_sequences,
    write_sequences,
    write_timings,
)

Context = grpc.aio.ServicerContext[Any, Any]


class TokenizerServicer(rpc.TokenizerServiceServicer):
    """Serves TokenizerService."""

    def __init__(
        self, models: LiveRegistry[ModelTokenizer], engine: Engine, limits: Limits
    ) -> None:
        self._models = models
        self._engine = engine
        self._limits = limits

    async def Tokenize(  # noqa: N802
        self, request: pb.TokenizeRequest, context: Context
    ) -> pb.TokenizeResponse:
        """Token sequences of every item that can be tokenized."""
        async with self._models.use(request.model, context) as held:
            return await self._tokenize(held, request, context)

    async def _tokenize(
        self, held: Held[ModelTokenizer], request: pb.TokenizeRequest, context: Context
    ) -> pb.TokenizeResponse:
        check_count(len(request.inputs), self._limits.max_items, "inputs")
        callers = self._callers(request.contexts, len(request.inputs), context)
        items, options = read_items(request.inputs), read_options(request.options)
        result, times = await self._engine.tokenize(held.value, items, options, callers)
        return pb.TokenizeResponse(
            model=held.model,
            sequences=write_sequences(result.sequences),
            total_tokens=to_tensor(result.total_tokens),
            kept_tokens=to_tensor(result.kept_tokens),
            errors=write_errors(result.errors),
            timings=write_timings(times),
        )

    async def Detokenize(  # noqa: N802
        self, request: pb.DetokenizeRequest, context: Context
    ) -> pb.DetokenizeResponse:
        """The text of every sequence that can be decoded."""
        async with self._models.use(request.model, context) as held:
            return await self._detokenize(held, request, context)

    async def _detokenize(
        self, held: Held[ModelTokenizer], request: pb.DetokenizeRequest, context: Context
    ) -> pb.DetokenizeResponse:
        vocab_size = held.value.vocabulary.vocab_size
        sequences = read_sequences(request.sequences, self._limits.max_items, vocab_size)
        callers = self._callers(request.contexts, len(sequences), context)
        texts, times = await self._engine.detokenize(
            held.value, sequences, request.include_special_tokens, callers
        )
        failed = {i: text for i, text in enumerate(texts) if isinstance(text, TriptychError)}
        return pb.DetokenizeResponse(
            model=held.model,
            texts=[text if isinstance(text, str) else "" for text in texts],
            errors=write_errors(failed),
            timings=write_timings(times),
        )

    def _callers(
        self, contexts: Sequence[types.CallContext], count: int, context: Context
    ) -> tuple[Caller, ...]:
        return read_callers(contexts, count, context, self._limits.default_timeout)
