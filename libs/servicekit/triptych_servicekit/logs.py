"""Structured logs: one JSON object a line, with the request and the trace they belong to."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

request_id: ContextVar[str] = ContextVar("request_id", default="")
traceparent: ContextVar[str] = ContextVar("traceparent", default="")

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "color_message"}


def configure(service: str, level: str, style: str) -> None:
    """Send the logs of the whole process to standard error, as `json` or as `text`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if style == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # uvicorn tells of its start and stop in words of its own; servicekit says it once for all.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """Writes time (RFC 3339, UTC), level, service, logger, message, ids and the extra fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **_identifiers(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Writes what a person at a terminal wants to read."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, extra fields at its end."""
        fields = {**_identifiers(), **_extra(record)}
        tail = "".join(f" {key}={value}" for key, value in fields.items())
        line = f"{record.levelname:<7} {record.getMessage()}{tail}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def trace_id(header: str) -> str:
    """Trace id of a W3C `traceparent`, empty where it is not one."""
    parts = header.split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 else ""


def _identifiers() -> dict[str, str]:
    found = {"request_id": request_id.get(), "trace_id": trace_id(traceparent.get())}
    return {key: value for key, value in found.items() if value}


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
