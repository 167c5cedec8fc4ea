"""Classes, entities, rankings and several at once, over real gRPC with the real model.

That model has no head and no classes of tokens: heads are written here, and so is a second model of
the same weights, whose graph makes logits and classes of tokens.
"""

import contextlib
import math
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import postprocess_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_bundles import Bundle, Repository, read_golden
from triptych_postprocess.application import PostprocessApplication
from triptych_postprocess.settings import PostprocessSettings
from triptych_servicekit.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ModelNotLoaded,
    NotFound,
    PayloadTooLarge,
    TriptychError,
)
from triptych_servicekit.server import running
from triptych_servicekit.settings import load
from triptych_servicekit.status import from_rpc_error, from_status
from triptych_servicekit.tensors import DTYPES, from_tensor, to_tensor

HIDDEN = 384
MOODS = ("glad", "sad", "neither")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
MODEL = types.ModelRef(name="all-minilm-l6-v2")
TAGGER = types.ModelRef(name="tagger")

Rows = NDArray[np.float32]
Layers = list[tuple[Rows, Rows, str]]
WriteHead = Callable[..., Path]


@dataclass(frozen=True, slots=True)
class Service:
    """Postprocess that serves the models and heads of `repository`."""

    stub: "rpc.PostprocessServiceAsyncStub"
    operations: str
    digests: dict[str, str]
    """By name of the bundle."""


def layers(labels: int, seed: int) -> Layers:
    generator = np.random.default_rng(seed)
    sizes = [(HIDDEN, 32, "gelu"), (32, labels, "none")]
    return [
        (
            generator.standard_normal((rows, columns), np.float32) / np.float32(rows**0.5),
            generator.standard_normal(columns, np.float32),
            activation,
        )
        for rows, columns, activation in sizes
    ]


def logits_of(vectors: Rows, made_of: Layers) -> NDArray[np.float64]:
    """Of vectors of length 1, in float64 and with the error function of the standard library."""
    made = vectors.astype(np.float64)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    erf = np.vectorize(math.erf)
    for kernel, bias, activation in made_of:
        made = made @ kernel + bias
        if activation == "gelu":
            made = made * 0.5 * (1 + erf(made / math.sqrt(2)))
    return made


MOOD, SCORE, STRANGER = layers(3, 1), layers(1, 2), layers(3, 3)


def write_tagger(root: Path, bundle: Bundle) -> None:
    facts = yaml.safe_load((bundle.path / "bundle.yaml").read_text())
    facts |= {
        "name": "tagger",
        "task": "tag",
        "outputs": [*facts["outputs"], "logits", "token_logits"],
        "token_labels": list(TAGS),
        "head": {
            "input": "logits",
            "normalized": False,
            "layers": [],
            "labels": ["relevant"],
            "problem_type": "single_label_classification",
        },
    }
    folder = root / "tagger" / "1"
    folder.mkdir(parents=True)
    (folder / "bundle.yaml").write_text(yaml.safe_dump(facts))


@pytest.fixture
def bundle(bundle_repository: Path) -> Bundle:
    return Repository(bundle_repository).bundles()[0]


@pytest.fixture
def vectors(bundle: Bundle) -> Rows:
    """Golden pooled vectors."""
    return np.array(read_golden(bundle).outputs["pooled.mean"][:8])


@pytest.fixture
def repository(tmp_path: Path, bundle: Bundle, vectors: Rows, write_head_bundle: WriteHead) -> Path:
    """Postprocess reads of a model its bundle.yaml and nothing else, but for a head's files."""
    root = tmp_path / "repository"
    model = root / bundle.name / bundle.version
    model.mkdir(parents=True)
    shutil.copy(bundle.path / "bundle.yaml", model)
    write_tagger(root, bundle)
    own = {"name": bundle.name, "weights_sha256": bundle.base.weights_sha256}
    other = {"name": "other", "weights_sha256": "0" * 64}
    for name, made_of, labels, trunk in (
        ("mood", MOOD, list(MOODS), own),
        ("score", SCORE, ["relevant"], own),
        ("stranger", STRANGER, list(MOODS), other),
    ):
        golden = vectors, logits_of(vectors, made_of).astype(np.float32)
        head = {"labels": labels, "normalized": True}
        write_head_bundle(root, made_of, golden, head, name=name, trunk=trunk)
    return root


