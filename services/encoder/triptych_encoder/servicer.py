"""The gRPC edge of the encoder: convert, encode, convert."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

import grpc.aio
import numpy as np

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import encoder_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_encoder.admission import Admission
from triptych_encoder.dispatcher import Dispatcher
from triptych_encoder.entry import Submission
from triptych_encoder.model import EncoderModel
from triptych_encoder.request import item_errors, read_sequences
from triptych_encoder.settings import EncoderSettings
from triptych_encoder.specs import check_sizes, read_outputs
from triptych_servicekit.callers import Call, Caller, read_callers, stage_timing
from triptych_servicekit.items import write_errors
from triptych_servicekit.registry import Held, LiveRegistry
from triptych_servicekit.tensors import to_tensor


class EncoderServicer(rpc.EncoderServiceServicer):
    """Serves EncoderService."""

    def __init__(
        self,
        models: LiveRegistry[EncoderModel],
        dispatcher: Dispatcher,
        admission: Admission,
        settings: EncoderSettings,
    ) -> None:
        self._models = models
        self._dispatcher = dispatcher
        self._admission = admission
        self._settings = settings

    async def Encode(  # noqa: N802
        self,
        request: pb.EncodeRequest,
        context: grpc.aio.ServicerContext[pb.EncodeRequest, pb.EncodeResponse],
    ) -> pb.EncodeResponse:
        """Encode every sequence once and return all outputs of it."""
        async with self._models.use(request.model, context) as held:
            return await self._answer(held, request, context)

    async def _answer(
        self, held: Held[EncoderModel], request: pb.EncodeRequest, context: Call
    ) -> pb.EncodeResponse:
        timeout = self._settings.limits.default_timeout
        submission = self._read(request, held.value)
        callers = read_callers(request.contexts, len(submission.lengths), context, timeout)
        self._admit(submission, callers)
        await self._encode(held.value, submission, callers)
        return _response(held.model, submission, callers)

    def _read(self, request: pb.EncodeRequest, model: EncoderModel) -> Submission:
        limits, runtime = self._settings.limits, self._settings.runtime
        sequences = read_sequences(request.sequences, limits.max_items)
        ids, types_, lengths = sequences.input_ids, sequences.token_type_ids, sequences.lengths
        if model.type_vocab_size is None:
            types_ = None  # what the graph does not read must not tell equal sequences apart
        outputs = read_outputs(request.outputs, model, lengths, runtime.max_segments)
        check_sizes(outputs, runtime.max_token_output_bytes, limits.max_message_bytes)
        submission = Submission(ids, types_, lengths, outputs, time.monotonic())
        for index, error in item_errors(sequences, model).items():
            submission.fail(index, error)
        return submission

    def _admit(self, submission: Submission, callers: Sequence[Caller]) -> None:
        deadline = max(caller.deadline for caller in callers)
        queued, claimed = self._dispatcher.queued_tokens, self._dispatcher.claimed_tokens
        self._admission.admit(len(submission.input_ids), queued, deadline, claimed)

    async def _encode(
        self, model: EncoderModel, submission: Submission, callers: Sequence[Caller]
    ) -> None:
        entries = list(submission.entries(callers))
        self._dispatcher.submit(model.lane, entries)
        try:
            await submission.done
        except asyncio.CancelledError:
            submission.done.cancel()  # the queue drops what nobody waits for
            raise


def _response(
    model: types.ModelRef, submission: Submission, callers: Sequence[Caller]
) -> pb.EncodeResponse:
    return pb.EncodeResponse(
        model=model,
        outputs=_survivors(submission),
        errors=write_errors(submission.errors),
        timings=list(_timings(submission, callers)),
    )


def _survivors(submission: Submission) -> list[types.Tensor]:
    """The outputs without the rows of sequences that failed."""
    if not submission.errors:
        return list(map(to_tensor, submission.results))
    keep = np.ones(len(submission.lengths), bool)
    keep[list(submission.errors)] = False
    pairs = zip(submission.outputs, submission.results, strict=True)
    return [to_tensor(result[output.rows.of(keep)]) for output, result in pairs]


def _timings(submission: Submission, callers: Sequence[Caller]) -> Iterator[types.StageTiming]:
    # lists: most callers have one sequence, and numpy takes microseconds for each of them
    queue, run = submission.queue_seconds.tolist(), submission.run_seconds.tolist()
    for caller in callers:
        rows = slice(caller.start, caller.start + caller.count)
        batch_id = submission.batch_ids[rows.stop - 1] if caller.count else ""
        yield stage_timing(max(queue[rows], default=0), max(run[rows], default=0), batch_id)
