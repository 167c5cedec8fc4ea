"""Stages in memory that speak the contract's messages, so that a pipeline can be tested without
their processes. Characters are tokens; what they make of them is simple enough to check by hand.

A sequence with a `!` fails in the encoder; an item whose first number is not one, which `?` makes
it, fails in postprocess.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import encoder_service_pb2 as enc
from triptych.v1 import postprocess_service_pb2 as post
from triptych.v1 import tokenizer_service_pb2 as tok
from triptych.v1 import types_pb2 as types
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.status import to_status
from triptych_servicekit.tensors import DTYPES, from_tensor, to_tensor

KILLS_ENCODER, KILLS_POSTPROCESS = ord("!"), ord("?")
TAGS = ("O", "I-NUM")


def array(tensor: types.Tensor) -> NDArray[Any]:
    return from_tensor(tensor, "tensor", dtypes=DTYPES, dimensions=(1, 2))


def ints(values: Sequence[Any]) -> types.Tensor:
    return to_tensor(np.array(values, np.int32))


def error(index: int, field_: str) -> types.ItemError:
    status = to_status(InvalidArgument(f"{field_} is bad", field=field_))
    return types.ItemError(index=index, status=status)


def timings(request: Any) -> list[types.StageTiming]:
    return [types.StageTiming() for _ in request.contexts]


def vector(ids: Sequence[int], pooling: int) -> list[float]:
    """Two numbers: the sum of the ids, and which pooling it was."""
    return [float("nan") if KILLS_POSTPROCESS in ids else float(sum(ids)), float(pooling)]


def windowed(
    request: tok.TokenizeRequest, texts: Sequence[str], limit: int
) -> tok.TokenizeResponse:
    """Windows of `limit` characters; a text that needs more of them than it may fails."""
    stride, most = request.options.stride, request.options.max_windows
    cuts = [range(0, max(1, len(text) - stride), limit - stride) for text in texts]
    bad = [index for index, starts in enumerate(cuts) if most and len(starts) > most]
    rows = [(i, at) for i, starts in enumerate(cuts) if i not in bad for at in starts]
    parts = [texts[index][at : at + limit] for index, at in rows]
    places = [
        place for (_, at), part in zip(rows, parts, strict=True)
        for place in range(at, at + len(part))
    ]  # fmt: skip
    sequences = types.SequenceBatch(
        lengths=ints([len(part) for part in parts]),
        input_ids=ints([ord(character) for part in parts for character in part]),
        offsets=to_tensor(np.array([(at, at + 1) for at in places], np.int32).reshape(-1, 2)),
        word_ids=ints(places),
        special_tokens_mask=ints([0] * len(places)),
    )
    if len(rows) > len(texts) - len(bad):
        sequences.window_start.CopyFrom(ints([at for _, at in rows]))
    if bad or len(rows) > len(texts):
        sequences.item_index.CopyFrom(ints([index for index, _ in rows]))
    totals = [len(text) for text in texts]
    reason = InvalidArgument("too many", reason="TOO_MANY_WINDOWS", field="inputs")
    return tok.TokenizeResponse(
        sequences=sequences,
        total_tokens=ints(totals),
        kept_tokens=ints([0 if index in bad else size for index, size in enumerate(totals)]),
        errors=[types.ItemError(index=index, status=to_status(reason)) for index in bad],
        timings=timings(request),
    )


@dataclass
class MemoryStages:
    """Stubs of all three services, which keep their requests."""

    requests: list[Any] = field(default_factory=list)

    def of(self, kind: type[Any]) -> list[Any]:
        """The requests of a kind."""
        return [request for request in self.requests if isinstance(request, kind)]

    async def Tokenize(  # noqa: N802
        self, request: tok.TokenizeRequest, timeout: float
    ) -> tok.TokenizeResponse:
        self.requests.append(request)
        texts = [
            f"{item.pair.first}{item.pair.second}" if item.HasField("pair") else item.text
            for item in request.inputs
        ]
        limit = request.options.max_length or 100
        if request.options.truncation == tok.TRUNCATION_WINDOW:
            return windowed(request, texts, limit)
        errors = [
            error(index, f"inputs[{index}]")
            for index, text in enumerate(texts)
            if len(text) > limit
        ]
        good = [text for text in texts if len(text) <= limit]
        kept = [len(text) if len(text) <= limit else 0 for text in texts]
        ids = [ord(character) for text in good for character in text]
        places = [(place, place + 1) for text in good for place in range(len(text))]
        sequences = types.SequenceBatch(lengths=ints([len(t) for t in good]), input_ids=ints(ids))
        if request.options.include_offsets:
            sequences.offsets.CopyFrom(to_tensor(np.array(places, np.int32).reshape(-1, 2)))
            sequences.special_tokens_mask.CopyFrom(ints([0] * len(ids)))
        if request.options.include_word_ids:
            words = [place for text in good for place in range(len(text))]
            sequences.word_ids.CopyFrom(ints(words))
        return tok.TokenizeResponse(
            sequences=sequences,
            total_tokens=ints([len(text) for text in texts]),
            kept_tokens=ints(kept),
            errors=errors,
            timings=timings(request),
        )

    async def Encode(  # noqa: N802
        self, request: enc.EncodeRequest, timeout: float
    ) -> enc.EncodeResponse:
        self.requests.append(request)
        ends = np.cumsum(array(request.sequences.lengths))[:-1]
        sequences = [row.tolist() for row in np.split(array(request.sequences.input_ids), ends)]
        bad = [index for index, ids in enumerate(sequences) if KILLS_ENCODER in ids]
        good = [ids for ids in sequences if KILLS_ENCODER not in ids]
        return enc.EncodeResponse(
            outputs=[self._output(spec, self._of(spec, good, bad)) for spec in request.outputs],
            errors=[error(index, f"sequences[{index}]") for index in bad],
            timings=timings(request),
        )

    def _of(
        self, spec: enc.OutputSpec, good: list[list[int]], bad: Sequence[int]
    ) -> list[list[int]]:
        """The sequences without error, or their segments."""
        if spec.kind != enc.OUTPUT_KIND_SEGMENTS:
            return good
        place = {old: new for new, old in enumerate(i for i in range(1000) if i not in bad)}
        return [
            good[place[sequence]][first:last]
            for sequence, first, last in array(spec.segments).tolist()
            if sequence not in bad
        ]

    def _output(self, spec: enc.OutputSpec, good: Sequence[list[int]]) -> types.Tensor:
        if spec.kind == enc.OUTPUT_KIND_TOKEN_LOGITS:
            rows = [[0.5, float(chr(one).isdigit())] for ids in good for one in ids]
        elif spec.kind == enc.OUTPUT_KIND_LOGITS:
            rows = [[float(sum(ids))] for ids in good]
        else:
            rows = [vector(ids, spec.pooling) for ids in good]
        width = 1 if spec.kind == enc.OUTPUT_KIND_LOGITS else 2
        return to_tensor(np.array(rows, np.float32).reshape(-1, width))

    async def Embed(  # noqa: N802
        self, request: post.PostprocessServiceEmbedRequest, timeout: float
    ) -> post.PostprocessServiceEmbedResponse:
        self.requests.append(request)
        good, errors = self._screened(array(request.vectors))
        return post.PostprocessServiceEmbedResponse(
            result=self._embed(array(request.vectors), good),
            errors=errors,
            timings=timings(request),
        )

    async def Classify(  # noqa: N802
        self, request: post.PostprocessServiceClassifyRequest, timeout: float
    ) -> post.PostprocessServiceClassifyResponse:
        self.requests.append(request)
        good, errors = self._screened(array(request.inputs))
        return post.PostprocessServiceClassifyResponse(
            result=self._classify(array(request.inputs), request.options, good),
            errors=errors,
            timings=timings(request),
        )

    async def TagTokens(  # noqa: N802
        self, request: post.PostprocessServiceTagTokensRequest, timeout: float
    ) -> post.PostprocessServiceTagTokensResponse:
        self.requests.append(request)
        return post.PostprocessServiceTagTokensResponse(
            result=self._tag(array(request.logits), request.sequences, None),
            timings=timings(request),
        )

    async def Analyze(  # noqa: N802
        self, request: post.PostprocessServiceAnalyzeRequest, timeout: float
    ) -> post.PostprocessServiceAnalyzeResponse:
        self.requests.append(request)
        if request.sequences.HasField("item_index"):
            return self._documents(request)
        good, errors = self._screened(array(request.inputs[0]))
        results = [self._result(task, request, good) for task in request.tasks]
        return post.PostprocessServiceAnalyzeResponse(
            results=results, errors=errors, timings=timings(request)
        )

    def _documents(self, request: Any) -> post.PostprocessServiceAnalyzeResponse:
        """Sums over the windows of each item, whose entities may come several times."""
        index = array(request.sequences.item_index)
        starts = np.flatnonzero(np.diff(index, prepend=-1))
        good = np.ones(len(starts), bool)
        results = []
        for task in request.tasks:
            rows = array(request.inputs[task.input_index])
            if task.HasField("tag"):
                results.append(post.AnalyzeResult(tag=self._tag(rows, request.sequences, None)))
                continue
            sums = np.add.reduceat(rows, starts, axis=0)
            if task.HasField("classify"):
                classes = self._classify(sums, task.classify, good)
                results.append(post.AnalyzeResult(classify=classes))
            else:
                results.append(post.AnalyzeResult(embed=self._embed(sums, good)))
        return post.PostprocessServiceAnalyzeResponse(results=results, timings=timings(request))

    async def Rank(  # noqa: N802
        self, request: post.PostprocessServiceRankRequest, timeout: float
    ) -> post.PostprocessServiceRankResponse:
        """By the first number of each document, plus that of the query where there is one."""
        self.requests.append(request)
        counts = array(request.document_counts)
        rows = request.pairs if request.HasField("pairs") else request.document_vectors
        documents = np.split(array(rows)[:, 0], np.cumsum(counts)[:-1])
        extra = [0.0] * len(counts)
        if request.HasField("query_vectors"):
            extra = array(request.query_vectors)[:, 0].tolist()
        query, document, score = [], [], []
        for index, values in enumerate(documents):
            for place in np.argsort(-values)[: request.top_n or None]:
                query.append(index)
                document.append(int(place))
                score.append(values[place] + extra[index])
        return post.PostprocessServiceRankResponse(
            result=post.RankResult(
                query_index=ints(query),
                document_index=ints(document),
                score=to_tensor(np.array(score, np.float32)),
            ),
            timings=timings(request),
        )

    def _screened(self, rows: NDArray[Any]) -> tuple[NDArray[Any], list[types.ItemError]]:
        bad = np.isnan(rows[:, 0])
        return ~bad, [error(int(index), f"vectors[{index}]") for index in np.flatnonzero(bad)]

    def _result(
        self, task: post.AnalyzeTask, request: Any, good: NDArray[Any]
    ) -> post.AnalyzeResult:
        rows = array(request.inputs[task.input_index])
        if task.HasField("tag"):
            return post.AnalyzeResult(tag=self._tag(rows, request.sequences, good))
        if task.HasField("classify"):
            return post.AnalyzeResult(classify=self._classify(rows, task.classify, good))
        return post.AnalyzeResult(embed=self._embed(rows, good))

    def _embed(self, rows: NDArray[Any], good: NDArray[Any]) -> post.EmbedResult:
        return post.EmbedResult(embeddings=to_tensor(rows[good]))

    def _classify(
        self, rows: NDArray[Any], options: post.ClassifyOptions, good: NDArray[Any]
    ) -> post.ClassifyResult:
        """One class, called as its head is; its score is the first number."""
        scores = rows[good][:, :1]
        return post.ClassifyResult(
            label_ids=to_tensor(np.zeros(scores.shape, np.int32)),
            scores=to_tensor(scores),
            labels=[options.head],
        )

    def _tag(
        self, logits: NDArray[Any], sequences: types.SequenceBatch, good: NDArray[Any] | None
    ) -> post.TagResult:
        """An entity for each token whose second logit is the larger."""
        lengths = array(sequences.lengths)
        index = np.arange(len(lengths))
        if sequences.HasField("item_index"):
            index = array(sequences.item_index)
        items = np.repeat(index, lengths)
        found = (logits[:, 1] > logits[:, 0]) & (array(sequences.special_tokens_mask) == 0)
        found &= array(sequences.word_ids) >= 0
        if good is not None:
            found &= good[items]
        places = array(sequences.offsets)[found]
        return post.TagResult(
            item_index=ints(items[found]),
            start=ints(places[:, 0]),
            end=ints(places[:, 1]),
            label_id=ints([0] * int(found.sum())),
            score=to_tensor(logits[found, 1].astype(np.float32)),
            labels=["NUM"],
        )
