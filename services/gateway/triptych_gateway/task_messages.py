"""GatewayService's messages of classes, entities, rankings and several tasks to tasks and back."""

from collections.abc import Mapping, Sequence
from typing import Final

from triptych.v1 import gateway_service_pb2 as pb
from triptych.v1 import postprocess_service_pb2 as postprocess
from triptych.v1 import tokenizer_service_pb2 as tokenizer
from triptych_gateway.messages import (
    answer_fields,
    read_embed_options,
    read_inputs,
    unknown,
)
from triptych_gateway.tasks import (
    Aggregation,
    Analyzed,
    Classes,
    Classified,
    ClassifyOptions,
    Entities,
    Input,
    Ranked,
    Ranking,
    RankOptions,
    Tagged,
    TagOptions,
    TaskOptions,
    TaskResult,
    WindowAggregation,
)
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.tensors import to_tensor

AGGREGATIONS: Final[Mapping[int, Aggregation]] = {
    postprocess.AGGREGATION_UNSPECIFIED: "simple",
    postprocess.AGGREGATION_NONE: "none",
    postprocess.AGGREGATION_SIMPLE: "simple",
    postprocess.AGGREGATION_FIRST: "first",
    postprocess.AGGREGATION_AVERAGE: "average",
    postprocess.AGGREGATION_MAX: "max",
}
WINDOWS: Final[Mapping[int, WindowAggregation]] = {
    postprocess.WINDOW_AGGREGATION_UNSPECIFIED: "mean",
    postprocess.WINDOW_AGGREGATION_MEAN: "mean",
    postprocess.WINDOW_AGGREGATION_MAX: "max",
}
DEFAULT_IGNORED: Final = ("O",)


def read_texts(
    inputs: Sequence[tokenizer.TokenizeInput], task: str = "find entities in"
) -> list[str]:
    """The items, of which only texts will do. Raises InvalidArgument for any other."""
    for index, item in enumerate(inputs):
        if item.WhichOneof("input") != "text":
            field = f"inputs[{index}]"
            raise InvalidArgument(f"{field} must be a text to {task}", field=field)
    return [item.text for item in inputs]


def read_analyze_inputs(
    inputs: Sequence[tokenizer.TokenizeInput], tasks: Sequence[TaskOptions]
) -> Sequence[Input]:
    """The items; only texts where a task is to tag."""
    tagging = any(isinstance(task, TagOptions) for task in tasks)
    return read_texts(inputs) if tagging else read_inputs(inputs)


def read_classify_options(
    options: postprocess.ClassifyOptions, field: str = "options"
) -> ClassifyOptions:
    """How classes are chosen."""
    windows = WINDOWS.get(options.window_aggregation)
    if windows is None:
        raise unknown(f"{field}.window_aggregation")
    return ClassifyOptions(options.head, options.top_k, options.raw_scores, windows)


def read_tag_options(options: postprocess.TagOptions, field: str = "options") -> TagOptions:
    """How entities are found. A graph has one token head at most: naming another is an error."""
    if options.head:
        raise InvalidArgument(
            f"{field}.head: a model has one token head, leave it empty", field=f"{field}.head"
        )
    aggregation = AGGREGATIONS.get(options.aggregation)
    if aggregation is None:
        raise unknown(f"{field}.aggregation")
    return TagOptions(aggregation, tuple(options.ignore_labels) or DEFAULT_IGNORED)


def read_ranking(request: pb.RankRequest) -> Ranking:
    """What to rank."""
    options = RankOptions(request.top_n, request.raw_scores)
    return Ranking(request.query, list(request.documents), options)


def read_tasks(tasks: Sequence[postprocess.AnalyzeTask]) -> list[TaskOptions]:
    """The tasks. Raises InvalidArgument for one that is not set."""
    return [_task(task, f"tasks[{index}]") for index, task in enumerate(tasks)]


def _task(task: postprocess.AnalyzeTask, field: str) -> TaskOptions:
    match task.WhichOneof("task"):
        case "embed":
            return read_embed_options(task.embed, task.pooling, f"{field}.")
        case "classify":
            return read_classify_options(task.classify, f"{field}.classify")
        case "tag":
            return read_tag_options(task.tag, f"{field}.tag")
        case _:
            raise InvalidArgument(f"{field} is not set", field=field)


def classify_response(found: Classified, elapsed: float) -> pb.ClassifyResponse:
    """The answer of Classify."""
    return pb.ClassifyResponse(result=_classes(found.classes), **answer_fields(found, elapsed))


def tag_response(found: Tagged, elapsed: float) -> pb.TagTokensResponse:
    """The answer of TagTokens."""
    return pb.TagTokensResponse(result=_entities(found.entities), **answer_fields(found, elapsed))


def rank_response(found: Ranked, request: pb.RankRequest, elapsed: float) -> pb.RankResponse:
    """The answer of Rank."""
    index = found.document_index
    texts = [request.documents[row] for row in index.tolist()] if request.return_documents else []
    return pb.RankResponse(
        result=postprocess.RankResult(
            query_index=to_tensor(index * 0),
            document_index=to_tensor(index),
            score=to_tensor(found.scores),
        ),
        documents=texts,
        **answer_fields(found, elapsed),
    )


def analyze_response(found: Analyzed, elapsed: float) -> pb.AnalyzeResponse:
    """The answer of Analyze."""
    return pb.AnalyzeResponse(results=map(_result, found.results), **answer_fields(found, elapsed))


def _result(result: TaskResult) -> postprocess.AnalyzeResult:
    if isinstance(result, Classes):
        return postprocess.AnalyzeResult(classify=_classes(result))
    if isinstance(result, Entities):
        return postprocess.AnalyzeResult(tag=_entities(result))
    embeddings = postprocess.EmbedResult(embeddings=to_tensor(result))
    return postprocess.AnalyzeResult(embed=embeddings)


def _classes(classes: Classes) -> postprocess.ClassifyResult:
    return postprocess.ClassifyResult(
        label_ids=to_tensor(classes.label_ids),
        scores=to_tensor(classes.scores),
        labels=classes.labels,
    )


def _entities(entities: Entities) -> postprocess.TagResult:
    return postprocess.TagResult(
        item_index=to_tensor(entities.item_index),
        start=to_tensor(entities.start),
        end=to_tensor(entities.end),
        label_id=to_tensor(entities.label_id),
        score=to_tensor(entities.score),
        labels=entities.labels,
        texts=entities.texts,
    )
