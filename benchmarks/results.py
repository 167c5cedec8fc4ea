"""All that a run found, as it is written down."""

import json
import re
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benchmarks.cell import Cell
from benchmarks.machine import Machine
from benchmarks.open_loop import Arrivals
from benchmarks.peers.tuning import Trial
from benchmarks.single import Single


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Latencies, in seconds, of texts that arrive by themselves."""

    system: str
    precision: str
    kind: str
    share: float
    """Of the rate that saturates the system."""
    round: int
    rate: float
    """Requests a second."""
    requests: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    client: float = 0.0
    """Cores that the client kept busy."""

    def seen(self, found: Arrivals) -> "OpenLoop":
        """With what was measured."""
        p50, p95, p99 = map(found.percentile, (50, 95, 99))
        return replace(
            self,
            requests=len(found.latencies),
            p50=p50,
            p95=p95,
            p99=p99,
            client=found.cpu / found.duration,
        )


@dataclass(slots=True)
class Results:
    """Figures as they were measured; what is concluded from them stands in the table."""

    machine: Machine
    started: str = field(default_factory=lambda: time.strftime("%Y-%m-%d"))
    cells: list[Cell] = field(default_factory=list)
    replicated: list[Cell] = field(default_factory=list)
    """One encoder and two, on the same cores."""
    layouts: dict[str, str] = field(default_factory=dict)
    """How the bare runtime was at its best, by precision and kind of text."""
    singles: list[Single] = field(default_factory=list)
    open_loops: list[OpenLoop] = field(default_factory=list)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    """Resident mebibytes of the platform's services, by when they were taken."""
    trials: dict[str, list[Trial]] = field(default_factory=dict)
    """What each peer was tried with; the best is what it was measured with."""
    cosines: dict[str, float] = field(default_factory=dict)
    """Least cosine to the bare runtime's fp32 vectors, by system."""
    left_out: dict[str, str] = field(default_factory=dict)
    """What was not measured, and why."""
    seconds: float = 0.0
    """That the whole run took."""

    @property
    def stem(self) -> str:
        """Name of the files: the date and the processor."""
        return f"{self.started}-{re.sub(r'[^a-z0-9]+', '-', self.machine.cpu.lower()).strip('-')}"

    def write(self, folder: Path, name: str) -> Path:
        """Write the JSON; its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path
