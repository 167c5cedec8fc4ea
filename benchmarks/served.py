"""A system behind HTTP, whichever it is: the same client and the same texts for all."""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from benchmarks import closed_loop
from benchmarks.cell import Cell
from benchmarks.closed_loop import Load, LoadError, Plan, Target
from benchmarks.processes import Meter, awake
from benchmarks.rows import Row
from benchmarks.runtimes import Vectors
from benchmarks.texts import KINDS, Source, Text, mean_tokens, tokens_of_characters

CLIENT: Final = "client"
MIN_WARM_UP: Final = 0.5
"""Seconds of load before answers are counted, at least."""
TURNS: Final = 1.3
"""So often what is under way at once is answered before answers are counted, at most."""
MARGIN: Final = 1.5
"""Texts made for a run, over those that are likely to be answered."""
MAX_DOUBLINGS: Final = 4
EMBED_TIMEOUT: Final = 120.0
EMBED_TEXTS: Final = 16
"""Texts of a request where vectors are compared."""


@dataclass(slots=True)
class Served:
    """A running server."""

    name: str
    precision: str
    target: Target
    roots: Mapping[str, int]
    """Pids by the name under which their processor time is reported, descendants included."""
    source: Source
    rates: Mapping[str, float]
    """Likely tokens a second, by kind: how many texts are made and how long it warms up."""
    counts: Literal["tokens", "characters"] = "tokens"
    """What the answer's usage says of its input."""
    kinds: Sequence[str] = KINDS
    """Of texts that it is asked: a peer may run once for short ones and once for others."""
    rests: bool = False
    """Whether it is stopped (SIGSTOP) while it is not measured."""

    def measure(self, row: Row, number: int, seconds: float) -> Cell:
        """A closed loop of the row. Raises LoadError where not all was answered in order."""
        with self.working():
            meter = Meter(self.roots)
            load = self._load(row, seconds)
            used = {**meter.read(), CLIENT: load.cpu}
            self._settle()
        return Cell(
            self.name,
            self.precision,
            row.name,
            number,
            seconds,
            load.answers,
            self._tokens(load.counted, load.answers * row.per_request),
            *(load.p50, load.p95, load.p99),
            {name: spent / load.duration for name, spent in used.items()},
        )

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let it run for the length of the block, where it rests otherwise."""
        pids = list(self.roots.values())
        with awake(pids[0]) if self.rests else nullcontext():
            yield

    def embed(self, texts: Sequence[Text]) -> Vectors:
        """Its vectors, as a client gets them."""
        with self.working():
            parts = [
                self._post([text.text for text in texts[start : start + EMBED_TEXTS]])
                for start in range(0, len(texts), EMBED_TEXTS)
            ]
        rows = [item["embedding"] for part in parts for item in part["data"]]
        counted = sum(part["usage"][self.target.counter] for part in parts)
        expected = sum(len(text.ids) for text in texts)
        if self._tokens(counted, len(texts)) != expected:
            raise LoadError(f"{self.name} counted {counted}, not {expected} tokens")
        return np.array(rows, np.float32)

    def _load(self, row: Row, seconds: float) -> Load:
        """A run with texts enough: where a system is faster than thought, it is run again."""
        plan = Plan(row.per_request, row.at_once, self._warm_up(row), seconds)
        at_once = row.at_once * row.per_request
        tokens = self.rates[row.kind] * plan.duration * MARGIN
        count = int(tokens / mean_tokens(row.kind)) + 2 * at_once
        for _ in range(MAX_DOUBLINGS):
            load = closed_loop.run(self.target, self.source.take(row.kind, count), plan)
            if not load.exhausted:
                return load
            count *= 2
        raise LoadError(f"{count} texts were not enough for {seconds} s")

    def _warm_up(self, row: Row) -> float:
        """Seconds in which the first requests of the row are answered, with some to spare."""
        tokens = row.at_once * row.per_request * mean_tokens(row.kind)
        return max(MIN_WARM_UP, TURNS * tokens / self.rates[row.kind])

    def _settle(self) -> None:
        """Return once what the load left behind is done: the answer to one more text."""
        self._post([self.source.take("short", 1)[0].text])

    def _tokens(self, counted: int, texts: int) -> int:
        return counted if self.counts == "tokens" else tokens_of_characters(counted, texts)

    def _post(self, texts: list[str]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(
            self.target.host, self.target.port, timeout=EMBED_TIMEOUT
        )
        headers = {"content-type": "application/json"}
        connection.request("POST", self.target.path, self.target.body(texts), headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != http.client.OK:
            raise LoadError(f"{self.name} answered {answer.status}: {content[:300]!r}")
        document: dict[str, Any] = json.loads(content)
        return document
