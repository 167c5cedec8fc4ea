"""sentence-transformers without a server: what a program pays that encodes its own texts."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.cell import Cell
from benchmarks.closed_loop import LoadError
from benchmarks.peers.known import IN_PROCESS, encode_program
from benchmarks.peers.peer import ENVIRONMENTS, Setting, started
from benchmarks.processes import Meter, awake
from benchmarks.rows import Row
from benchmarks.runtimes import Vectors
from benchmarks.texts import Source, Text, mean_tokens

LIKELY_RATE: Final = 20_000
"""Tokens a second that it stays below; so many texts are made for a run."""
PATIENCE: Final = 1e6


@dataclass(slots=True)
class InProcess:
    """A process that encodes what it is handed. A row's texts at once are one call's list."""

    precision: str
    setting: Setting
    process: subprocess.Popen[str]
    source: Source
    kinds: Sequence[str]
    name: str = IN_PROCESS

    def measure(self, row: Row, number: int, seconds: float) -> Cell:
        """Calls one after the other, for about so many seconds."""
        call = row.per_request * row.at_once
        count = int(LIKELY_RATE * seconds / mean_tokens(row.kind)) + 2 * call
        texts = self.source.take(row.kind, count)
        with awake(self.process.pid):
            self._ask(self.source.take(row.kind, call), call, seconds)
            meter = Meter({self.name: self.process.pid})
            calls: list[float] = self._ask(texts, call, seconds)["calls"]
            used = meter.read()
        elapsed = sum(calls)
        p50, p95, p99 = map(float, np.percentile(calls, (50, 95, 99)))
        tokens = sum(len(text.ids) for text in texts[: call * len(calls)])
        busy = {name: spent / elapsed for name, spent in used.items()}
        return Cell(
            *(self.name, self.precision, row.name, number, elapsed, len(calls), tokens),
            *(p50, p95, p99, busy),
        )

    def embed(self, texts: Sequence[Text]) -> Vectors:
        """All in one call."""
        with awake(self.process.pid):
            answer = self._ask(texts, len(texts), PATIENCE, vectors=True)
        return np.array(answer["vectors"], np.float32)

    def _ask(
        self, texts: Sequence[Text], call: int, seconds: float, *, vectors: bool = False
    ) -> dict[str, Any]:
        asked = {"texts": [text.text for text in texts], "call": call, "seconds": seconds}
        asked |= {"batch_size": self.setting.batch_size, "vectors": vectors}
        if self.process.stdin is None or self.process.stdout is None:
            raise LoadError("it has no pipes")
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise LoadError(f"it ended: see {self.name}.log among the environments")
        document: dict[str, Any] = json.loads(answer)
        return document


@contextmanager
def encoding(
    setting: Setting, kinds: Sequence[str], precision: str, model: Path, source: Source
) -> Iterator[InProcess]:
    """The process, ready once it answers."""
    log = ENVIRONMENTS / f"{IN_PROCESS}.log"
    launch = encode_program(setting, precision, model)
    with started(launch, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        system = InProcess(precision, setting, process, source, kinds)
        system.embed(source.take("short", 1))
        yield system
