"""Inputs that are longer than the model, answered for as a whole."""

from collections.abc import Sequence

import numpy as np

from triptych_gateway.chunk import Chunk
from triptych_gateway.columns import empty_result
from triptych_gateway.journey import answer_weight
from triptych_gateway.reading import Encoded, Reader, Reading, Windows
from triptych_gateway.tasks import Input, Usage
from triptych_gateway.work import DocumentWork
from triptych_servicekit.errors import TriptychError


async def answer(reader: Reader, reading: Reading, inputs: Sequence[Input]) -> Chunk:
    """A result for each of the plan's tasks, of the inputs' windows together."""
    job, plan = reading.job, reading.job.plan
    text = plan.text(reading.windowing.text(job.text))
    chunk, windows = await reader.tokenize(reading, text, inputs)
    if len(chunk):
        count_encoded(chunk, windows)
        encoded = await reader.encode(reading, plan.outputs, plan.numbers(), windows.sequences)
        chunk.spend(encoded.timing)
        await _answer(reader, reading, chunk, windows, encoded)
    if chunk.results is None:
        chunk.results = [empty_result(job.model, task) for task in plan.tasks]
    return chunk


def count_encoded(chunk: Chunk, windows: Windows) -> None:
    """An input costs the tokens of all its windows."""
    kept = chunk.usage.kept_tokens.copy()
    kept[slice(None) if chunk.positions is None else chunk.positions] = windows.encoded()
    chunk.usage = Usage(chunk.usage.total_tokens, kept)


def failed_items(windows: Windows, encoded: Encoded) -> dict[int, TriptychError]:
    """An input fails with the first of its windows that did."""
    rows = sorted(encoded.errors, reverse=True)
    return {int(windows.item[row]): encoded.errors[row] for row in rows}


async def _answer(
    reader: Reader, reading: Reading, chunk: Chunk, windows: Windows, encoded: Encoded
) -> None:
    failed = failed_items(windows, encoded)
    chunk.fail(failed)
    if not len(chunk):
        return
    plan, passage = reading.job.plan, reader.passage
    work = _work(chunk, windows, encoded, plan.outputs, sorted(failed))
    call = passage.calls.answer_documents(reading.job.model, plan.tasks, plan.inputs)
    result, held = await passage.stages.postprocess.submit(
        work, call, answer_weight(work), chunk.living()
    )
    chunk.take_answer(result, held)


def _work(
    chunk: Chunk, windows: Windows, encoded: Encoded, outputs: Sequence[str], failed: Sequence[int]
) -> DocumentWork:
    """What goes to postprocess of the inputs that have not failed."""
    lengths, layout = windows.sequences.lengths, windows.layout
    kept = ~np.isin(windows.item, failed)
    item = windows.item[kept]
    if layout is not None:
        layout = layout.without(np.flatnonzero(~kept).tolist())
    return DocumentWork(
        encoded.of(outputs, kept, lengths),
        len(chunk),
        lengths[kept],
        (item - np.searchsorted(failed, item)).astype(np.int32),
        windows.start[kept],
        layout,
    )
