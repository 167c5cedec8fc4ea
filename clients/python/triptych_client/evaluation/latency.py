"""How long requests took, and how much was answered a second."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from triptych_client.evaluation.asking import Answers


@dataclass(frozen=True, slots=True)
class Latency:
    """Of whole requests in seconds, as this client saw them; all 0 where none was answered."""

    requests: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Over the time from the first request to the last answer."""

    seconds: float
    items_per_second: float
    tokens_per_second: float
    """That the platform computed."""


def latency(seconds: Sequence[float]) -> Latency:
    """Percentiles, between neighbours by linear interpolation."""
    if not seconds:
        return Latency(0, 0.0, 0.0, 0.0)
    return Latency(len(seconds), *np.percentile(seconds, [50, 95, 99]).tolist())


def rate(answers: Answers[Any]) -> Rate:
    """Inputs, those refused included, and tokens a second."""
    seconds = max(answers.seconds, 1e-9)
    return Rate(answers.seconds, len(answers.values) / seconds, answers.tokens / seconds)


def document(answers: Answers[Any]) -> dict[str, Any]:
    """For JSON."""
    return {"latency_seconds": asdict(latency(answers.latencies)), "rate": asdict(rate(answers))}
