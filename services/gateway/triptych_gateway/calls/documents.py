"""Calls of postprocess about inputs of several windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from triptych.v1 import types_pb2 as types
from triptych_gateway.calls.postprocess import analyze, layout_of
from triptych_gateway.calls.sharing import Entries
from triptych_gateway.columns import join
from triptych_gateway.tasks import Task
from triptych_gateway.work import AnswerResult, DocumentWork
from triptych_servicekit.tensors import to_tensor


@dataclass(frozen=True, slots=True)
class DocumentCall:
    """Does tasks on DocumentWorks; each goes with the index of the array that it reads."""

    digest: str
    tasks: tuple[tuple[Task, int], ...]

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[AnswerResult]:
        """A result for each task of each entry."""
        return await analyze(replica, self.digest, self.tasks, entries, _sequences(entries))


def _sequences(entries: Entries) -> types.SequenceBatch:
    works: list[DocumentWork] = [entry.work for entry in entries]
    batch = layout_of(entries) or types.SequenceBatch()
    starts = accumulate((work.count for work in works), initial=0)
    index = [work.item_index + np.int32(start) for work, start in zip(works, starts, strict=False)]
    batch.lengths.CopyFrom(to_tensor(join([work.lengths for work in works])))
    batch.item_index.CopyFrom(to_tensor(join(index)))
    batch.window_start.CopyFrom(to_tensor(join([work.window_start for work in works])))
    return batch