@contextlib.asynccontextmanager
async def postprocess(repository: Path, **extra: str) -> AsyncIterator[Service]:
    environment = {
        "TRIPTYCH_LISTEN_PORT": "0",
        "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
        "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.05",
        "TRIPTYCH_MODELS_REPOSITORY": str(repository),
        **extra,
    }
    settings = load(PostprocessSettings, environment)
    digests = {found.name: found.digest for found in Repository(repository).scan().bundles()}
    async with (
        running(PostprocessApplication(settings), settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        operations = f"http://127.0.0.1:{server.operations_port}"
        yield Service(rpc.PostprocessServiceStub(channel), operations, digests)


@pytest.fixture
async def service(repository: Path) -> AsyncIterator[Service]:
    async with postprocess(repository) as started:
        yield started


def array(tensor: types.Tensor) -> NDArray[Any]:
    return from_tensor(tensor, "tensor", dtypes=DTYPES, dimensions=range(1, 5))


def integers(*values: int) -> types.Tensor:
    return to_tensor(np.array(values, np.int32))


def classify(
    inputs: NDArray[Any], model: types.ModelRef = MODEL, **options: Any
) -> pb.PostprocessServiceClassifyRequest:
    return pb.PostprocessServiceClassifyRequest(
        model=model, inputs=to_tensor(inputs), options=pb.ClassifyOptions(**options)
    )


def sure(*labels: int) -> Rows:
    """Logits of tokens that surely have these labels."""
    return (np.eye(len(TAGS), dtype=np.float32) * 30)[list(labels)]


def layout(*lengths: int, **columns: types.Tensor) -> types.SequenceBatch:
    """Sequences whose tokens stand one after the other, the first and last of each special."""
    count = sum(lengths)
    mask, offsets, words = np.zeros(count, np.int32), np.zeros((count, 2), np.int32), []
    row = 0
    for length in lengths:
        mask[[row, row + length - 1]] = 1
        inner = np.arange(length - 2, dtype=np.int32)
        offsets[row + 1 : row + length - 1] = np.stack([inner * 4, inner * 4 + 3], axis=1)
        words += [-1, *inner.tolist(), -1]
        row += length
    fields = {
        "lengths": integers(*lengths),
        "offsets": to_tensor(offsets),
        "special_tokens_mask": to_tensor(mask),
        "word_ids": integers(*words),
    }
    return types.SequenceBatch(**(fields | columns))


def tag(
    logits: NDArray[Any], sequences: types.SequenceBatch, **options: Any
) -> pb.PostprocessServiceTagTokensRequest:
    return pb.PostprocessServiceTagTokensRequest(
        model=TAGGER,
        logits=to_tensor(logits),
        sequences=sequences,
        options=pb.TagOptions(**options),
    )


def entities(result: pb.TagResult) -> list[tuple[int, int, int, str]]:
    columns = [array(getattr(result, name)) for name in ("item_index", "start", "end", "label_id")]
    return [(*map(int, row[:3]), result.labels[row[3]]) for row in zip(*columns, strict=True)]


async def refusal(call: Awaitable[Any]) -> TriptychError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


def failures(errors: Any) -> dict[int, type[TriptychError]]:
    return {error.index: type(from_status(error.status)) for error in errors}


async def test_classes_of_a_head(service: Service, vectors: Rows) -> None:
    response = await service.stub.Classify(classify(vectors, head="mood", raw_scores=True))
    expected = logits_of(vectors, MOOD)
    ids, scores = array(response.result.label_ids), array(response.result.scores)
    assert np.array_equal(ids, np.argsort(-expected, axis=1))
    assert scores == pytest.approx(-np.sort(-expected, axis=1), abs=1e-4)
    assert list(response.result.labels) == list(MOODS)
    assert response.model.digest == service.digests["all-minilm-l6-v2"]
    best = await service.stub.Classify(classify(vectors, head="mood@1", top_k=1))
    shares = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    assert array(best.result.scores)[:, 0] == pytest.approx(shares.max(axis=1), abs=1e-4)
    assert np.array_equal(array(best.result.label_ids), ids[:, :1])
    named = await service.stub.Classify(classify(vectors, head=service.digests["mood"], top_k=1))
    assert named.result == best.result


async def test_classes_of_logits(service: Service) -> None:
    logits = np.array([[0], [math.log(3)], [1e30], [-1e30]], np.float32)
    response = await service.stub.Classify(classify(logits, TAGGER))
    assert array(response.result.scores)[:, 0] == pytest.approx([0.5, 0.75, 1, 0])
    half = await service.stub.Classify(classify(logits[:2].astype(np.float16), TAGGER))
    assert array(half.result.scores)[:, 0] == pytest.approx([0.5, 0.75], abs=1e-3)


async def test_classes_fail_alone(service: Service, vectors: Rows) -> None:
    broken = vectors[:4].copy()
    broken[2, 7] = np.inf
    late = types.CallContext(item_count=1)
    late.timeout.FromMilliseconds(0)
    request = classify(broken, head="mood")
    request.contexts.extend([late, types.CallContext(item_count=3)])
    response = await service.stub.Classify(request)
    assert failures(response.errors) == {0: DeadlineExceeded, 2: Internal}
    assert array(response.result.scores).shape == (2, 3)
    assert len(response.timings) == 2


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("", InvalidArgument),
        ("stranger", InvalidArgument),
        ("joy", NotFound),
        ("mood@2", NotFound),
        ("@1", NotFound),
        ("0" * 64, ModelNotLoaded),
    ],
)
async def test_heads_that_cannot_serve(
    service: Service, vectors: Rows, head: str, kind: type[TriptychError]
) -> None:
    error = await refusal(service.stub.Classify(classify(vectors, head=head)))
    assert type(error) is kind
    assert error.field == "options.head"
    assert error.reason == kind.reason


