"""Calls of the tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import tokenizer_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_gateway.calls.sharing import (
    Entries,
    contexts,
    invoke,
    split_errors,
    stage_times,
    surviving,
)
from triptych_gateway.columns import join, split, sum_runs
from triptych_gateway.tasks import Input, Pair, TextOptions, TokenIds, WindowOptions
from triptych_gateway.work import DetokenizeResult, TokenizeResult
from triptych_servicekit.tensors import INT32, from_tensor, to_tensor

TRUNCATIONS: Final = {
    "error": pb.TRUNCATION_ERROR,
    "right": pb.TRUNCATION_RIGHT,
    "left": pb.TRUNCATION_LEFT,
}

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TokenizeCall:
    """Tokenizes TokenizeWorks with the same options."""

    digest: str
    text: TextOptions

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[TokenizeResult]:
        """Results of the entries, in order."""
        counts = [len(entry.work.inputs) for entry in entries]
        request = pb.TokenizeRequest(
            model=types.ModelRef(digest=self.digest),
            inputs=[_input(item) for entry in entries for item in entry.work.inputs],
            options=_options(self.text),
            contexts=contexts(entries),
        )
        response = await invoke(replica.stub.Tokenize, request, entries)
        return _results(response, counts, entries)


@dataclass(frozen=True, slots=True)
class DetokenizeCall:
    """Decodes DetokenizeWorks."""

    digest: str
    include_special_tokens: bool

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[DetokenizeResult]:
        """Results of the entries, in order."""
        counts = [len(entry.work.lengths) for entry in entries]
        sequences = types.SequenceBatch(
            lengths=to_tensor(join([entry.work.lengths for entry in entries])),
            input_ids=to_tensor(join([entry.work.input_ids for entry in entries])),
        )
        request = pb.DetokenizeRequest(
            model=types.ModelRef(digest=self.digest),
            sequences=sequences,
            include_special_tokens=self.include_special_tokens,
            contexts=contexts(entries),
        )
        response = await invoke(replica.stub.Detokenize, request, entries)
        return _texts(response, counts, entries)


def _texts(
    response: pb.DetokenizeResponse, counts: Sequence[int], entries: Entries
) -> list[DetokenizeResult]:
    texts, results, start = list(response.texts), [], 0
    errors, times = split_errors(response.errors, counts), stage_times(response.timings, entries)
    for count, failed, time in zip(counts, errors, times, strict=True):
        results.append(DetokenizeResult(texts[start : start + count], failed, time))
        start += count
    return results


def _input(item: Input) -> pb.TokenizeInput:
    if isinstance(item, str):
        return pb.TokenizeInput(text=item)
    if isinstance(item, Pair):
        return pb.TokenizeInput(pair=pb.TextPair(first=item.first, second=item.second))
    return pb.TokenizeInput(token_ids=pb.TokenIds(ids=_ids(item)))


def _ids(item: TokenIds) -> types.Tensor:
    return to_tensor(np.asarray(item.ids, np.int32))


def _options(text: TextOptions) -> pb.TokenizeOptions:
    windows = text.windows or WindowOptions()
    cut = TRUNCATIONS[text.truncation] if text.windows is None else pb.TRUNCATION_WINDOW
    return pb.TokenizeOptions(
        add_special_tokens=text.add_special_tokens,
        truncation=cut,
        stride=windows.stride or 0,
        max_windows=windows.max_windows,
        max_length=text.max_length,
        prompt_name=text.prompt_name,
        include_offsets=text.layout,
        include_word_ids=text.word_ids,
        include_special_tokens_mask=text.layout,
    )


def _results(
    response: pb.TokenizeResponse, counts: Sequence[int], entries: Entries
) -> list[TokenizeResult]:
    errors = split_errors(response.errors, counts)
    index, living = _items(response.sequences, counts, surviving(counts, errors))
    all_lengths = _required(response.sequences.lengths, "lengths")
    lengths, sizes = split(all_lengths, living), sum_runs(all_lengths, living)
    starts = _column(response.sequences, "window_start", living)
    names = ("input_ids", "token_type_ids", "offsets", "word_ids", "special_tokens_mask")
    columns = [_column(response.sequences, name, sizes) for name in names]
    totals = split(_required(response.total_tokens, "total_tokens"), counts)
    kept = split(_required(response.kept_tokens, "kept_tokens"), counts)
    ids, *others = columns
    times = stage_times(response.timings, entries)
    parts = zip(ids, lengths, *others, totals, kept, errors, times, index, starts, strict=True)
    return [TokenizeResult(*part) for part in parts]


def _items(
    sequences: types.SequenceBatch, counts: Sequence[int], living: Sequence[int]
) -> tuple[list[Ints | None], Sequence[int]]:
    """Whose sequences each entry's are, counted from its first input, and how many it has."""
    if not sequences.HasField("window_start"):
        return [None] * len(counts), living
    index, ends = _required(sequences.item_index, "item_index"), np.cumsum(counts)
    sizes = np.diff(np.searchsorted(index, ends), prepend=0).tolist()
    parts = zip(split(index, sizes), ends.tolist(), counts, strict=True)
    return [part - np.int32(end - count) for part, end, count in parts], sizes


def _column(sequences: types.SequenceBatch, name: str, sizes: Sequence[int]) -> list[Any]:
    """Each entry's part of a column over tokens; None throughout where the column is not set."""
    if not sequences.HasField(name):  # type: ignore[arg-type]
        return [None] * len(sizes)
    return list(split(_required(getattr(sequences, name), name), sizes))


def _required(tensor: types.Tensor, name: str) -> Ints:
    return from_tensor(tensor, name, dtypes=INT32, dimensions=(1, 2))
