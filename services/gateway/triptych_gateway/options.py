"""Options held against what a model can do, before any work is done for a request."""

from collections.abc import Sequence
from typing import Final

from triptych_bundles.manifest import Bundle, HeadBundle, pooled_output
from triptych_gateway.models.catalog import Catalog
from triptych_gateway.models.target import Target
from triptych_gateway.naming import under_name
from triptych_gateway.tasks import (
    ChosenHead,
    Classify,
    ClassifyOptions,
    EmbedOptions,
    TagOptions,
    Task,
    TaskOptions,
    TextOptions,
)
from triptych_servicekit.errors import InvalidArgument

TASK_NOT_SUPPORTED: Final = "TASK_NOT_SUPPORTED"
MAX_IGNORED_LABELS: Final = 256
MAX_LABEL_CHARACTERS: Final = 256


def check_text(model: Bundle, text: TextOptions) -> None:
    """Raises InvalidArgument naming the option that the model does not allow."""
    if text.max_length > model.max_length:
        message = f"max_length is {text.max_length}, the model's maximum is {model.max_length}"
        raise InvalidArgument(message, field="max_length")
    if text.windows and (text.windows.stride or 0) >= (text.max_length or model.max_length):
        message = (
            f"stride is {text.windows.stride}, a window has {text.max_length or model.max_length}"
        )
        raise InvalidArgument(f"{message} tokens", field="stride")
    if text.prompt_name and text.prompt_name not in model.prompts:
        known = ", ".join(sorted(model.prompts)) or "none"
        message = f"prompt_name is unknown; the model's prompts: {known}"
        raise InvalidArgument(message, field="prompt_name")


def check_embed(model: Bundle, options: EmbedOptions) -> None:
    """Raises InvalidArgument naming the option that the model does not allow."""
    if pooled_output(model.pooling) not in model.outputs:
        raise _cannot(model, "makes no embeddings")
    if options.pooling and pooled_output(options.pooling) not in model.outputs:
        message = f"pooling '{options.pooling}' is not offered by the model"
        raise InvalidArgument(message, field="pooling")
    if options.dimensions > model.hidden_size:
        message = f"dimensions is {options.dimensions}, the model has {model.hidden_size}"
        raise InvalidArgument(message, field="dimensions")


def check_late(model: Bundle, options: EmbedOptions) -> None:
    """Raises InvalidArgument unless a text can be read as a whole and pooled piece by piece."""
    pooling = options.pooling or model.pooling
    if pooling != "mean":
        message = f"chunks: late chunking takes the mean of tokens, the pooling is '{pooling}'"
        raise InvalidArgument(message, field="chunks")


def check_tag(model: Bundle, options: TagOptions) -> None:
    """Raises InvalidArgument where the model has no labels of tokens, or for the options."""
    if not model.token_labels:
        raise _cannot(model, "makes no entities")
    if len(options.ignore_labels) > MAX_IGNORED_LABELS:
        message = f"ignore_labels has more than {MAX_IGNORED_LABELS} labels"
        raise InvalidArgument(message, field="ignore_labels")
    if any(len(label) > MAX_LABEL_CHARACTERS for label in options.ignore_labels):
        message = f"ignore_labels has a label of more than {MAX_LABEL_CHARACTERS} characters"
        raise InvalidArgument(message, field="ignore_labels")


def ready(catalog: Catalog, target: Target, options: TaskOptions) -> Task:
    """The task that the options ask of a target.

    Raises InvalidArgument naming the option that its model does not allow, or `model` where that
    cannot do such a task.
    """
    if isinstance(options, ClassifyOptions):
        return _classify(choose_head(catalog, target, options.head), options)
    if isinstance(options, EmbedOptions):
        check_embed(target.model, options)
    else:
        check_tag(target.model, options)
    return options


def all_ready(catalog: Catalog, target: Target, tasks: Sequence[TaskOptions]) -> list[Task]:
    """As `ready` for several tasks; the options at fault are called `tasks[i].<option>`."""
    return [_named(catalog, target, options, index) for index, options in enumerate(tasks)]


def _named(catalog: Catalog, target: Target, options: TaskOptions, index: int) -> Task:
    try:
        return ready(catalog, target, options)
    except InvalidArgument as error:
        if error.field == "model":
            raise
        raise under_name(error, f"tasks[{index}].{error.field}") from None


def choose_head(catalog: Catalog, target: Target, name: str = "") -> ChosenHead:
    """The head `name` of the target's model; without a name the one that `model` meant."""
    if name:
        return _of_bundle(catalog.find_head(target.model, name))
    if target.head is not None:
        return _of_bundle(target.head)
    if target.model.head is not None:
        return ChosenHead(target.model.head)
    raise _cannot(target.model, "makes no classes by itself: name a head")


def ranking_head(target: Target) -> ChosenHead | None:
    """What a cross-encoder judges query and document by; None: vectors are compared instead."""
    by_name = target.head is not None and target.head.task == "rank"
    if not by_name and target.model.task != "rank":
        check_embed(target.model, EmbedOptions())
        return None
    if target.head is not None and by_name:
        chosen = _of_bundle(target.head)
    elif target.model.head is not None:
        chosen = ChosenHead(target.model.head)
    else:
        raise _cannot(target.model, "ranks nothing: it has no head")
    if len(chosen.head.labels) != 1:
        raise _cannot(target.model, "ranks nothing: its head has several labels")
    return chosen


def _classify(head: ChosenHead, options: ClassifyOptions) -> Classify:
    """Asking for as many classes as there are is asking for all."""
    top_k = options.top_k if options.top_k < len(head.head.labels) else 0
    return Classify(head, top_k, options.raw_scores, options.windows)


def _of_bundle(bundle: HeadBundle) -> ChosenHead:
    return ChosenHead(bundle.head, bundle.digest)


def _cannot(model: Bundle, what: str) -> InvalidArgument:
    message = f"the model '{model.identity}' {what}"
    return InvalidArgument(message, reason=TASK_NOT_SUPPORTED, field="model")
