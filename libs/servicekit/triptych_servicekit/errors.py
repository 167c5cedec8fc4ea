"""The one tree of errors.

TriptychError
├── InvalidArgument          the request is wrong; names the field
│   └── PayloadTooLarge      the request is over a size limit
├── Unauthenticated          nobody has shown who is asking
├── PermissionDenied         who is asking may not
├── NotFound                 nothing of that name is served
├── ModelNotLoaded           this replica lacks the bundle; another may have it
├── Unimplemented            valid by the contract, not offered here
├── Overloaded               full; come back after `retry_after`
├── Unavailable              cannot serve now; safe to try elsewhere
├── DeadlineExceeded         the caller's time is over
└── Internal                 our fault; the message says nothing of the inside

Domain modules raise these; only edges turn them into a transport's own (`status`, the gateway's
routes). Messages are for callers: they name fields and limits, never paths or internals.
"""


class TriptychError(Exception):
    """Base of every error that may reach a caller.

    `reason` is the constant for programs (google.rpc.ErrorInfo.reason), `field` the path of the
    offending field in the request, `retry_after` the seconds after which a new try makes sense.
    """

    reason = "ERROR"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.field = field
        self.retry_after = retry_after


class InvalidArgument(TriptychError):
    """The request is wrong and will stay wrong."""

    reason = "INVALID_ARGUMENT"


class PayloadTooLarge(InvalidArgument):
    """The request is larger than this server reads."""

    reason = "PAYLOAD_TOO_LARGE"


class Unauthenticated(TriptychError):
    """The call carries no credentials, or ones that do not hold."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(TriptychError):
    """It is known who is asking, and they may not."""

    reason = "PERMISSION_DENIED"


class NotFound(TriptychError):
    """Nothing of that name is served."""

    reason = "NOT_FOUND"


class ModelNotLoaded(TriptychError):
    """This replica does not hold the bundle that the request names by digest."""

    reason = "MODEL_NOT_LOADED"


class Unimplemented(TriptychError):
    """The contract knows it, this service does not offer it."""

    reason = "UNIMPLEMENTED"


class Overloaded(TriptychError):
    """Full. Nothing was done; `retry_after` says when to come back."""

    reason = "OVERLOADED"


class Unavailable(TriptychError):
    """Cannot serve at the moment, for instance because it is stopping."""

    reason = "UNAVAILABLE"


class DeadlineExceeded(TriptychError):
    """The caller's time ended before the answer was ready."""

    reason = "DEADLINE_EXCEEDED"


class Internal(TriptychError):
    """Something broke inside."""

    reason = "INTERNAL"
