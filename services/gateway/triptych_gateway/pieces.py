"""Embeddings of pieces of texts: of windows, or of a pass over the whole text (late chunking).

Late chunking is that of Günther et al., arXiv:2409.04701: the vectors of a piece's tokens are
averaged after they have seen all of the text, without the special tokens around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import HIDDEN_OUTPUT
from triptych_gateway.chunk import Chunk
from triptych_gateway.columns import empty_result, join
from triptych_gateway.documents import count_encoded, failed_items
from triptych_gateway.journey import answer_weight
from triptych_gateway.models.background import ranked
from triptych_gateway.reading import Encoded, Reader, Reading, Windows
from triptych_gateway.segments import Segments, cut, whole
from triptych_gateway.tasks import Pieces, TextOptions, Timing, Usage, WindowOptions
from triptych_gateway.windowing import TOO_MANY_WINDOWS
from triptych_gateway.work import SEGMENTS, AnswerWork
from triptych_servicekit.errors import TriptychError

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pooled:
    """Vectors or embeddings [R, width] of pieces."""

    rows: NDArray[np.generic]
    pieces: Pieces


@dataclass(slots=True)
class Made:
    """What has been made of N texts so far; each of them is taken once."""

    usage: Usage
    errors: dict[int, TriptychError] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    pooled: list[Pooled] = field(default_factory=list)

    def take(self, chunk: Chunk, rows: Rows, texts: Rows, pooled: Pooled) -> None:
        """Those `rows` of a chunk's inputs which are `texts`, and their pieces."""
        self.usage.total_tokens[texts] = chunk.usage.total_tokens[rows]
        self.usage.kept_tokens[texts] = chunk.usage.kept_tokens[rows]
        names = dict(zip(rows.tolist(), texts.tolist(), strict=True))
        self.errors |= {names[row]: error for row, error in chunk.errors.items() if row in names}
        self.timing.tokenize += chunk.timing.tokenize
        self.timing.queue += chunk.timing.queue
        self.timing.encode += chunk.timing.encode
        places = np.zeros(chunk.size, np.int64)
        places[rows] = texts
        self.pooled.append(replace(pooled, pieces=pooled.pieces.placed(places)))

    def joined(self) -> Pooled:
        """All pieces, in the order of their texts."""
        columns = [one.pieces for one in self.pooled]
        item = join([one.item_index for one in columns])
        order = np.argsort(item, kind="stable")
        pieces = Pieces(
            item[order],
            join([one.start for one in columns])[order],
            join([one.end for one in columns])[order],
            join([one.late for one in columns])[order],
        )
        living = [one.rows for one in self.pooled if len(one.rows)]
        return Pooled(join(living)[order] if living else np.empty((0, 0)), pieces)


async def embed(
    reader: Reader, reading: Reading, late: bool, texts: Sequence[str]
) -> tuple[Chunk, Pooled]:
    """The texts, and an embedding for each of their pieces, by the plan's only task."""
    made = Made(Usage(*np.zeros((2, len(texts)), np.int32)))
    left = np.arange(len(texts))
    if late and HIDDEN_OUTPUT in reading.job.model.outputs:
        left = await _take_late(reader, reading, texts, made)
    if len(left):
        chunk, pooled = await _windows(reader, reading, [texts[index] for index in left.tolist()])
        made.take(chunk, np.arange(len(left)), left, pooled)
    pooled = await _answered(reader, reading, made)
    origin = ranked(reading.job.origin)
    return Chunk([(origin, len(texts))], made.usage, [made.timing], made.errors), pooled


async def _windows(reader: Reader, reading: Reading, texts: Sequence[str]) -> tuple[Chunk, Pooled]:
    """A piece for each window."""
    plan, text = reading.job.plan, _text(reading)
    chunk, windows = await reader.tokenize(reading, text, texts)
    if not len(chunk):
        return chunk, _nothing()
    count_encoded(chunk, windows)
    encoded = await reader.encode(reading, plan.outputs, plan.numbers(), windows.sequences)
    return chunk, _pooled(chunk, windows, encoded, whole(windows), late=False)


async def _take_late(reader: Reader, reading: Reading, texts: Sequence[str], made: Made) -> Rows:
    """Take the texts that the model takes as a whole. Returns the others."""
    text = replace(_text(reading), max_length=0, windows=WindowOptions(0, 1))
    chunk, windows = await reader.tokenize(reading, text, texts)
    left = {index for index, error in chunk.errors.items() if error.reason == TOO_MANY_WINDOWS}
    pooled = _nothing()
    if len(chunk):
        segments, fits = cut(windows, reading.windowing)
        left |= set(chunk.places()[~fits].tolist())
        pooled = await _late(reader, reading, chunk, windows.only(fits), segments.of(fits))
    done = np.array([index for index in range(len(texts)) if index not in left], np.int64)
    made.take(chunk, done, done, pooled)
    return np.array(sorted(left), np.int64)


async def _late(
    reader: Reader, reading: Reading, chunk: Chunk, windows: Windows, segments: Segments
) -> Pooled:
    """Pieces of one pass over each of some inputs of a chunk."""
    reading.tally.add(len(segments.sequence))
    if not len(windows.item):
        return _nothing()
    work = replace(windows.sequences, segments=segments.columns())
    encoded = await reader.encode(reading, (SEGMENTS,), reading.job.model.hidden_size, work)
    return _pooled(chunk, windows, encoded, segments, late=True)


def _pooled(
    chunk: Chunk, windows: Windows, encoded: Encoded, segments: Segments, *, late: bool
) -> Pooled:
    """Vectors of the segments of inputs that have not failed."""
    chunk.spend(encoded.timing)
    item, places = windows.item[segments.sequence], chunk.places()
    failed = failed_items(windows, encoded)
    chunk.fail(failed)
    alive = ~np.isin(segments.sequence, list(encoded.errors))
    kept = ~np.isin(item, list(failed))
    if not kept.any():
        return _nothing()
    pieces = Pieces(
        places[item[kept]].astype(np.int32),
        segments.start[kept],
        segments.end[kept],
        np.full(int(kept.sum()), late),
    )
    return Pooled(encoded.arrays[0][kept[alive]], pieces)


async def _answered(reader: Reader, reading: Reading, made: Made) -> Pooled:
    """Embeddings of the vectors; a text fails with any of them."""
    job, pooled = reading.job, made.joined()
    if not len(pooled.rows):
        nothing = cast("NDArray[Any]", empty_result(job.model, job.plan.tasks[0]))
        return Pooled(nothing, pooled.pieces)
    work, item = AnswerWork((pooled.rows,), len(pooled.rows)), pooled.pieces.item_index
    call = reader.passage.calls.answer(job.model, job.plan.tasks, job.plan.inputs)
    result, held = await reader.passage.stages.postprocess.submit(
        work, call, answer_weight(work), [(ranked(job.origin), work.count)]
    )
    made.timing.postprocess = result.times[0].compute
    made.timing.queue += held + result.times[0].queue
    failed = {int(item[row]): error for row, error in result.errors.items()}
    made.errors |= failed
    kept = ~np.isin(item, list(failed))
    alive = np.ones(len(item), bool)
    alive[list(result.errors)] = False
    return Pooled(result.results[0][kept[alive]], pooled.pieces.only(kept))


def _text(reading: Reading) -> TextOptions:
    return replace(reading.windowing.text(reading.job.text), layout=True)


def _nothing() -> Pooled:
    nothing = np.empty(0, np.int32)
    return Pooled(np.empty((0, 0)), Pieces(nothing, nothing, nothing, nothing.astype(bool)))
