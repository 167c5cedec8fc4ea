"""Results in columns as entries of an answer, one for each input without error, in order."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.routes.answers import Encode, Entry
from triptych_gateway.tasks import Classes, Entities, Pieced, Ranked


def embedding_entries(embeddings: NDArray[Any], encode: Encode) -> Iterator[Entry]:
    """An embedding each."""
    return ({"embedding": encode(row)} for row in embeddings)


def piece_entries(found: Pieced, items: Sequence[int], encode: Encode) -> Iterator[Entry]:
    """Pieces each, of the inputs `items`, which are those without error."""
    pieces = found.pieces
    starts = np.searchsorted(pieces.item_index, items, side="left").tolist()
    ends = np.searchsorted(pieces.item_index, items, side="right").tolist()
    for run in map(slice, starts, ends):
        columns = zip(
            pieces.start[run].tolist(), pieces.end[run].tolist(), found.embeddings[run], strict=True
        )
        yield {
            "chunking": "late" if pieces.late[run.start] else "window",
            "chunks": [
                {"start": start, "end": end, "embedding": encode(row)}
                for start, end, row in columns
            ],
        }


def class_entries(classes: Classes) -> Iterator[Entry]:
    """Classes each, best first."""
    names = classes.labels
    for ids, scores in zip(classes.label_ids.tolist(), classes.scores, strict=True):
        labels = [
            {"label": names[id_], "score": score} for id_, score in zip(ids, scores, strict=True)
        ]
        yield {"labels": labels}


def entity_entries(entities: Entities, items: Sequence[int]) -> Iterator[Entry]:
    """Entities each, of the inputs `items`, which are those without error."""
    found = list(_entities(entities))
    starts = np.searchsorted(entities.item_index, items, side="left").tolist()
    ends = np.searchsorted(entities.item_index, items, side="right").tolist()
    for start, end in zip(starts, ends, strict=True):
        yield {"entities": found[start:end]}


def _entities(entities: Entities) -> Iterator[Entry]:
    columns = zip(
        entities.label_id.tolist(),
        entities.score,
        entities.start.tolist(),
        entities.end.tolist(),
        entities.texts,
        strict=True,
    )
    for label, score, start, end, text in columns:
        name = entities.labels[label]
        yield {"label": name, "score": score, "start": start, "end": end, "text": text}


def rank_entries(
    found: Ranked, documents: Sequence[str], return_documents: bool
) -> Iterator[Entry]:
    """Documents by relevance."""
    for index, score in zip(found.document_index.tolist(), found.scores, strict=True):
        text = {"text": documents[index]} if return_documents else {}
        yield {"index": index, "score": score, **text}