async def test_a_head_that_misses_its_golden_logits_is_not_served(
    repository: Path, vectors: Rows, write_head_bundle: WriteHead, bundle: Bundle
) -> None:
    golden = vectors, logits_of(vectors, MOOD).astype(np.float32) + np.float32(0.01)
    trunk = {"name": bundle.name, "weights_sha256": bundle.base.weights_sha256}
    head = {"labels": list(MOODS), "normalized": True}
    write_head_bundle(repository, MOOD, golden, head, version="2", trunk=trunk)
    async with postprocess(repository) as service:
        await service.stub.Classify(classify(vectors, head="mood"))
        error = await refusal(service.stub.Classify(classify(vectors, head="mood@2")))
    assert isinstance(error, NotFound)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        (np.zeros((2, 383), np.float32), "inputs.shape"),
        (np.zeros((0, HIDDEN), np.float32), "inputs"),
        (np.zeros((2, HIDDEN), np.int32), "inputs.dtype"),
    ],
)
async def test_inputs_must_fit_the_head(service: Service, inputs: NDArray[Any], field: str) -> None:
    assert (await refusal(service.stub.Classify(classify(inputs, head="mood")))).field == field


async def test_answers_are_bounded_before_they_are_made(repository: Path, vectors: Rows) -> None:
    extra = {
        "TRIPTYCH_COMPUTING_MAX_OUTPUT_BYTES": "1024",
        "TRIPTYCH_COMPUTING_MAX_CALL_TOKENS": "16",
        "TRIPTYCH_LIMITS_MAX_ITEMS": "50",
    }
    async with postprocess(repository, **extra) as service:
        rows = np.repeat(vectors, 6, axis=0)
        large = await refusal(service.stub.Classify(classify(rows, head="mood", top_k=1)))
        await service.stub.Classify(classify(rows[:42], head="mood"))
        tokens = await refusal(service.stub.TagTokens(tag(sure(*[0] * 17), layout(17))))
        items = await refusal(
            service.stub.Classify(classify(np.repeat(rows, 2, axis=0), head="mood"))
        )
    assert large.reason == "OUTPUT_TOO_LARGE"
    assert "1152 bytes, the limit is 1024" in large.message
    assert isinstance(tokens, InvalidArgument)
    assert tokens.reason == items.reason == PayloadTooLarge.reason
    assert (tokens.field, items.field) == ("logits", "inputs")


