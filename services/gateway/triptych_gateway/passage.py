"""The way of a request's inputs through the stages: with whoever goes the same way at that time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych_bundles.manifest import Bundle
from triptych_gateway.chunk import Chunk
from triptych_gateway.cohorts import Cohorts
from triptych_gateway.columns import empty_result
from triptych_gateway.cutting import ride_weight, weight_of
from triptych_gateway.entries import StageCall, Window
from triptych_gateway.journey import Journey, Passenger, Ride, answer, tokenize
from triptych_gateway.models.background import ranked
from triptych_gateway.plan import Plan
from triptych_gateway.seams import Calls, StageSet
from triptych_gateway.tasks import Input, Origin, TextOptions, TokenIds
from triptych_gateway.work import (
    DetokenizeResult,
    DetokenizeWork,
    EncodeWork,
    TokenizeResult,
)


@dataclass(frozen=True, slots=True)
class Job:
    """What all chunks of a request have in common."""

    model: Bundle
    text: TextOptions
    plan: Plan
    origin: Origin


class Passage:
    """Takes inputs to the stages."""

    def __init__(self, stages: StageSet, calls: Calls, window: Window) -> None:
        self.stages = stages
        self.calls = calls
        self.cohorts = Cohorts(Journey(stages), window, stages.encoder.replicas)

    async def encode(self, job: Job, inputs: Sequence[Input]) -> Chunk:
        """The outputs that the plan names, of the inputs that have no error."""
        return await self._ride(job, inputs, None)

    async def answer(self, job: Job, inputs: Sequence[Input]) -> Chunk:
        """A result for each of the plan's tasks."""
        plan = job.plan
        call = self.calls.answer(job.model, plan.tasks, plan.inputs)
        chunk = await self._ride(job, inputs, call)
        if chunk.results is None and len(chunk):
            await answer(self.stages, chunk, call)  # others of the cohort want other things
        if chunk.results is None:
            chunk.results = [empty_result(job.model, task) for task in plan.tasks]
        return chunk

    async def encode_sequences(
        self, job: Job, outputs: tuple[str, ...], sequences: EncodeWork, weight: int
    ) -> Chunk:
        """Outputs of what has been tokenized, an input for each of the sequences."""
        ride = Ride(None, self.calls.encode(job.model, outputs), outputs)
        chunk: Chunk = await self.cohorts.submit(
            Passenger((), None, sequences), ride, weight, len(sequences.lengths), job.origin
        )
        return chunk

    async def tokenize(
        self, model: Bundle, text: TextOptions, inputs: Sequence[Input], origin: Origin
    ) -> TokenizeResult:
        """Token sequences."""
        callers = [(ranked(origin), len(inputs))]
        return await tokenize(self.stages, self.calls.tokenize(model, text), inputs, callers)

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
        work, callers = DetokenizeWork(ids, lengths), [(ranked(origin), len(sequences))]
        call = self.calls.detokenize(model, include_special_tokens)
        result: DetokenizeResult
        result, _ = await self.stages.tokenizer.submit(work, call, weight_of(sequences), callers)
        return result

    async def _ride(self, job: Job, inputs: Sequence[Input], call: StageCall | None) -> Chunk:
        model, plan = job.model, job.plan
        ride = Ride(
            self.calls.tokenize(model, plan.text(job.text)),
            self.calls.encode(model, plan.outputs),
            plan.outputs,
        )
        weight = ride_weight(inputs, model.max_length, plan.numbers())
        chunk: Chunk = await self.cohorts.submit(
            Passenger(inputs, call), ride, weight, len(inputs), job.origin
        )
        return chunk
