"""Request bodies: parsed once, refused by the name of a field."""

import re
from typing import Any, ClassVar, Final, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from triptych_gateway.bounds import Bounds
from triptych_servicekit.errors import InvalidArgument

# A field name of the client's own making is quoted up to this length.
MAX_QUOTED: Final = 64

# Lists, objects and fields that a body may have, well above what the largest request needs.
MARKS: Final = 1024
MARKS_PER_INPUT: Final = 16
# One without an end goes to the end of the body, so that it is looked at only once.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

B = TypeVar("B", bound="Body")


class Body(BaseModel):
    """A request body. Types are strict: "5" is no number and true is no 1."""

    model_config = ConfigDict(strict=True)

    closed: ClassVar[bool] = False
    """Whether fields that are not known are refused."""

    def take(self, field: str) -> Any:
        """The value of a field, which is from then on only the caller's.

        Parsed, ids take ten times their bytes; what is read of them must not wait beside them.
        """
        value = getattr(self, field)
        setattr(self, field, None)
        return value


class ClosedBody(Body):
    """A body that refuses fields it does not know, so that a misspelt option does not pass."""

    # Kept and looked at afterwards: pydantic's own refusal reports every single one of them.
    model_config = ConfigDict(strict=True, extra="allow")

    closed: ClassVar[bool] = True

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """What clients are told: other fields are refused, though not by pydantic."""
        schema = handler(core_schema)
        handler.resolve_ref_schema(schema)["additionalProperties"] = False
        return schema


def parse(kind: type[B], content: bytes, bounds: Bounds) -> B:
    """The body as `kind`. Raises InvalidArgument naming the first field at fault."""
    _check_structure(content, bounds)
    try:
        body = kind.model_validate_json(content)
    except ValidationError as error:
        raise _invalid(error) from None
    return _closed(body)


def validated(kind: type[B], value: object, field: str) -> B:
    """A part of a body, which is called `field` there, as `kind`."""
    try:
        return _closed(kind.model_validate(value), f"{field}.")
    except ValidationError as error:
        raise _invalid(error, f"{field}.") from None


def _closed(body: B, prefix: str = "") -> B:
    if body.closed and body.model_extra:
        name = f"{prefix}{next(iter(body.model_extra))}"[:MAX_QUOTED]
        raise InvalidArgument(f"{name!r} is not a known field", reason="UNKNOWN_FIELD", field=name)
    return body


def _check_structure(content: bytes, bounds: Bounds) -> None:
    """Refuse a body of far more lists, objects and fields than any request can have.

    Each costs the parser a hundred times its two bytes: 16 MB of empty lists take seconds.
    """
    limit = MARKS + MARKS_PER_INPUT * bounds.max_inputs
    if len(content) <= limit or _marks(content) <= limit:
        return
    if _marks(_STRING.sub(b"", content)) > limit:  # texts have such characters too
        message = f"the body has more than {limit} lists, objects and fields"
        raise InvalidArgument(message, reason="BODY_TOO_COMPLEX", field="body")


def _marks(content: bytes) -> int:
    return content.count(b"[") + content.count(b"{") + content.count(b":")


def _invalid(error: ValidationError, prefix: str = "") -> InvalidArgument:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        message = f"the body is not valid JSON: {first['msg'].partition(': ')[2]}"
        return InvalidArgument(message, reason="INVALID_JSON")
    field = f"{prefix}{_path(first['loc'])}"[:MAX_QUOTED]
    if first["type"] == "missing":
        return InvalidArgument(f"{field} is required", reason="MISSING_FIELD", field=field)
    wanted = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    return InvalidArgument(f"{field or 'the body'}: {wanted}", field=field or None)


def _path(location: tuple[Any, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".")