async def test_entities(service: Service) -> None:
    logits = sure(0, 1, 2, 0, 4, 0, 0, 3, 0)
    response = await service.stub.TagTokens(tag(logits, layout(6, 3)))
    assert entities(response.result) == [(0, 0, 7, "PER"), (0, 12, 15, "LOC"), (1, 0, 3, "LOC")]
    assert array(response.result.score) == pytest.approx([1, 1, 1])
    assert list(response.result.labels) == ["O", "PER", "LOC"]
    none = pb.AGGREGATION_NONE
    single = await service.stub.TagTokens(
        tag(logits, layout(6, 3), aggregation=none, ignore_labels=["O", "B-LOC"])
    )
    assert entities(single.result) == [
        (0, 0, 3, "B-PER"),
        (0, 4, 7, "I-PER"),
        (0, 12, 15, "I-LOC"),
    ]


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (pb.AGGREGATION_FIRST, [(0, 0, 7, "PER")]),
        (pb.AGGREGATION_MAX, [(0, 0, 7, "LOC")]),
        (pb.AGGREGATION_AVERAGE, [(0, 0, 7, "LOC")]),
        (pb.AGGREGATION_SIMPLE, [(0, 0, 3, "PER"), (0, 4, 7, "LOC")]),
    ],
)
async def test_words_speak_with_one_voice(
    service: Service, aggregation: Any, expected: list[Any]
) -> None:
    logits = np.concatenate([sure(0), sure(1) / 10, sure(4), sure(0)])
    sequences = layout(4, word_ids=integers(-1, 0, 0, -1))
    request = tag(logits.astype(np.float16), sequences, aggregation=aggregation)
    assert entities((await service.stub.TagTokens(request)).result) == expected


async def test_entities_of_windows_and_broken_items(service: Service) -> None:
    logits = sure(0, 1, 2, 0, 0, 2, 0, 0, 3, 0)
    logits[8] = np.nan
    windows = {"item_index": integers(0, 0, 1), "window_start": integers(0, 1, 0)}
    offsets = np.array([0, 0, 0, 3, 4, 7, 0, 0, 0, 0, 4, 7, 0, 0, 0, 0, 0, 3, 0, 0], np.int32)
    sequences = layout(
        4, 3, 3, offsets=to_tensor(offsets.reshape(-1, 2)), **windows,
        word_ids=integers(-1, 0, 1, -1, -1, 1, -1, -1, 0, -1),
    )  # fmt: skip
    response = await service.stub.TagTokens(tag(logits, sequences))
    assert entities(response.result) == [(0, 0, 7, "PER")]
    assert failures(response.errors) == {1: Internal}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lengths": integers(3, 1)}, "sequences.lengths"),
        ({"lengths": integers(2**31 - 1)}, "sequences.lengths"),
        ({"lengths": integers(0, 5)}, "sequences.lengths"),
        ({"offsets": integers(1, 2)}, "sequences.offsets.shape"),
        ({"offsets": to_tensor(np.zeros((4, 2), np.int32))}, "sequences.offsets.shape"),
        ({"special_tokens_mask": integers(1)}, "sequences.special_tokens_mask"),
        ({"word_ids": integers(1)}, "sequences.word_ids"),
        ({"item_index": integers(1)}, "sequences.item_index"),
        ({"window_start": integers(0, 1)}, "sequences.window_start"),
    ],
)
async def test_layouts_must_fit_the_logits(
    service: Service, change: dict[str, types.Tensor], field: str
) -> None:
    error = await refusal(service.stub.TagTokens(tag(sure(0, 1, 2, 3, 0), layout(5, **change))))
    assert isinstance(error, InvalidArgument)
    assert error.field == field


async def test_options_of_tags(service: Service) -> None:
    logits = sure(0, 1, 0, 0, 1, 0)
    calls: dict[str, pb.PostprocessServiceTagTokensRequest] = {
        "options.aggregation": tag(logits, layout(6), aggregation=9),
        "options.head": tag(logits, layout(6), head="other"),
    }
    without = layout(6)
    without.ClearField("word_ids")
    calls["sequences.word_ids"] = tag(logits, without, aggregation=pb.AGGREGATION_FIRST)
    calls["model"] = tag(logits, layout(6))
    calls["model"].model.CopyFrom(MODEL)
    for field, request in calls.items():
        error = await refusal(service.stub.TagTokens(request))
        assert isinstance(error, InvalidArgument)
        assert error.field == field
    assert entities((await service.stub.TagTokens(tag(logits, without))).result)


