"""What OpenAPI says about the values that are read or written without pydantic."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, WithJsonSchema

TEXT: Final = {"type": "string", "minLength": 1}
IDS: Final = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}
PAIR: Final = {
    "type": "object",
    "required": ["first", "second"],
    "additionalProperties": False,
    "properties": {"first": TEXT, "second": TEXT},
}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


_TEXTS: Final = [TEXT, _list(TEXT), IDS, _list(IDS)]
_ANY_INPUT: Final = [TEXT, IDS, PAIR]
_TWO_TEXTS: Final = {"type": "array", "minItems": 2, "maxItems": 2, "items": TEXT}

Texts = Annotated[Any, WithJsonSchema({"anyOf": _TEXTS})]
Inputs = Annotated[Any, WithJsonSchema({"anyOf": [*_ANY_INPUT, _list({"anyOf": _ANY_INPUT})]})]
PlainTexts = Annotated[Any, WithJsonSchema({"anyOf": [TEXT, _list(TEXT)]})]
Sequences = Annotated[Any, WithJsonSchema({"anyOf": [IDS, _list(IDS)]})]
Pairs = Annotated[list[Any], WithJsonSchema(_list(_TWO_TEXTS))]

Vector = Annotated[
    list[float] | str,
    Field(description="Numbers, or with `encoding_format=base64` their little-endian bytes."),
]


class ErrorObject(BaseModel):
    """Why a request or one of its items failed."""

    message: str = Field(examples=["inputs[3] must not be empty"])
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None = Field(description="The field at fault.", examples=["inputs[3]"])
    code: str = Field(description="The reason, for programs.", examples=["empty_input"])


class ErrorAnswer(BaseModel):
    """A request that failed."""

    error: ErrorObject


class TokenUsage(BaseModel):
    """Tokens that were encoded, special tokens included."""

    prompt_tokens: int = Field(examples=[5])
    total_tokens: int = Field(examples=[5])


class ModelIdentity(BaseModel):
    """The model that answered."""

    name: str = Field(examples=["all-minilm-l6-v2"])
    version: str = Field(examples=["1"])
    digest: str = Field(description="sha256 that pins every file of the model's bundle.")
