"""What was measured, once."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cell:
    """One system, one row, one round. Times are in seconds."""

    system: str
    precision: str
    row: str
    round: int
    seconds: float
    requests: int
    tokens: int
    """Real ones, special tokens included, of the requests that were answered."""
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    cores: Mapping[str, float] = field(default_factory=dict)
    """Processor seconds a second of each of the system's processes and of the client."""

    @property
    def tokens_per_second(self) -> float:
        """Useful tokens a second."""
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was not measured, and why."""

    what: str
    reason: str