async def test_ranking_by_cosine(service: Service, vectors: Rows) -> None:
    request = pb.PostprocessServiceRankRequest(
        model=MODEL,
        query_vectors=to_tensor(vectors[:2]),
        document_vectors=to_tensor(vectors[2:]),
        document_counts=integers(4, 2),
        top_n=3,
    )
    response = await service.stub.Rank(request)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units[0] @ units[2:6].T, units[1] @ units[6:].T
    orders = [np.argsort(-row)[:3] for row in cosines]
    assert array(response.result.query_index).tolist() == [0, 0, 0, 1, 1]
    assert array(response.result.document_index).tolist() == np.concatenate(orders).tolist()
    expected = np.concatenate([row[order] for row, order in zip(cosines, orders, strict=True)])
    assert array(response.result.score) == pytest.approx(expected, abs=1e-6)


async def test_ranking_by_a_cross_encoder(service: Service, vectors: Rows) -> None:
    request = pb.PostprocessServiceRankRequest(
        model=MODEL, pairs=to_tensor(vectors), document_counts=integers(8), head="score"
    )
    expected = logits_of(vectors, SCORE)[:, 0]
    response = await service.stub.Rank(request)
    assert array(response.result.document_index).tolist() == np.argsort(-expected).tolist()
    shares = np.sort(1 / (1 + np.exp(-expected)))[::-1]
    assert array(response.result.score) == pytest.approx(shares, abs=1e-4)
    logits = np.array([[2], [np.nan], [1], [3]], np.float32)
    raw = pb.PostprocessServiceRankRequest(
        model=TAGGER, pairs=to_tensor(logits), document_counts=integers(2, 2), raw_scores=True
    )
    response = await service.stub.Rank(raw)
    assert failures(response.errors) == {0: Internal}
    assert array(response.result.query_index).tolist() == [1, 1]
    assert array(response.result.score).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"pairs": np.zeros((1, HIDDEN), np.float32)}, "pairs"),
        ({"query_vectors": None, "document_vectors": None}, "pairs"),
        ({"document_vectors": None}, "document_vectors.dtype"),
        ({"query_vectors": np.zeros((3, HIDDEN), np.float32)}, "document_counts"),
        ({"document_counts": np.array([2, 2], np.int32)}, "document_counts"),
        ({"document_counts": np.array([-1, 4], np.int32)}, "document_counts"),
        ({"document_counts": np.array([2**31 - 1] * 2, np.int32)}, "document_counts"),
        ({"document_counts": np.array([], np.int32)}, "document_counts"),
        ({"document_vectors": np.zeros((3, 5), np.float32)}, "document_vectors.shape"),
    ],
)
async def test_rankings_that_do_not_fit(
    service: Service, change: dict[str, NDArray[Any] | None], field: str
) -> None:
    tensors: dict[str, NDArray[Any] | None] = {
        "query_vectors": np.ones((2, HIDDEN), np.float32),
        "document_vectors": np.ones((3, HIDDEN), np.float32),
        "document_counts": np.array([2, 1], np.int32),
    }
    fields = {k: to_tensor(v) for k, v in (tensors | change).items() if v is not None}
    request = pb.PostprocessServiceRankRequest(model=MODEL, **fields)  # type: ignore[arg-type]
    error = await refusal(service.stub.Rank(request))
    assert isinstance(error, InvalidArgument)
    assert error.field == field


async def test_a_ranking_needs_a_head_of_one_label(service: Service, vectors: Rows) -> None:
    for head in ("mood", ""):
        request = pb.PostprocessServiceRankRequest(
            model=MODEL, head=head, pairs=to_tensor(vectors), document_counts=integers(8)
        )
        error = await refusal(service.stub.Rank(request))
        assert isinstance(error, InvalidArgument)
        assert error.field == "head"


def analysis(*tasks: pb.AnalyzeTask, **fields: Any) -> pb.PostprocessServiceAnalyzeRequest:
    return pb.PostprocessServiceAnalyzeRequest(model=TAGGER, tasks=tasks, **fields)


