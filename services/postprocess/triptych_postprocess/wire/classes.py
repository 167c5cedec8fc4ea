"""Classify, and which head it is done with."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_postprocess.classifying import Classes, ClassifyOptions, classify
from triptych_postprocess.heads import Classifier
from triptych_postprocess.loading import PostprocessModel
from triptych_postprocess.outcome import Job
from triptych_postprocess.wire.columns import Rows, read_rows
from triptych_servicekit.errors import InvalidArgument, ModelNotLoaded, NotFound
from triptych_servicekit.registry import Registry
from triptych_servicekit.tensors import to_tensor

# What a caller may name a head by, and where he did so.
FindHead = Callable[[str, str], Classifier]

# Of a label's score and id in an answer.
BYTES_OF_A_CLASS: Final = 8
# Sorting and exponentials of a score take the time in which so many bytes of vectors are scaled.
WORK_OF_A_SCORE: Final = 64

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def find_head(
    heads: Registry[Classifier], model: PostprocessModel, name: str, field: str
) -> Classifier:
    """The head that `name` means for a model: a name, `name@version` or digest, or the model's own.

    Raises ModelNotLoaded for a digest and NotFound for a name that is not held, and InvalidArgument
    for a head of another model.
    """
    if not name:
        return _own_head(model, field)
    classifier = _find(heads, name, field)
    if classifier.bundle and not classifier.bundle.fits(model.bundle):
        message = f"{field}: the head was not trained on the vectors of {model.bundle.identity}"
        raise InvalidArgument(message, field=field)
    return classifier


def read_classify(
    request: pb.PostprocessServiceClassifyRequest, classifier: Classifier, max_items: int
) -> Job[Classes]:
    """The work of a Classify request. Raises InvalidArgument."""
    inputs = read_rows(request.inputs, "inputs", classifier.input_size, max_items)
    return classify_job(inputs, classifier, read_classify_options(request.options, classifier))


def read_classify_options(options: pb.ClassifyOptions, classifier: Classifier) -> ClassifyOptions:
    """Options resolved for a head."""
    labels = len(classifier.head.labels)
    return ClassifyOptions(min(options.top_k or labels, labels), options.raw_scores)


def classify_job(inputs: Rows, classifier: Classifier, options: ClassifyOptions) -> Job[Classes]:
    """The work of choosing classes. What is sorted counts as output, even if less is returned."""
    scores = len(inputs) * len(classifier.head.labels)
    size = inputs.nbytes + len(inputs) * classifier.row_work + scores * WORK_OF_A_SCORE
    work = partial(classify, inputs, classifier, options)
    return Job(len(inputs), size, scores * BYTES_OF_A_CLASS, work)


def write_classes(labels: Sequence[str], classes: Classes) -> pb.ClassifyResult:
    """The answer to Classify."""
    return pb.ClassifyResult(
        label_ids=to_tensor(classes.label_ids), scores=to_tensor(classes.scores), labels=labels
    )


def _own_head(model: PostprocessModel, field: str) -> Classifier:
    if model.classifier is None:
        message = f"{field} is empty, and {model.bundle.identity} has no head of its own"
        raise InvalidArgument(message, field=field)
    return model.classifier


def _find(heads: Registry[Classifier], name: str, field: str) -> Classifier:
    reference = _reference(name)
    try:
        # a name left out means the only one there is to the registry; no caller means that
        if not reference.name and not reference.digest:
            raise NotFound("no name")
        return heads.find(reference).value
    except ModelNotLoaded:
        message = "this replica does not hold a head of that digest"
        raise ModelNotLoaded(message, field=field) from None
    except NotFound:
        raise NotFound(f"{field}: head '{name[:128]}' is not served here", field=field) from None


def _reference(name: str) -> types.ModelRef:
    if _DIGEST.fullmatch(name):
        return types.ModelRef(digest=name)
    name, _, version = name.partition("@")
    return types.ModelRef(name=name, version=version)
