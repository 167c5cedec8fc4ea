"""All that a run found, as it is written down."""

import json
import re
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cell import Cell
from benchmarks.machine import Machine


@dataclass(slots=True)
class Results:
    """Figures as they were measured; what is concluded from them stands in the table."""

    machine: Machine
    started: str = field(default_factory=lambda: time.strftime("%Y-%m-%d"))
    cells: list[Cell] = field(default_factory=list)
    layouts: dict[str, str] = field(default_factory=dict)
    """How the bare runtime was at its best, by precision and kind of text."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What each peer was at its best with, and what else was tried."""
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
