"""The options of bodies as tasks have them."""

from typing import Final

from triptych_gateway.routes.native_schemas import DocumentBody, EmbedFields, TextBody
from triptych_gateway.routes.openai_schemas import EmbeddingsBody
from triptych_gateway.routes.task_schemas import ClassifyFields, TagFields
from triptych_gateway.tasks import (
    ClassifyOptions,
    DType,
    EmbedOptions,
    TagOptions,
    TaskOptions,
    TextOptions,
    WindowOptions,
)
from triptych_servicekit.errors import InvalidArgument

DTYPES: Final[dict[str, DType]] = {
    "float32": "float32",
    "float16": "float16",
    "int8": "int8",
    "binary": "uint8",
}
DEFAULT_IGNORED: Final = ("O",)


def text_options(
    body: TextBody, *, layout: bool = False, add_special_tokens: bool = True
) -> TextOptions:
    """How texts become tokens."""
    return TextOptions(
        body.truncation_direction if body.truncate else "error",
        body.max_length or 0,
        body.prompt_name,
        add_special_tokens,
        layout,
        windows=_windows(body) if isinstance(body, DocumentBody) else None,
    )


def openai_text_options(body: EmbeddingsBody) -> TextOptions:
    """The same for OpenAI's route."""
    return TextOptions(
        "right" if body.truncate else "error",
        body.max_length or 0,
        body.prompt_name or "",
        windows=_windows(body),
    )


def _windows(body: DocumentBody | EmbeddingsBody) -> WindowOptions | None:
    if body.windows or getattr(body, "chunks", None):
        return WindowOptions(body.stride)
    if body.stride is not None:
        raise InvalidArgument("stride is of windows, which were not asked for", field="stride")
    return None


def embed_options(body: EmbedFields) -> EmbedOptions:
    """How vectors become embeddings."""
    return EmbedOptions(
        body.pooling or "", body.normalize, body.dimensions or 0, DTYPES[body.dtype]
    )


def classify_options(body: ClassifyFields) -> ClassifyOptions:
    """How classes are chosen."""
    return ClassifyOptions(body.head, body.top_k or 0, body.raw_scores, body.window_scores)


def tag_options(body: TagFields) -> TagOptions:
    """How tags become entities."""
    ignored = DEFAULT_IGNORED if body.ignore_labels is None else tuple(body.ignore_labels)
    return TagOptions(body.aggregation, ignored)


def task_options(body: EmbedFields | ClassifyFields | TagFields) -> TaskOptions:
    """One of several tasks."""
    if isinstance(body, EmbedFields):
        return embed_options(body)
    return classify_options(body) if isinstance(body, ClassifyFields) else tag_options(body)
