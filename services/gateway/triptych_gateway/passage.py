"""The way of some inputs through the stages: tokenizer → encoder → postprocess."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from triptych_bundles.manifest import Bundle
from triptych_gateway.chunk import Chunk
from triptych_gateway.columns import empty_result
from triptych_gateway.cutting import weight_of
from triptych_gateway.plan import Plan
from triptych_gateway.seams import Calls, StageSet
from triptych_gateway.tasks import Input, Origin, TextOptions, TokenIds
from triptych_gateway.work import (
    AnswerWork,
    DetokenizeResult,
    DetokenizeWork,
    TokenizeResult,
    TokenizeWork,
)

T = TypeVar("T")

# Numbers of postprocess's input that weigh as much as one vector.
NUMBERS_PER_ROW: Final = 1024


@dataclass(frozen=True, slots=True)
class Job:
    """What all chunks of a request have in common."""

    model: Bundle
    text: TextOptions
    plan: Plan
    origin: Origin


class Passage:
    """Takes chunks to the stages."""

    def __init__(self, stages: StageSet, calls: Calls) -> None:
        self.stages = stages
        self.calls = calls

    async def tokenize(
        self, model: Bundle, text: TextOptions, inputs: Sequence[Input], origin: Origin
    ) -> tuple[TokenizeResult, float]:
        """Token sequences, and the seconds that the inputs were held."""
        call = self.calls.tokenize(model, text)
        work, weight = TokenizeWork(inputs), weight_of(inputs)
        return await self.stages.tokenizer.submit(work, call, weight, origin)

    async def encode(self, job: Job, inputs: Sequence[Input]) -> Chunk:
        """The outputs that the plan names, of the inputs that have no error."""
        text = job.plan.text(job.text)
        chunk = Chunk(*await self.tokenize(job.model, text, inputs, job.origin))
        if job.plan.layout:
            chunk.keep_layout()
        if len(chunk):
            work, call = chunk.encode_work(), self.calls.encode(job.model, job.plan.outputs)
            weight = len(work.input_ids)
            chunk.take_outputs(*await self.stages.encoder.submit(work, call, weight, job.origin))
        return chunk

    async def answer(self, job: Job, inputs: Sequence[Input]) -> Chunk:
        """A result for each of the plan's tasks."""
        chunk = await self.encode(job, inputs)
        if len(chunk):
            work = chunk.answer_work()
            call = self.calls.answer(job.model, job.plan.tasks, job.plan.inputs)
            chunk.take_answer(
                *await self.stages.postprocess.submit(work, call, _weight(work), job.origin)
            )
        else:
            chunk.results = [empty_result(job.model, task) for task in job.plan.tasks]
        return chunk

    async def detokenize(
        self,
        model: Bundle,
        sequences: Sequence[TokenIds],
        include_special_tokens: bool,
        origin: Origin,
    ) -> DetokenizeResult:
        """Texts."""
        lengths = np.array([len(sequence.ids) for sequence in sequences], np.int32)
        ids = np.concatenate([np.asarray(sequence.ids, np.int32) for sequence in sequences])
        call = self.calls.detokenize(model, include_special_tokens)
        result: DetokenizeResult
        result, _ = await self.stages.tokenizer.submit(
            DetokenizeWork(ids, lengths), call, weight_of(sequences), origin
        )
        return result


def _weight(work: AnswerWork) -> int:
    """What work costs postprocess, in vectors."""
    numbers = sum(array.size for array in work.arrays)
    return max(work.count, numbers // NUMBERS_PER_ROW)
