"""TagTokens: logits of tokens and where these stand."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_postprocess.entities import Entities
from triptych_postprocess.layout import Layout, Sequences
from triptych_postprocess.loading import PostprocessModel
from triptych_postprocess.outcome import Job
from triptych_postprocess.tagging import Aggregation, TagOptions, tag
from triptych_postprocess.tags import TagScheme
from triptych_postprocess.windows import group_windows
from triptych_postprocess.wire.columns import Rows, optional, read_column, read_rows
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.items import check_count
from triptych_servicekit.tensors import INT32, from_tensor, to_tensor

AGGREGATIONS: Final = {
    pb.AGGREGATION_UNSPECIFIED: Aggregation.SIMPLE,
    pb.AGGREGATION_NONE: Aggregation.NONE,
    pb.AGGREGATION_SIMPLE: Aggregation.SIMPLE,
    pb.AGGREGATION_FIRST: Aggregation.FIRST,
    pb.AGGREGATION_AVERAGE: Aggregation.AVERAGE,
    pb.AGGREGATION_MAX: Aggregation.MAX,
}
BY_WORD: Final = (Aggregation.FIRST, Aggregation.AVERAGE, Aggregation.MAX)
# An entity in an answer: four integers and a score.
BYTES_OF_AN_ENTITY: Final = 20
# Exponential and comparisons of a logit, and the bookkeeping of a token, take the time in which so
# many bytes of vectors are scaled.
WORK_OF_A_LOGIT: Final = 20
WORK_OF_A_TOKEN: Final = 200
# The label that says of a token that it is in no entity.
OUTSIDE: Final = "O"


def read_tag(
    request: pb.PostprocessServiceTagTokensRequest,
    scheme: TagScheme,
    options: TagOptions,
    max_items: int,
    max_tokens: int,
) -> Job[Entities]:
    """The work of a TagTokens request. Raises InvalidArgument."""
    logits = read_rows(request.logits, "logits", len(scheme.labels), max_tokens)
    sequences = read_sequences(request.sequences, max_items)
    return tag_job(logits, request.sequences, sequences, scheme, options)


def scheme_of(model: PostprocessModel) -> TagScheme:
    """What the classes of a model's tokens mean. Raises InvalidArgument where it has none."""
    if model.tags is None:
        message = f"{model.bundle.identity} has no classes of tokens"
        raise InvalidArgument(message, field="model")
    return model.tags


def read_tag_options(options: pb.TagOptions, field: str) -> TagOptions:
    """Options; `field` is their place. Raises InvalidArgument."""
    if options.head:
        # a graph has one output of token logits, so there is nothing to choose between
        message = f"{field}.head must be empty: a model has one head for tokens at most"
        raise InvalidArgument(message, field=f"{field}.head")
    if options.aggregation not in AGGREGATIONS:
        name = f"{field}.aggregation"
        raise InvalidArgument(f"{name} {options.aggregation} is unknown", field=name)
    ignore = frozenset(options.ignore_labels) or frozenset((OUTSIDE,))
    return TagOptions(AGGREGATIONS[options.aggregation], ignore)


def read_sequences(batch: types.SequenceBatch, max_items: int) -> Sequences:
    """Lengths of the sequences, and their items. Raises InvalidArgument."""
    field = "sequences.lengths"
    lengths = read_column(batch.lengths, field)
    check_count(len(lengths), max_items, field)
    if lengths.min() < 1:
        raise InvalidArgument(f"{field} must be positive", field=field)
    field = "sequences.item_index"
    index = optional(batch, "item_index", partial(read_column, field=field, count=len(lengths)))
    if index is None:
        index = np.arange(len(lengths), dtype=np.int32)
    group_windows(index, lengths, field)
    field = "sequences.window_start"
    start = optional(batch, "window_start", partial(read_column, field=field, count=len(lengths)))
    wide = None if start is None else start.astype(np.int64)
    return Sequences(lengths, index.astype(np.int64), wide)


def tag_job(
    logits: Rows,
    batch: types.SequenceBatch,
    sequences: Sequences,
    scheme: TagScheme,
    options: TagOptions,
) -> Job[Entities]:
    """The work of finding entities. Raises InvalidArgument."""
    layout = _read_layout(batch, sequences, len(logits), options.aggregation)
    size = len(logits) * (len(scheme.labels) * WORK_OF_A_LOGIT + WORK_OF_A_TOKEN)
    output = len(logits) * BYTES_OF_AN_ENTITY
    return Job(sequences.items, size, output, partial(tag, logits, layout, scheme, options))


def write_entities(labels: Sequence[str], entities: Entities) -> pb.TagResult:
    """The answer to TagTokens."""
    return pb.TagResult(
        item_index=to_tensor(entities.item_index),
        start=to_tensor(entities.start),
        end=to_tensor(entities.end),
        label_id=to_tensor(entities.label_id),
        score=to_tensor(entities.score),
        labels=labels,
    )


def _read_layout(
    batch: types.SequenceBatch, sequences: Sequences, tokens: int, aggregation: Aggregation
) -> Layout:
    total = int(sequences.lengths.sum(dtype=np.int64))
    if total != tokens:
        message = f"sequences.lengths add up to {total}, logits have {tokens} rows"
        raise InvalidArgument(message, field="sequences.lengths")
    field = "sequences.offsets"
    offsets = from_tensor(batch.offsets, field, dtypes=INT32, dimensions=(2,))
    if offsets.shape != (tokens, 2):
        raise InvalidArgument(f"{field} must be [{tokens}, 2]", field=f"{field}.shape")
    mask = read_column(batch.special_tokens_mask, "sequences.special_tokens_mask", tokens)
    field = "sequences.word_ids"
    words = optional(batch, "word_ids", partial(read_column, field=field, count=tokens))
    if words is None and aggregation in BY_WORD:
        raise InvalidArgument(f"{field} is needed for this aggregation", field=field)
    layout = Layout(sequences, offsets, mask != 0, words)
    _check_windows(layout)
    return layout


def _check_windows(layout: Layout) -> None:
    if not layout.sequences.windowed:
        return
    field, spans = "sequences.window_start", layout.spans
    if spans is None:
        raise InvalidArgument(f"{field} is needed where items have several windows", field=field)
    if not spans.closed():
        message = f"{field} must begin with 0 in every item, and leave no token between windows out"
        raise InvalidArgument(message, field=field)
