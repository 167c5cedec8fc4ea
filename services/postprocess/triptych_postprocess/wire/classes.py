"""Classify, and which head it is done with."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from triptych.v1 import postprocess_service_pb2 as pb
from triptych_postprocess.classifying import (
    Classes,
    ClassifyOptions,
    WindowAggregation,
    classify,
    classify_windows,
)
from triptych_postprocess.heads import Classifier
from triptych_postprocess.outcome import Job
from triptych_postprocess.windows import Windows
from triptych_postprocess.wire.columns import Rows, read_rows
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.tensors import to_tensor

WINDOWS: Final = {
    pb.WINDOW_AGGREGATION_UNSPECIFIED: WindowAggregation.MEAN,
    pb.WINDOW_AGGREGATION_MEAN: WindowAggregation.MEAN,
    pb.WINDOW_AGGREGATION_MAX: WindowAggregation.MAX,
}
# What a caller may name a head by, and where he did so.
FindHead = Callable[[str, str], Classifier]

# Of a label's score and id in an answer.
BYTES_OF_A_CLASS: Final = 8
# Sorting and exponentials of a score take the time in which so many bytes of vectors are scaled.
WORK_OF_A_SCORE: Final = 64


def read_classify(
    request: pb.PostprocessServiceClassifyRequest, classifier: Classifier, max_items: int
) -> Job[Classes]:
    """The work of a Classify request. Raises InvalidArgument."""
    inputs = read_rows(request.inputs, "inputs", classifier.input_size, max_items)
    return classify_job(
        inputs, classifier, read_classify_options(request.options, "options", classifier)
    )


def read_classify_options(
    options: pb.ClassifyOptions, field: str, classifier: Classifier
) -> ClassifyOptions:
    """Options resolved for a head; `field` is their place. Raises InvalidArgument."""
    windows = WINDOWS.get(options.window_aggregation)
    if windows is None:
        name = f"{field}.window_aggregation"
        message = f"{name} {options.window_aggregation} is unknown"
        raise InvalidArgument(message, field=name)
    labels = len(classifier.head.labels)
    return ClassifyOptions(min(options.top_k or labels, labels), options.raw_scores, windows)


def classify_job(
    inputs: Rows, classifier: Classifier, options: ClassifyOptions, windows: Windows | None = None
) -> Job[Classes]:
    """The work of choosing classes. What is sorted counts as output, even if less is returned."""
    scores = len(inputs) * len(classifier.head.labels)
    size = inputs.nbytes + len(inputs) * classifier.row_work + scores * WORK_OF_A_SCORE
    output = scores * BYTES_OF_A_CLASS
    if windows is None:
        return Job(len(inputs), size, output, partial(classify, inputs, classifier, options))
    work = partial(classify_windows, inputs, windows, classifier, options)
    return Job(len(windows.first_rows), size, output, work)


def write_classes(labels: Sequence[str], classes: Classes) -> pb.ClassifyResult:
    """The answer to Classify."""
    return pb.ClassifyResult(
        label_ids=to_tensor(classes.label_ids), scores=to_tensor(classes.scores), labels=labels
    )