EMBED = pb.AnalyzeTask(input_index=0, embed=pb.EmbedOptions(dtype=types.DATA_TYPE_UINT8))
CLASSIFY = pb.AnalyzeTask(input_index=0, classify=pb.ClassifyOptions(head="mood", top_k=1))
TAG = pb.AnalyzeTask(input_index=1, tag=pb.TagOptions())


async def test_several_tasks_share_their_items(service: Service, vectors: Rows) -> None:
    rows, logits = vectors[:4].copy(), sure(0, 1, 0, 0, 3, 0, 0, 1, 0, 0, 3, 0)
    rows[1, 0] = np.nan
    logits[7] = np.inf
    inputs = [to_tensor(rows), to_tensor(logits)]
    response = await service.stub.Analyze(
        analysis(TAG, EMBED, CLASSIFY, inputs=inputs, sequences=layout(3, 3, 3, 3))
    )
    assert failures(response.errors) == {1: Internal, 2: Internal}
    tags, embeddings, classes = response.results
    assert entities(tags.tag) == [(0, 0, 3, "PER"), (3, 0, 3, "LOC")]
    alone = await service.stub.Classify(classify(vectors[[0, 3]], TAGGER, head="mood", top_k=1))
    assert classes.classify == alone.result
    bits = np.packbits(vectors[[0, 3]] > 0, axis=1)
    assert np.array_equal(array(embeddings.embed.embeddings), bits)
    assert [result.WhichOneof("result") for result in response.results] == [
        "tag",
        "embed",
        "classify",
    ]


