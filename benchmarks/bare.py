"""The bare runtime: what the machine could do if serving cost nothing.

Texts are tokenized, sorted by length, cut and padded beforehand, and none of it is timed; graph,
thread layout and batch budget are the best of those tried, for each kind of text.
"""

import itertools
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.cell import Cell
from benchmarks.processes import Meter
from benchmarks.rows import Row
from benchmarks.runtimes import Graph, Run, Vectors, graphs, open_graph
from benchmarks.system import BARE
from benchmarks.texts import KINDS, Ids, Source, Text, mean_tokens
from triptych_bundles.manifest import Bundle
from triptych_servicekit.cores import available_cores

BUDGETS: Final = (256, 384, 512, 1024)
"""Most tokens of a batch, padding included; beyond, a batch leaves the cache."""
TRIAL_TOKENS: Final = 4096
"""Of one trial of a layout: a quarter of a second in fp32."""
FINALISTS, FINAL_TRIALS = 3, 2
"""The best layouts of one trial each are tried again so often, and the best median is taken."""

Feeds = Mapping[str, NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class Layout:
    """A way to run sorted texts."""

    graph: Graph
    workers: int
    threads: int
    budget: int

    @property
    def name(self) -> str:
        """For the report."""
        where = f"{self.graph.variant} on {self.graph.runtime}"
        return f"{where}, {self.workers}x{self.threads}, {self.budget} tokens"


def cut(texts: Sequence[Ids], budget: int) -> list[list[Ids]]:
    """Neighbours by length, longest first, as many to a batch as its padded area stays in budget.

    A text that is longer than the budget is a batch of its own.
    """
    batches: list[list[Ids]] = []
    for ids in sorted(texts, key=len, reverse=True):
        if not batches or (len(batches[-1]) + 1) * len(batches[-1][0]) > budget:
            batches.append([])
        batches[-1].append(ids)
    return batches


def pad(batch: Sequence[Ids]) -> Feeds:
    """The graph's inputs, int32[batch, longest]."""
    ids = np.zeros((len(batch), max(map(len, batch))), np.int32)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


@dataclass(slots=True)
class Bare:
    """The runtime at one precision."""

    bundle: Bundle
    precision: str
    source: Source
    idle: Mapping[str, int] = field(default_factory=dict)
    """Pids of what must do nothing meanwhile; the processor time that it takes is written down."""
    name: str = BARE
    kinds: Sequence[str] = KINDS
    layouts: dict[str, Layout] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    """Tokens a second that a kind of text reached when its layout was chosen."""
    _open: dict[tuple[Graph, int, int], Run] = field(default_factory=dict)

    def tune(self, kind: str) -> None:
        """Choose the layout for a kind of text, once."""
        if kind in self.layouts:
            return
        texts = self.source.take(kind, int(TRIAL_TOKENS / mean_tokens(kind)))
        once = {layout: self._seconds(layout, texts) for layout in self._candidates()}
        best = sorted(once, key=once.__getitem__)[:FINALISTS]
        again: dict[Layout, list[float]] = {layout: [] for layout in best}
        for _, layout in itertools.product(range(FINAL_TRIALS), best):
            again[layout].append(self._seconds(layout, texts))
        medians = {layout: statistics.median(times) for layout, times in again.items()}
        self.layouts[kind] = min(medians, key=medians.__getitem__)
        tokens = sum(len(text.ids) for text in texts)
        self.rates[kind] = tokens / medians[self.layouts[kind]]

    def measure(self, row: Row, number: int, seconds: float) -> Cell:
        """Texts of the row's kind for about so many seconds."""
        self.tune(row.kind)
        count = int(self.rates[row.kind] * seconds / mean_tokens(row.kind)) + 1
        texts = self.source.take(row.kind, count)
        meter = Meter(self.idle)
        elapsed = self._seconds(self.layouts[row.kind], texts)
        tokens = sum(len(text.ids) for text in texts)
        others = {name: spent / elapsed for name, spent in meter.read().items()}
        return Cell(
            self.name, self.precision, row.name, number, elapsed, count, tokens, cores=others
        )

    def embed(self, texts: Sequence[Text]) -> Vectors:
        """Raw vectors, each text on its own, by the first graph of the precision."""
        run = self.opened(graphs(self.bundle, self.precision)[0][0], available_cores(), 1)
        return np.concatenate([run(pad([text.ids])) for text in texts])

    def opened(self, graph: Graph, workers: int, threads: int) -> Run:
        """A graph in a layout of threads; opened once."""
        key = (graph, workers, threads)
        if key not in self._open:
            self._open[key] = open_graph(self.bundle, graph, workers, threads)
        return self._open[key]

    def _candidates(self) -> Iterable[Layout]:
        cores = available_cores()
        threads = {(cores, 1), (1, cores)}
        usable, _ = graphs(self.bundle, self.precision)
        for graph, (workers, each), budget in itertools.product(usable, threads, BUDGETS):
            yield Layout(graph, workers, each, budget)

    def _seconds(self, layout: Layout, texts: Sequence[Text]) -> float:
        run = self.opened(layout.graph, layout.workers, layout.threads)
        feeds = [pad(batch) for batch in cut([text.ids for text in texts], layout.budget)]
        with ThreadPoolExecutor(layout.workers) as pool:
            list(pool.map(run, feeds[: layout.workers]))  # threads and their memory are there
            started = time.perf_counter()
            list(pool.map(run, feeds))
            return time.perf_counter() - started
