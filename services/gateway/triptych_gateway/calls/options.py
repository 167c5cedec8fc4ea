"""The options of postprocess's tasks, as its messages have them."""

from typing import Final

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_gateway.tasks import Classify, EmbedOptions, TagOptions, Task

NUMBERS: Final = {
    "float32": types.DATA_TYPE_FLOAT32,
    "float16": types.DATA_TYPE_FLOAT16,
    "int8": types.DATA_TYPE_INT8,
    "uint8": types.DATA_TYPE_UINT8,
}
AGGREGATIONS: Final = {
    "none": pb.AGGREGATION_NONE,
    "simple": pb.AGGREGATION_SIMPLE,
    "first": pb.AGGREGATION_FIRST,
    "average": pb.AGGREGATION_AVERAGE,
    "max": pb.AGGREGATION_MAX,
}
WINDOWS: Final = {
    "mean": pb.WINDOW_AGGREGATION_MEAN,
    "max": pb.WINDOW_AGGREGATION_MAX,
}
# An empty list stands for the default; no label is called this.
NO_LABEL: Final = ("",)


def embed_options(task: EmbedOptions) -> pb.EmbedOptions:
    """How vectors become embeddings."""
    options = pb.EmbedOptions(dimensions=task.dimensions, dtype=NUMBERS[task.dtype])
    if task.normalize is not None:
        options.normalize = task.normalize
    return options


def classify_options(task: Classify) -> pb.ClassifyOptions:
    """How classes are chosen; a head is named by its digest."""
    return pb.ClassifyOptions(
        head=task.head.digest,
        top_k=task.top_k,
        raw_scores=task.raw_scores,
        window_aggregation=WINDOWS[task.windows],
    )


def tag_options(task: TagOptions) -> pb.TagOptions:
    """How tags become entities."""
    return pb.TagOptions(
        aggregation=AGGREGATIONS[task.aggregation],
        ignore_labels=task.ignore_labels or NO_LABEL,
    )


def analyze_task(task: Task, input_index: int) -> pb.AnalyzeTask:
    """One of several tasks, and which of the encoder's outputs it reads."""
    if isinstance(task, EmbedOptions):
        return pb.AnalyzeTask(input_index=input_index, embed=embed_options(task))
    if isinstance(task, Classify):
        return pb.AnalyzeTask(input_index=input_index, classify=classify_options(task))
    return pb.AnalyzeTask(input_index=input_index, tag=tag_options(task))