async def test_analysis_drops_who_is_late(service: Service, vectors: Rows) -> None:
    late = types.CallContext(item_count=1)
    late.timeout.FromMilliseconds(0)
    contexts = [types.CallContext(item_count=1), late]
    response = await service.stub.Analyze(
        analysis(EMBED, CLASSIFY, inputs=[to_tensor(vectors[:2])], contexts=contexts)
    )
    assert failures(response.errors) == {1: DeadlineExceeded}
    assert array(response.results[0].embed.embeddings).shape == (1, HIDDEN // 8)
    assert len(response.timings) == 2


async def test_windows_are_averaged_for_an_embedding(service: Service, vectors: Rows) -> None:
    sequences = layout(3, 6, 3, item_index=integers(0, 0, 1))
    embed = pb.AnalyzeTask(embed=pb.EmbedOptions(normalize=False))
    fields = {"inputs": [to_tensor(vectors[:3])], "sequences": sequences}
    response = await service.stub.Analyze(analysis(embed, **fields))
    expected = np.stack([(vectors[0] + 2 * vectors[1]) / 3, vectors[2]])
    assert array(response.results[0].embed.embeddings) == pytest.approx(expected, abs=1e-6)
    fields["inputs"] = [to_tensor(vectors[:2])]
    assert (await refusal(service.stub.Analyze(analysis(embed, **fields)))).field == "inputs[0]"


@pytest.mark.parametrize(
    ("windows", "field"),
    [
        ({}, "sequences.window_start"),
        ({"window_start": integers(0, 2)}, "sequences.window_start"),
        ({"window_start": integers(1, 1)}, "sequences.window_start"),
        ({"window_start": integers(0, -1)}, "sequences.window_start"),
        ({"window_start": integers(0)}, "sequences.window_start"),
    ],
)
async def test_windows_must_leave_no_token_out(
    service: Service, windows: dict[str, types.Tensor], field: str
) -> None:
    sequences = layout(3, 3, item_index=integers(0, 0), **windows)
    error = await refusal(service.stub.TagTokens(tag(sure(0, 1, 0, 0, 1, 0), sequences)))
    assert isinstance(error, InvalidArgument)
    assert error.field == field


async def test_classes_of_several_windows(service: Service, vectors: Rows) -> None:
    rows = vectors[:4].copy()
    rows[3, 0] = np.nan
    sequences = layout(3, 6, 3, 3, item_index=integers(0, 0, 1, 2))
    mean = pb.AnalyzeTask(classify=pb.ClassifyOptions(head="mood"))
    highest = pb.AnalyzeTask(
        classify=pb.ClassifyOptions(
            head="mood", window_aggregation=pb.WINDOW_AGGREGATION_MAX, raw_scores=True
        )
    )
    request = analysis(mean, highest, inputs=[to_tensor(rows)], sequences=sequences)
    response = await service.stub.Analyze(request)
    assert failures(response.errors) == {2: Internal}
    alone = [
        scores_of(await service.stub.Classify(classify(vectors[:3], head="mood", raw_scores=raw)))
        for raw in (False, True)
    ]
    together = [scores_of(result) for result in response.results]
    assert together[0][0] == pytest.approx((alone[0][0] + 2 * alone[0][1]) / 3, abs=1e-6)
    assert together[1][0] == pytest.approx(np.maximum(alone[1][0], alone[1][1]), abs=1e-5)
    for one, other in zip(together, alone, strict=True):
        assert one[1] == pytest.approx(other[2], abs=1e-6)
    strange: Any = 9
    unknown = pb.AnalyzeTask(classify=pb.ClassifyOptions(head="mood", window_aggregation=strange))
    error = await refusal(service.stub.Analyze(analysis(unknown, inputs=[to_tensor(vectors)])))
    assert error.field == "tasks[0].classify.window_aggregation"


def scores_of(answer: Any) -> Rows:
    """Scores in the order of the labels; best first was as it should be."""
    result = answer.classify if isinstance(answer, pb.AnalyzeResult) else answer.result
    ids, scores = array(result.label_ids), array(result.scores)
    assert (np.diff(scores, axis=1) <= 0).all()
    made = np.empty_like(scores)
    np.put_along_axis(made, ids, scores, axis=1)
    return made


@pytest.mark.parametrize(
    ("tasks", "field"),
    [
        ([], "tasks"),
        ([EMBED] * 17, "tasks"),
        ([EMBED, pb.AnalyzeTask(input_index=0)], "tasks[1]"),
        ([EMBED, pb.AnalyzeTask(input_index=2, embed=pb.EmbedOptions())], "tasks[1].input_index"),
        ([pb.AnalyzeTask(input_index=1, embed=pb.EmbedOptions())], "inputs[1].shape"),
        (
            [EMBED, pb.AnalyzeTask(embed=pb.EmbedOptions(dimensions=385))],
            "tasks[1].embed.dimensions",
        ),
        (
            [EMBED, pb.AnalyzeTask(classify=pb.ClassifyOptions(head="joy"))],
            "tasks[1].classify.head",
        ),
        ([EMBED, TAG], "sequences"),
    ],
)
async def test_tasks_that_cannot_be_done(
    service: Service, vectors: Rows, tasks: list[pb.AnalyzeTask], field: str
) -> None:
    inputs = [to_tensor(vectors[:2]), to_tensor(sure(0, 1, 0, 0, 1, 0))]
    error = await refusal(service.stub.Analyze(analysis(*tasks, inputs=inputs)))
    assert error.field == field


async def test_inputs_of_an_analysis_must_have_its_items(service: Service, vectors: Rows) -> None:
    inputs = [to_tensor(vectors[:3]), to_tensor(sure(0, 1, 0, 0, 1, 0))]
    request = analysis(TAG, EMBED, inputs=inputs, sequences=layout(3, 3))
    assert (await refusal(service.stub.Analyze(request))).field == "inputs[0]"


async def test_tasks_are_counted_apart(service: Service, vectors: Rows) -> None:
    broken = vectors.copy()
    broken[0] = np.nan
    await service.stub.Classify(classify(broken, head="mood"))
    await service.stub.TagTokens(tag(sure(0, 1, 0), layout(3)))
    await service.stub.Analyze(analysis(EMBED, inputs=[to_tensor(vectors)]))
    async with httpx.AsyncClient(base_url=service.operations) as client:
        metrics = (await client.get("/metrics")).text
    for task, count in (("classify", 8), ("tag", 1), ("analyze", 8)):
        assert f'triptych_postprocess_items_total{{task="{task}"}} {count}.0' in metrics
    failed = 'failed_items_total{reason="INTERNAL",task="classify"} 1.0'
    assert f"triptych_postprocess_{failed}" in metrics


async def test_large_work_takes_a_thread(repository: Path, vectors: Rows) -> None:
    async with postprocess(repository, TRIPTYCH_COMPUTING_MAX_INLINE_BYTES="0") as service:
        response = await service.stub.Classify(classify(vectors, head="mood"))
    assert response.timings[0].queue.nanos > 0
