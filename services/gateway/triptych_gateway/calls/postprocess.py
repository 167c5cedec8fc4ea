"""Calls of postprocess that make an answer of every item."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_gateway.calls.options import (
    analyze_task,
    classify_options,
    embed_options,
    tag_options,
)
from triptych_gateway.calls.sharing import (
    Entries,
    contexts,
    invoke,
    split_errors,
    stage_times,
    surviving,
)
from triptych_gateway.columns import divide, join
from triptych_gateway.layout import Ints, Layout
from triptych_gateway.tasks import (
    Classes,
    Classify,
    EmbedOptions,
    Entities,
    TagOptions,
    Task,
    TaskResult,
)
from triptych_gateway.work import AnswerResult
from triptych_servicekit.tensors import DTYPES, FLOATS, INT32, from_tensor, to_tensor


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """Makes embeddings of AnswerWorks' pooled vectors."""

    digest: str
    task: EmbedOptions

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[AnswerResult]:
        """Embeddings of each entry."""
        request = pb.PostprocessServiceEmbedRequest(
            model=types.ModelRef(digest=self.digest),
            vectors=_arrays(entries)[0],
            options=embed_options(self.task),
            contexts=contexts(entries),
        )
        response = await invoke(replica.stub.Embed, request, entries)
        return _divided(response, [_embeddings(response.result)], entries)


@dataclass(frozen=True, slots=True)
class ClassifyCall:
    """Makes classes of AnswerWorks' pooled vectors or logits."""

    digest: str
    task: Classify

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[AnswerResult]:
        """Classes of each entry."""
        request = pb.PostprocessServiceClassifyRequest(
            model=types.ModelRef(digest=self.digest),
            inputs=_arrays(entries)[0],
            options=classify_options(self.task),
            contexts=contexts(entries),
        )
        response = await invoke(replica.stub.Classify, request, entries)
        return _divided(response, [_classes(response.result)], entries)


@dataclass(frozen=True, slots=True)
class TagCall:
    """Makes entities of AnswerWorks' logits and layouts."""

    digest: str
    task: TagOptions

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[AnswerResult]:
        """Entities of each entry."""
        request = pb.PostprocessServiceTagTokensRequest(
            model=types.ModelRef(digest=self.digest),
            logits=_arrays(entries)[0],
            sequences=layout_of(entries),
            options=tag_options(self.task),
            contexts=contexts(entries),
        )
        response = await invoke(replica.stub.TagTokens, request, entries)
        return _divided(response, [_entities(response.result)], entries)


@dataclass(frozen=True, slots=True)
class AnalyzeCall:
    """Does several tasks on AnswerWorks; each goes with the index of the array that it reads."""

    digest: str
    tasks: tuple[tuple[Task, int], ...]

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[AnswerResult]:
        """A result for each task of each entry."""
        return await analyze(replica, self.digest, self.tasks, entries, layout_of(entries))


async def analyze(
    replica: Any,
    digest: str,
    tasks: Sequence[tuple[Task, int]],
    entries: Entries,
    sequences: types.SequenceBatch | None,
) -> Sequence[AnswerResult]:
    """Results of several tasks for each entry; `sequences` say where its tokens or windows are."""
    request = pb.PostprocessServiceAnalyzeRequest(
        model=types.ModelRef(digest=digest),
        inputs=_arrays(entries),
        sequences=sequences,
        tasks=[analyze_task(*task) for task in tasks],
        contexts=contexts(entries),
    )
    response = await invoke(replica.stub.Analyze, request, entries)
    return _divided(response, list(map(_result, response.results)), entries)


def _counts(entries: Entries) -> list[int]:
    return [entry.work.count for entry in entries]


def _arrays(entries: Entries) -> list[types.Tensor]:
    """The arrays of all entries, one tensor for each output of the encoder."""
    columns = zip(*(entry.work.arrays for entry in entries), strict=True)
    return [to_tensor(join(arrays)) for arrays in columns]


def layout_of(entries: Entries) -> types.SequenceBatch | None:
    """The layouts of all entries; None where no task reads them. Sequence s is item s."""
    layouts: list[Layout] = [entry.work.layout for entry in entries if entry.work.layout]
    if not layouts:
        return None
    names = ("lengths", "offsets", "word_ids", "special_tokens_mask")
    columns = {
        name: to_tensor(join([getattr(layout, name) for layout in layouts])) for name in names
    }
    return types.SequenceBatch(**columns)


def _divided(response: Any, results: Sequence[TaskResult], entries: Entries) -> list[AnswerResult]:
    """Each entry's part of every result."""
    counts = _counts(entries)
    errors = split_errors(response.errors, counts)
    living = surviving(counts, errors)
    parts = zip(*(divide(result, counts, living) for result in results), strict=True)
    times = stage_times(response.timings, entries)
    return [AnswerResult(*part) for part in zip(parts, errors, times, strict=True)]


def _result(message: pb.AnalyzeResult) -> TaskResult:
    match message.WhichOneof("result"):
        case "classify":
            return _classes(message.classify)
        case "tag":
            return _entities(message.tag)
        case _:
            return _embeddings(message.embed)


def _embeddings(message: pb.EmbedResult) -> TaskResult:
    return from_tensor(message.embeddings, "embeddings", dtypes=DTYPES, dimensions=(2,))


def _classes(message: pb.ClassifyResult) -> Classes:
    ids = from_tensor(message.label_ids, "label_ids", dtypes=INT32, dimensions=(2,))
    scores = from_tensor(message.scores, "scores", dtypes=FLOATS, dimensions=(2,))
    return Classes(ids, scores, tuple(message.labels))


def _entities(message: pb.TagResult) -> Entities:
    return Entities(
        _ints(message.item_index, "item_index"),
        _ints(message.start, "start"),
        _ints(message.end, "end"),
        _ints(message.label_id, "label_id"),
        from_tensor(message.score, "score", dtypes=FLOATS, dimensions=(1,)),
        tuple(message.labels),
    )


def _ints(tensor: types.Tensor, name: str) -> Ints:
    return from_tensor(tensor, name, dtypes=INT32, dimensions=(1,))
