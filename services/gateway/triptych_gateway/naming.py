"""Errors under the names that a request gave its parts: stages count within their calls."""

from triptych_servicekit.errors import TriptychError


def under_name(error: TriptychError, field: str) -> TriptychError:
    """The same error with `field` for the field at fault, in its message too."""
    message = error.message.replace(error.field, field, 1) if error.field else error.message
    return type(error)(message, reason=error.reason, field=field, retry_after=error.retry_after)
