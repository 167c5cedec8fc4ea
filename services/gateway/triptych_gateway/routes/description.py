"""What OpenAPI says about the routes."""

from typing import Any, Final

from pydantic import BaseModel

from triptych_gateway.routes.bodies import Body
from triptych_gateway.routes.schemas import ErrorAnswer

Document = dict[str, Any]

TITLE: Final = "Triptych"
SUMMARY: Final = """Transformer encoders as a service: text in; vectors, classes, entities and
rankings out.

`/v1` is what OpenAI's clients know; `/api/v1` offers everything else. Every answer carries
`x-request-id` and `Server-Timing`, an answer to work also `x-compute-tokens` and, where inputs were
cut, `x-truncated-inputs`. Every error has OpenAI's shape."""

# Status, when it comes.
_ERRORS: Final = {
    400: "The request is wrong; `param` names the field.",
    404: "There is no such model.",
    413: "The body is over the limit.",
    429: "Full; `Retry-After` says when to come back.",
    503: "Cannot serve at the moment; `Retry-After` says when to come back.",
    504: "The request's time ended before its answer was ready.",
}


def _header(name: str, schema: Document, text: str) -> Document:
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": text}


_TEXT: Final[Document] = {"type": "string"}
_HEADERS: Final = [
    _header("x-request-id", {**_TEXT, "maxLength": 128}, "Comes back with the answer."),
    _header(
        "x-request-timeout",
        {"type": "number", "exclusiveMinimum": 0},
        "Seconds the request may take; can only lower the server's own limit.",
    ),
    _header(
        "x-priority",
        {**_TEXT, "enum": ["high", "normal", "low"]},
        "Urgency among requests that wait.",
    ),
    _header("traceparent", _TEXT, "W3C trace context."),
]


def described(summary: str, tag: str, answer: type[BaseModel] | None, *errors: int) -> Document:
    """How a route without a body is described."""
    responses = {
        status: {"description": _ERRORS[status], "model": ErrorAnswer} for status in errors
    }
    ok: Document = {"description": "The answer."}
    if answer is not None:
        ok["model"] = answer
    return {
        "summary": summary,
        "tags": [tag],
        "response_model": None,
        "responses": {200: ok, **responses},
    }


def described_task(summary: str, tag: str, body: type[Body], answer: type[BaseModel]) -> Document:
    """How a route with a body is described."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {
        **described(summary, tag, answer, *_ERRORS),
        "openapi_extra": {
            "requestBody": {"required": True, "content": content},
            "parameters": _HEADERS,
        },
    }


def path_parameter(name: str, text: str) -> Document:
    """How a part of the path is described."""
    parameter = {"name": name, "in": "path", "required": True, "schema": _TEXT}
    return {"openapi_extra": {"parameters": [{**parameter, "description": text}]}}
