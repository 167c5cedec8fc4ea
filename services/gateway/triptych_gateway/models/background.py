"""Work that nobody waits for. What it asks of the stages goes after everything else."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from triptych_gateway.tasks import Origin

LOW_PRIORITY: Final = 3

_background: ContextVar[bool] = ContextVar("background", default=False)


@contextlib.contextmanager
def background() -> Iterator[None]:
    """All work that is submitted inside is background work, also by tasks that begin there."""
    token = _background.set(True)
    try:
        yield
    finally:
        _background.reset(token)


def ranked(origin: Origin) -> Origin:
    """The origin with the priority that its work has here."""
    if not _background.get():
        return origin
    return replace(origin, priority=LOW_PRIORITY)
