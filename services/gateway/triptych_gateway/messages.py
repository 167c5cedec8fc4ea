"""GatewayService's messages to tasks and back."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from triptych.v1 import gateway_service_pb2 as pb
from triptych.v1 import postprocess_service_pb2 as postprocess
from triptych.v1 import tokenizer_service_pb2 as tokenizer
from triptych.v1 import types_pb2 as types
from triptych_bundles.manifest import Bundle, Folder, pooled_output
from triptych_gateway.models.target import Target
from triptych_gateway.tasks import (
    Answered,
    DType,
    Embedded,
    EmbedOptions,
    Input,
    Pair,
    Pieced,
    Pooling,
    Similarities,
    TextOptions,
    Timing,
    TokenIds,
    Truncation,
    Usage,
    WindowOptions,
)
from triptych_servicekit.durations import set_seconds
from triptych_servicekit.errors import InvalidArgument, TriptychError
from triptych_servicekit.status import to_status
from triptych_servicekit.tensors import INT32, from_tensor, to_tensor

TRUNCATIONS: Final[Mapping[int, Truncation]] = {
    tokenizer.TRUNCATION_UNSPECIFIED: "right",
    tokenizer.TRUNCATION_RIGHT: "right",
    tokenizer.TRUNCATION_LEFT: "left",
    tokenizer.TRUNCATION_ERROR: "error",
    tokenizer.TRUNCATION_WINDOW: "right",
}
Chunking = Literal["", "window", "late"]
CHUNKINGS: Final[Mapping[int, Chunking]] = {
    pb.CHUNKING_UNSPECIFIED: "",
    pb.CHUNKING_WINDOW: "window",
    pb.CHUNKING_LATE: "late",
}
POOLINGS: Final[Mapping[int, Pooling]] = {
    types.POOLING_UNSPECIFIED: "",
    types.POOLING_CLS: "cls",
    types.POOLING_MEAN: "mean",
    types.POOLING_LAST_TOKEN: "last_token",
}
DTYPES: Final[Mapping[int, DType]] = {
    types.DATA_TYPE_UNSPECIFIED: "float32",
    types.DATA_TYPE_FLOAT32: "float32",
    types.DATA_TYPE_FLOAT16: "float16",
    types.DATA_TYPE_INT8: "int8",
    types.DATA_TYPE_UINT8: "uint8",
}


def read_inputs(inputs: Sequence[tokenizer.TokenizeInput]) -> list[Input]:
    """The items. Raises InvalidArgument for one that is not set."""
    return [_input(item, f"inputs[{index}]") for index, item in enumerate(inputs)]


def _input(item: tokenizer.TokenizeInput, field: str) -> Input:
    match item.WhichOneof("input"):
        case "text":
            return item.text
        case "pair":
            return Pair(item.pair.first, item.pair.second)
        case "token_ids":
            field = f"{field}.token_ids.ids"
            ids = from_tensor(item.token_ids.ids, field, dtypes=INT32, dimensions=(1,))
            return TokenIds(array("i", ids.tobytes()))
        case _:
            raise InvalidArgument(f"{field} is not set", field=field)


def read_text_options(text: pb.TextOptions) -> TextOptions:
    """How inputs become tokens, of which each has to fit the model."""
    if text.truncation == tokenizer.TRUNCATION_WINDOW:
        message = "text.truncation: windows are for Embed, Classify, TagTokens and Analyze"
        raise InvalidArgument(message, field="text.truncation")
    return read_document_options(text)


def read_document_options(text: pb.TextOptions) -> TextOptions:
    """How inputs become tokens, in windows where that is asked for."""
    windows = None
    if text.truncation == tokenizer.TRUNCATION_WINDOW:
        windows = WindowOptions(text.stride if text.HasField("stride") else None)
    elif text.HasField("stride"):
        message = "text.stride is of windows, which were not asked for"
        raise InvalidArgument(message, field="text.stride")
    truncation = TRUNCATIONS.get(text.truncation)
    if truncation is None:
        raise unknown("text.truncation")
    return TextOptions(truncation, text.max_length, text.prompt_name, windows=windows)


def read_chunking(request: pb.EmbedRequest) -> Chunking:
    """Whether pieces of texts are embedded."""
    chunking = CHUNKINGS.get(request.chunking)
    if chunking is None:
        raise unknown("chunking")
    return chunking


def read_piece_options(text: pb.TextOptions) -> TextOptions:
    """How texts become tokens, of which pieces are embedded."""
    stride = text.stride if text.HasField("stride") else None
    return TextOptions("right", text.max_length, text.prompt_name, windows=WindowOptions(stride))


def read_embed_options(
    options: postprocess.EmbedOptions, pooling: int, prefix: str = ""
) -> EmbedOptions:
    """How vectors become embeddings; `prefix` stands before the names of the fields."""
    known, dtype = POOLINGS.get(pooling), DTYPES.get(options.dtype)
    if known is None:
        raise unknown(f"{prefix}pooling")
    if dtype is None:
        raise unknown(f"{prefix}embed.dtype" if prefix else "options.dtype")
    normalize = options.normalize if options.HasField("normalize") else None
    return EmbedOptions(known, normalize, options.dimensions, dtype)


def unknown(field: str) -> InvalidArgument:
    """The error of an enum's value that the contract does not know."""
    return InvalidArgument(f"{field} is not one of the values that are offered", field=field)


