"""The platform as a user starts it, all four services and the gateway's REST API."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Final

from benchmarks.closed_loop import Target
from benchmarks.served import Served
from benchmarks.system import PLATFORM
from benchmarks.texts import Source
from triptych_encoder.settings import Runtime
from triptych_local.session import Session, running

PATIENT: Final = {"TRIPTYCH_REQUESTS_MAX_QUEUE_WAIT": "60"}
"""2,000 texts at once on a slow machine wait longer than a user would be let wait."""
PRECISION: Final = "TRIPTYCH_RUNTIME_PRECISION"
MODEL: Final = "all-minilm-l6-v2"
PATH: Final = "/v1/embeddings"


def offers_precisions() -> bool:
    """Whether the encoder can be told a precision."""
    return "precision" in {item.name for item in fields(Runtime)}


@contextmanager
def platform(
    repository: Path, precision: str, source: Source, rates: Mapping[str, float]
) -> Iterator[tuple[Session, Served]]:
    """A platform on free ports, at one precision."""
    with running(repository, {**PATIENT, **chosen(precision)}) as session:
        yield session, served(PLATFORM, precision, session, source, rates)


def chosen(precision: str) -> dict[str, str]:
    """What tells an encoder its precision, where it can be told."""
    return {PRECISION: precision} if offers_precisions() else {}


def served(
    name: str, precision: str, session: Session, source: Source, rates: Mapping[str, float]
) -> Served:
    """A running session as a system."""
    pids = {service: session.pid(service) for service in session.state.services}
    port = int(session.http_url.rpartition(":")[2])
    return Served(name, precision, Target(port, PATH, MODEL), pids, source, rates)
