"""One cohort's way through the stages: a call to each, for all of its requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from triptych_gateway.chunk import Chunk
from triptych_gateway.cutting import weight_of
from triptych_gateway.entries import Callers, Entry, StageCall
from triptych_gateway.seams import StageSet
from triptych_gateway.tasks import Input
from triptych_gateway.work import AnswerWork, DocumentWork, EncodeWork, TokenizeResult, TokenizeWork

# Numbers of postprocess's input that weigh as much as one vector.
NUMBERS_PER_ROW: Final = 1024


@dataclass(frozen=True, slots=True)
class Ride:
    """What requests have in common that go through tokenizer and encoder together.

    Without `tokenize` they come as sequences.
    """

    tokenize: StageCall | None
    encode: StageCall
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Passenger:
    """Inputs of a request, and what postprocess is to make of them: nothing if `answer` is None.

    Instead of inputs it may have `sequences`, each of which is then one.
    """

    inputs: Sequence[Input]
    answer: StageCall | None
    sequences: EncodeWork | None = None


Entries = Sequence[Entry[Passenger, Chunk]]


class Journey:
    """See cohorts.Stages."""

    def __init__(self, stages: StageSet) -> None:
        self._stages = stages

    async def tokenize(self, ride: Ride, entries: Entries, alone: bool) -> Chunk:
        """Texts to sequences."""
        if ride.tokenize is None:
            works = [work for entry in entries if (work := entry.work.sequences) is not None]
            return Chunk.ready(entries, EncodeWork.joined(works))
        inputs = [item for entry in entries for item in entry.work.inputs]
        callers = [caller for entry in entries for caller in entry.callers]
        tokenized = await tokenize(self._stages, ride.tokenize, inputs, callers, alone)
        chunk = Chunk.of(entries, tokenized)
        chunk.keep_layout(tokenized)
        return chunk

    async def encode(self, ride: Ride, entries: Entries, chunk: Chunk, alone: bool) -> None:
        """Sequences to outputs, of those that somebody still waits for."""
        chunk.leave([index for index, entry in enumerate(entries) if entry.future.done()])
        if len(chunk):
            work = chunk.sequences
            encoded, held = await self._stages.encoder.submit(
                work, ride.encode, len(work.input_ids), chunk.living(), alone
            )
            chunk.take_outputs(ride.outputs, encoded, held)

    async def answer(self, entries: Entries, chunk: Chunk, alone: bool) -> Sequence[Chunk]:
        """Outputs to answers, where all of the requests want the same; a chunk for each."""
        call = entries[0].work.answer
        if call is not None and len(chunk) and all(entry.work.answer == call for entry in entries):
            await answer(self._stages, chunk, call, alone)
        return chunk.split()


async def tokenize(
    stages: StageSet,
    call: StageCall,
    inputs: Sequence[Input],
    callers: Callers,
    alone: bool = False,
) -> TokenizeResult:
    """Token sequences of inputs."""
    work, weight = TokenizeWork(inputs), weight_of(inputs)
    result: TokenizeResult
    result, _ = await stages.tokenizer.submit(work, call, weight, callers, alone)
    return result


async def answer(stages: StageSet, chunk: Chunk, call: StageCall, alone: bool = False) -> None:
    """What postprocess makes of a chunk."""
    work = chunk.answer_work()
    result, held = await stages.postprocess.submit(
        work, call, answer_weight(work), chunk.living(), alone
    )
    chunk.take_answer(result, held)


def answer_weight(work: AnswerWork | DocumentWork) -> int:
    """What work costs postprocess, in vectors."""
    numbers: int = sum(array.size for array in work.arrays)
    return max(work.count, numbers // NUMBERS_PER_ROW)
