"""Requests about tokens, held against the bounds."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from triptych_gateway.asking import Asking
from triptych_gateway.bounds import Names
from triptych_gateway.models.target import Target
from triptych_gateway.options import check_text
from triptych_gateway.spreading import merged, without
from triptych_gateway.tasks import Detokenized, Input, Origin, TextOptions, TokenIds, Tokens


@dataclass(frozen=True, slots=True)
class TokenGuard(Asking):
    """See guard.Guard."""

    async def tokenize(
        self,
        target: Target,
        inputs: Sequence[Input],
        names: Names,
        text: TextOptions,
        origin: Origin,
    ) -> Tokens:
        """Tokens."""
        check_text(target.model, text)
        nothing = np.empty(0, np.int32)

        def ask(to: Target, good: Sequence[Input]) -> Awaitable[Tokens]:
            return self.platform.tokenize(to.model, good, text, origin)

        empty = partial(Tokens, model=target.model, input_ids=nothing, lengths=nothing)
        return await self.each(target, inputs, names, ask, empty)

    async def detokenize(
        self,
        target: Target,
        sequences: Sequence[TokenIds],
        names: Names,
        include_special_tokens: bool,
        origin: Origin,
    ) -> Detokenized:
        """Texts."""
        refused = self.bounds.refused(target.model, sequences, names)
        good = without(sequences, refused)
        if not good:
            return Detokenized(target.model, [""] * len(sequences), refused)
        found = await self.ask(
            target,
            lambda to: self.platform.detokenize(to.model, good, include_special_tokens, origin),
        )
        texts = iter(found.texts)
        all_texts = ["" if index in refused else next(texts) for index in range(len(sequences))]
        errors = merged(refused, found.errors, len(sequences), names)
        return replace(found, texts=all_texts, errors=errors)