def embed_response(embedded: Embedded, elapsed: float) -> pb.EmbedResponse:
    """The answer of Embed."""
    result = postprocess.EmbedResult(embeddings=to_tensor(embedded.embeddings))
    return pb.EmbedResponse(result=result, **answer_fields(embedded, elapsed))


def pieces_response(found: Pieced, elapsed: float) -> pb.EmbedResponse:
    """The answer of Embed where each piece has an embedding."""
    pieces = found.pieces
    chunks = pb.Chunks(
        item_index=to_tensor(pieces.item_index),
        start=to_tensor(pieces.start),
        end=to_tensor(pieces.end),
        late=to_tensor(pieces.late.astype(np.int32)),
    )
    result = postprocess.EmbedResult(embeddings=to_tensor(found.embeddings))
    return pb.EmbedResponse(result=result, chunks=chunks, **answer_fields(found, elapsed))


def similarity_response(found: Similarities, elapsed: float) -> pb.SimilarityResponse:
    """The answer of Similarity."""
    result = postprocess.SimilarityResult(scores=to_tensor(found.scores))
    return pb.SimilarityResponse(result=result, **answer_fields(found, elapsed))


def answer_fields(found: Answered, elapsed: float) -> dict[str, Any]:
    """What every answer has: the model, errors, usage, and the time of `elapsed` seconds."""
    return {
        "model": model_ref(found.model),
        "errors": item_errors(found.errors),
        "usage": _usage(found.usage),
        "timing": _timing(found.timing, elapsed),
    }


def model_message(model: Bundle) -> pb.Model:
    """One entry of ListModels."""
    makes_vectors = pooled_output(model.pooling) in model.outputs
    poolings = {name: number for number, name in POOLINGS.items()}
    message = pb.Model(
        model=model_ref(model),
        task=model.task,
        max_length=model.max_length,
        dimensions=model.hidden_size if makes_vectors else 0,
        pooling=types.Pooling.ValueType(poolings.get(model.pooling, 0)),  # type: ignore[call-overload]
        normalize=model.normalize,
        prompt_names=sorted(model.prompts),
        labels=model.head.labels if model.head else (),
        token_labels=model.token_labels,
    )
    _set_time(message, model)
    return message


def head_message(target: Target) -> pb.Model:
    """One entry of ListModels, for a head, which with its trunk is a target."""
    head, trunk = target.head, target.model
    assert head is not None  # noqa: S101 (a head's digest was resolved)
    message = pb.Model(
        model=model_ref(head),
        task=head.task,
        max_length=trunk.max_length,
        labels=head.head.labels,
        trunk=model_ref(trunk),
    )
    _set_time(message, head)
    return message


def _set_time(message: pb.Model, bundle: Folder) -> None:
    if bundle.created:
        message.create_time.CopyFrom(Timestamp(seconds=bundle.created))


def model_ref(bundle: Folder) -> types.ModelRef:
    """A bundle, all three fields set."""
    return types.ModelRef(name=bundle.name, version=bundle.version, digest=bundle.digest)


def item_errors(errors: Mapping[int, TriptychError]) -> list[types.ItemError]:
    """Errors of items, by index."""
    return [types.ItemError(index=index, status=to_status(errors[index])) for index in errors]


def _usage(usage: Usage) -> pb.Usage:
    return pb.Usage(
        prompt_tokens=usage.prompt_tokens,
        total_tokens=to_tensor(usage.total_tokens),
        kept_tokens=to_tensor(usage.kept_tokens),
    )


def _timing(timing: Timing, elapsed: float) -> pb.RequestTiming:
    return pb.RequestTiming(
        total=_duration(elapsed),
        tokenize=_duration(timing.tokenize),
        queue=_duration(timing.queue),
        encode=_duration(timing.encode),
        postprocess=_duration(timing.postprocess),
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    set_seconds(duration, seconds)
    return duration
