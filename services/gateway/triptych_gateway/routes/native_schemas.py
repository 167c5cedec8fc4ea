"""Bodies and answers of the /api/v1 routes.

Every answer has one shape: the model that served, an entry in `data` for each input, and usage. An
input that fails has its error in its entry; only when all fail does the request.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from triptych_gateway.routes.bodies import ClosedBody
from triptych_gateway.routes.schemas import (
    ErrorObject,
    Inputs,
    ModelIdentity,
    Pairs,
    Sequences,
    TokenUsage,
    Vector,
)


class ModelBody(ClosedBody):
    """What every body says."""

    model: str = Field("", description="`name` or `name@version`; optional with one model.")


class TextBody(ModelBody):
    """How texts become tokens."""

    prompt_name: str = Field("", description="One of the model's prompts. Default: its default.")
    truncate: bool = Field(True, description="Cut long inputs; false: they fail.")
    truncation_direction: Literal["right", "left"] = Field("right", description="The end to cut.")
    max_length: int | None = Field(
        None,
        ge=1,
        description="Most tokens of an input, or of a window. Default: the model's maximum.",
    )


class DocumentBody(TextBody):
    """How texts become tokens that may be longer than the model."""

    windows: bool = Field(
        False,
        description="Read long inputs whole, in overlapping windows of `max_length` tokens, instead"
        " of cutting them; the answer is for the input as a whole. Texts and token ids only.",
    )
    stride: int | None = Field(
        None,
        ge=0,
        description="Tokens that two neighbouring windows share; less than a window's room for"
        " text. Default: an eighth of `max_length`.",
    )


class EmbedFields(ClosedBody):
    """How vectors become embeddings."""

    pooling: Literal["cls", "mean", "last_token"] | None = Field(
        None, description="How tokens become a vector. Default: as the model was trained."
    )
    normalize: bool | None = Field(
        None, description="Whether embeddings get length 1. Default: as the model was trained."
    )
    dimensions: int | None = Field(None, ge=1, description="Leading dimensions to keep.")
    dtype: Literal["float32", "float16", "int8", "binary"] = Field(
        "float32",
        description="Type of the numbers. int8: each embedding scaled to 127 at its largest number;"
        " binary: a bit a dimension, eight to a number from 0 to 255.",
    )
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="float: a list of numbers; base64: their little-endian bytes."
    )


class EmbedBody(DocumentBody, EmbedFields):
    """Inputs to embed."""

    inputs: Inputs = Field(
        description="A text, its token ids or a pair of texts; or a list of those."
    )
    chunks: Literal["window", "late"] | None = Field(
        None,
        description="An embedding for each piece of a text instead of one for the text, texts only."
        " window: each window by itself; late: what would be a window, of a pass over the whole"
        " text, where the model takes that, so that each piece knows of the others (mean pooling"
        " only).",
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": ["Hello, world"]}]})


class SimilarityBody(TextBody):
    """Texts to compare: either `pairs`, or `source` with each of `targets`."""

    pairs: Pairs | None = Field(None, description="Pairs of texts.")
    source: str | None = Field(None, description="A text.")
    targets: list[str] | None = Field(None, description="Texts to compare it with.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source": "A cat", "targets": ["A kitten", "Rain"]}]}
    )


class TokenizeBody(TextBody):
    """Inputs to tokenize."""

    inputs: Inputs = Field(description="As for /api/v1/embed.")
    add_special_tokens: bool = Field(True, description="Whether special tokens are added.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": "Hello, world"}]})


class DetokenizeBody(ModelBody):
    """Token ids to turn into text."""

    input_ids: Sequences = Field(description="Token ids of a text, or a list of those.")
    skip_special_tokens: bool = Field(True, description="Whether special tokens are left out.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"input_ids": [101, 7592, 102]}]})


class Entry(BaseModel):
    """Answer to one input; one with an `error` has nothing else."""

    index: int = Field(examples=[0])
    error: ErrorObject | None = None


class PieceOfText(BaseModel):
    """An embedding of a piece, and where that is in its text, in code points."""

    start: int
    end: int
    embedding: Vector = Field(examples=[[0.0123, -0.0456]])


class EmbedEntry(Entry):
    """An embedding."""

    embedding: Vector | None = Field(None, examples=[[0.0123, -0.0456]])
    chunking: Literal["window", "late"] | None = Field(
        None, description="With `chunks`: how the pieces were read."
    )
    chunks: list[PieceOfText] | None = Field(None, description="With `chunks`: the pieces.")
    truncated: bool = Field(False, description="Present and true where the input was cut.")


class SimilarityEntry(Entry):
    """A similarity."""

    score: float | None = Field(None, description="Cosine, from -1 to 1.", examples=[0.82])
    truncated: bool = Field(False, description="Present and true where a text was cut.")


class Token(BaseModel):
    """A token and its place in the text, in code points."""

    id: int
    text: str | None = Field(description="Null for special tokens and inputs that are ids.")
    start: int
    end: int
    special: bool


class TokenizeEntry(Entry):
    """Tokens."""

    input_ids: list[int] | None = None
    tokens: list[Token] | None = None
    truncated: bool = False
    total_tokens: int | None = Field(None, description="Tokens before cutting.")


class DetokenizeEntry(Entry):
    """A text."""

    text: str | None = Field(None, examples=["hello"])


class NativeAnswer(BaseModel):
    """What every answer says."""

    model: ModelIdentity
    usage: TokenUsage


class EmbedAnswer(NativeAnswer):
    """An entry for each input."""

    data: list[EmbedEntry]


class SimilarityAnswer(NativeAnswer):
    """An entry for each pair; usage counts a text that occurs several times once."""

    data: list[SimilarityEntry]


class TokenizeAnswer(NativeAnswer):
    """An entry for each input."""

    data: list[TokenizeEntry]


class DetokenizeAnswer(NativeAnswer):
    """An entry for each sequence."""

    data: list[DetokenizeEntry]
