"""Bodies and answers of the /v1 routes, as OpenAI's API has them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from triptych_gateway.routes.bodies import Body
from triptych_gateway.routes.schemas import Texts, TokenUsage, Vector


class EmbeddingsBody(Body):
    """Texts to embed. Fields that are not listed are ignored, as clients send extra ones."""

    model: str = Field(min_length=1, description="Id of a model, see `GET /v1/models`.")
    input: Texts = Field(description="A text, its token ids, or a list of either.")
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="base64: little-endian float32."
    )
    dimensions: int | None = Field(
        None, ge=1, description="Leading dimensions to keep, normalised anew. Default: all."
    )
    user: str | None = Field(None, description="Accepted and not read.")
    truncate: bool = Field(
        True, description="Cut inputs over the model's maximum on the right; false: refuse them."
    )
    prompt_name: str | None = Field(
        None, description="One of the model's prompts, put before each text."
    )
    windows: bool = Field(
        False,
        description="Read long inputs whole, in overlapping windows of `max_length` tokens: their"
        " embedding is the mean of the windows', weighted by tokens.",
    )
    max_length: int | None = Field(
        None,
        ge=1,
        description="Most tokens of an input, or of a window. Default: the model's maximum.",
    )
    stride: int | None = Field(
        None,
        ge=0,
        description="Tokens that two neighbouring windows share. Default: an eighth of"
        " `max_length`.",
    )

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "all-minilm-l6-v2", "input": ["Hello, world"]}]}
    )


class Embedding(BaseModel):
    """One embedding."""

    object: Literal["embedding"]
    index: int = Field(examples=[0])
    embedding: Vector = Field(examples=[[0.0123, -0.0456]])
    truncated: bool = Field(False, description="Present and true where the input was cut.")


class EmbeddingsAnswer(BaseModel):
    """An embedding for each input."""

    object: Literal["list"]
    data: list[Embedding]
    model: str = Field(examples=["all-minilm-l6-v2"])
    usage: TokenUsage


class ModelObject(BaseModel):
    """A model that is served."""

    id: str = Field(examples=["all-minilm-l6-v2"])
    object: Literal["model"]
    created: int = Field(description="Unix seconds.", examples=[1627776000])
    owned_by: Literal["triptych"]


class ModelObjects(BaseModel):
    """All models that are served."""

    object: Literal["list"]
    data: list[ModelObject]
