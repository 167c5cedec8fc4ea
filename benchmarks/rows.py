"""What is asked of a system: which texts, how many a request, how many requests at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from benchmarks.texts import KINDS


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A closed loop: `at_once` requests of `per_request` texts each are always under way."""

    kind: str
    per_request: int
    at_once: int

    @property
    def name(self) -> str:
        """`kind-AxB`: A texts a request, B requests at once."""
        return f"{self.kind}-{self.per_request}x{self.at_once}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """The row of a name. Raises ValueError for anything else."""
        found = re.fullmatch(r"([a-z]+)-(\d+)x(\d+)", name)
        if not found or found[1] not in KINDS:
            raise ValueError(f"{name!r} is no row: KIND-AxB with KIND one of {', '.join(KINDS)}")
        return cls(found[1], int(found[2]), int(found[3]))


def rows(*names: str) -> tuple[Row, ...]:
    """The rows of these names."""
    return tuple(map(Row.parse, names))


BARS: Final[Mapping[Row, Mapping[str, float]]] = {
    Row("short", 1, 64): {"fp32": 0.85, "bf16": 0.75, "int8": 0.75},
    Row("mixed", 1, 64): {"fp32": 0.88, "bf16": 0.82, "int8": 0.82},
    Row("mixed", 1, 1000): {"fp32": 0.90, "bf16": 0.85, "int8": 0.85},
    Row("short", 32, 8): {"fp32": 0.95, "bf16": 0.93, "int8": 0.93},
}
"""Least tokens a second of the platform over the bare runtime's, by precision."""

MATRIX: Final = rows(
    *("short-1x1", "short-1x8", "short-1x64", "short-1x1000", "short-32x1", "short-32x8"),
    *("mixed-1x1", "mixed-1x8", "mixed-1x64", "mixed-1x1000", "mixed-32x1"),
    "long-1x64",
)
LEVEL: Final = rows("mixed-1x64", "mixed-1x256", "mixed-1x1000", "mixed-1x2000")
"""Throughput has to stay level over these."""

PEER_BARS: Final[Mapping[Row, float]] = {
    Row("short", 1, 64): 1.5,
    Row("mixed", 1, 64): 2.0,
    Row("short", 32, 1): 1.2,
}
"""Least tokens a second of the platform over the best peer's; elsewhere it is PEER_FLOOR."""
PEER_FLOOR: Final = 1.0

MAX_PEER_TEXTS: Final = 512
"""Peers are not asked for more texts at once: at 40 texts/s, 1,000 would take 25 s to answer."""

MAX_ALONE_OVERHEAD: Final = 0.002
"""Seconds that a text on an idle platform may take over the bare runtime (p50)."""
BAR_LOAD: Final = 0.7
MAX_TAIL: Final = 4.0
"""Times the p50 that the p99 may be at BAR_LOAD of saturation."""
MIN_LEVEL: Final = 0.95
"""Of the throughput at 64 at once, what there must be at 2,000."""
MIN_REPLICATED: Final = 0.95
"""Of the throughput with one encoder, what there must be with two on the same cores."""
MIN_GAIN: Final[Mapping[str, float]] = {"bf16": 1.8, "int8": 2.0}
"""Of a precision over the platform's own fp32."""
