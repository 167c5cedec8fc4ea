"""What can keep a command from its end; each message is one line for a person.

ClientError
├── DataError
├── Refused
├── Unreachable
├── DeadlinePassed
├── MismatchedLabels
└── NotWritten
"""


class ClientError(Exception):
    """The root: the command prints it and exits with 1."""


class DataError(ClientError):
    """A labelled set cannot be used; the message names the file, the row and the column."""


class Refused(ClientError):
    """The platform will not do what was asked for, however often it is asked.

    `param` is the field of the request at fault, empty where none is named.
    """

    def __init__(self, message: str, status: int, param: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param


class Unreachable(ClientError):
    """No answer, or none but "come back later", after the last attempt."""


class DeadlinePassed(ClientError):
    """The time for all requests together is over."""


class MismatchedLabels(ClientError):
    """The model knows none of the set's labels, so no answer could be right."""


class NotWritten(ClientError):
    """A report or a picture cannot be written where it should be."""
