"""Texts longer than the model, through the whole platform as processes."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.integration.marking import compile_tagger
from triptych.v1 import encoder_service_pb2 as enc
from triptych.v1 import encoder_service_pb2_grpc as enc_rpc
from triptych.v1 import gateway_service_pb2 as pb
from triptych.v1 import gateway_service_pb2_grpc as rpc
from triptych.v1 import postprocess_service_pb2 as post
from triptych.v1 import tokenizer_service_pb2 as tok
from triptych.v1 import tokenizer_service_pb2_grpc as tok_rpc
from triptych.v1 import types_pb2 as types
from triptych_local.session import Session, running
from triptych_servicekit.tensors import DTYPES, from_tensor

MODEL, WINDOW = "all-minilm-l6-v2", 256
SENTENCE = "Report {}: the board met in Zürich, and profit rose to {} million euros. "
DOCUMENT = "".join(SENTENCE.format(n, n * 7 % 100) for n in range(1000))[:50_000]
AGGREGATIONS = ("none", "simple", "first", "average", "max")


@pytest.fixture(scope="module")
def client(platform: Session) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.http_url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    root: Path = tmp_path_factory.mktemp("marking")
    compile_tagger(root / "repository", root / "source")
    with running(root / "repository") as session:
        yield session


def ask(client: httpx.Client, task: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/api/v1/{task}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def array(tensor: types.Tensor) -> NDArray[Any]:
    return from_tensor(tensor, "tensor", dtypes=DTYPES, dimensions=(1, 2))


def vectors(entries: Sequence[dict[str, Any]]) -> NDArray[np.float64]:
    return np.array([entry["embedding"] for entry in entries], np.float64)


def weights(tokens: int, windows: int) -> NDArray[np.float64]:
    """Tokens of each window: all but the last are full."""
    made = np.full(windows, float(WINDOW))
    made[-1] = tokens - WINDOW * (windows - 1)
    return made


def test_an_embedding_is_the_mean_of_all_windows(client: httpx.Client) -> None:
    fields = {"model": MODEL, "inputs": [DOCUMENT, "short"], "windows": True}
    answer = ask(client, "embed", **fields)
    pieces = ask(client, "embed", **fields, chunks="window", normalize=False)
    chunks = pieces["data"][0]["chunks"]
    assert len(chunks) > 40
    short = ask(client, "embed", model=MODEL, inputs=["short"])
    assert answer["usage"] == pieces["usage"]
    tokens = answer["usage"]["prompt_tokens"] - short["usage"]["prompt_tokens"]
    mean = np.average(vectors(chunks), axis=0, weights=weights(tokens, len(chunks)))
    made = np.array(answer["data"][0]["embedding"])
    assert made == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    assert vectors(answer["data"][1:]) == pytest.approx(vectors(short["data"]), abs=1e-5)
    assert not any("truncated" in entry for entry in answer["data"])


def test_chunks_cover_the_text_with_the_overlap_asked_for(client: httpx.Client) -> None:
    body = {"model": MODEL, "inputs": DOCUMENT, "chunks": "window", "max_length": 64}
    for stride in (0, 20):
        (entry,) = ask(client, "embed", **body, stride=stride)["data"]
        chunks = entry["chunks"]
        assert entry["chunking"] == "window"
        assert chunks[0]["start"] == 0
        assert chunks[-1]["end"] == len(DOCUMENT.rstrip())
        for one, other in itertools.pairwise(chunks):
            assert (one["end"] > other["start"]) == (stride > 0)
            assert not DOCUMENT[one["end"] : other["start"]].strip()
    alone = ask(
        client, "embed", model=MODEL, inputs=[DOCUMENT[chunks[3]["start"] : chunks[3]["end"]]]
    )
    assert vectors(chunks[3:4]) == pytest.approx(vectors(alone["data"]), abs=1e-4)


def test_late_chunks_are_parts_of_one_pass(platform: Session, client: httpx.Client) -> None:
    text = DOCUMENT[:800]
    body = {"model": MODEL, "inputs": [text, DOCUMENT], "chunks": "late", "normalize": False}
    late, windows = ask(client, "embed", **body, max_length=66, stride=16)["data"]
    assert (late["chunking"], windows["chunking"]) == ("late", "window")
    hidden, offsets = hidden_states(platform, text)
    for number, chunk in enumerate(late["chunks"]):
        first, last = 1 + number * 48, min(1 + number * 48 + 64, len(hidden) - 1)
        assert chunk["embedding"] == pytest.approx(hidden[first:last].mean(axis=0), abs=1e-4)
        assert (chunk["start"], chunk["end"]) == (offsets[first, 0], offsets[last - 1, 1])
    assert last == len(hidden) - 1
    alone = ask(client, "embed", **{**body, "chunks": "window"}, max_length=66, stride=16)["data"]
    assert windows == alone[1]
    assert [chunk["start"] for chunk in late["chunks"]] == [
        chunk["start"] for chunk in alone[0]["chunks"]
    ]


def hidden_states(platform: Session, text: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Vectors and offsets of all tokens, straight from the stages."""
    request = tok.TokenizeRequest(
        inputs=[tok.TokenizeInput(text=text)], options=tok.TokenizeOptions(include_offsets=True)
    )
    with (
        grpc.insecure_channel(platform.grpc_address("tokenizer")) as tokenizer,
        grpc.insecure_channel(platform.grpc_address("encoder")) as encoder,
    ):
        tokens = tok_rpc.TokenizerServiceStub(tokenizer).Tokenize(request, timeout=30)
        encode = enc.EncodeRequest(sequences=tokens.sequences)
        encode.outputs.add(kind=enc.OUTPUT_KIND_HIDDEN)
        hidden = enc_rpc.EncoderServiceStub(encoder).Encode(encode, timeout=30).outputs[0]
    return array(hidden), array(tokens.sequences.offsets)


@pytest.mark.parametrize("way", ["mean", "max"])
def test_classes_of_all_windows(client: httpx.Client, way: str) -> None:
    body = {"head": "financial-sentiment", "window_scores": way}
    (entry,) = ask(client, "classify", model=MODEL, inputs=DOCUMENT, windows=True, **body)["data"]
    pieces = ask(client, "embed", model=MODEL, inputs=DOCUMENT, chunks="window")
    chunks = pieces["data"][0]["chunks"]
    texts = [DOCUMENT[chunk["start"] : chunk["end"]] for chunk in chunks]
    alone = ask(client, "classify", model=MODEL, inputs=texts, head=body["head"])["data"]
    names = sorted(label["label"] for label in entry["labels"])
    rows = np.array([[scores(one)[name] for name in names] for one in alone])
    counts = weights(pieces["usage"]["prompt_tokens"], len(chunks))
    expected = rows.max(axis=0) if way == "max" else np.average(rows, axis=0, weights=counts)
    assert [scores(entry)[name] for name in names] == pytest.approx(expected, abs=1e-3)


def scores(entry: dict[str, Any]) -> dict[str, float]:
    found = [label["score"] for label in entry["labels"]]
    assert found == sorted(found, reverse=True)
    return {label["label"]: label["score"] for label in entry["labels"]}


def test_several_tasks_share_the_windows(platform: Session, client: httpx.Client) -> None:
    heads = [{"type": "classify", "head": name} for name in ("banking77", "financial-sentiment")]
    fields = {"model": MODEL, "inputs": ["short", DOCUMENT], "windows": True}
    answer = ask(client, "analyze", tasks=[{"type": "embed"}, *heads], **fields)
    embedded = ask(client, "embed", **fields)
    assert answer["usage"] == embedded["usage"]
    for entry, alone in zip(answer["data"], embedded["data"], strict=True):
        made, alone_row = entry["results"][0]["embedding"], alone["embedding"]
        assert made == pytest.approx(alone_row, abs=1e-5)
        assert [len(result["labels"]) for result in entry["results"][1:]] == [77, 3]
    with grpc.insecure_channel(platform.grpc_address("gateway")) as channel:
        request = pb.EmbedRequest(
            model=types.ModelRef(name=MODEL),
            inputs=[tok.TokenizeInput(text=text) for text in ("short", DOCUMENT)],
            text=pb.TextOptions(truncation=tok.TRUNCATION_WINDOW),
        )
        found = rpc.GatewayServiceStub(channel).Embed(request, timeout=60)
    assert array(found.result.embeddings) == pytest.approx(vectors(embedded["data"]), abs=1e-5)
    assert found.usage.prompt_tokens == embedded["usage"]["prompt_tokens"]
    total, kept = array(found.usage.total_tokens), array(found.usage.kept_tokens)
    assert total[0] == kept[0]
    assert WINDOW < total[1] < kept[1]


def test_openais_route_reads_windows_too(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/embeddings", json={"model": MODEL, "input": DOCUMENT, "windows": True}
    )
    native = ask(client, "embed", model=MODEL, inputs=DOCUMENT, windows=True)
    (entry,) = answer.json()["data"]
    assert "truncated" not in entry
    assert entry["embedding"] == pytest.approx(native["data"][0]["embedding"], abs=1e-5)


def test_a_short_text_does_not_wait_for_a_document(client: httpx.Client) -> None:
    order: list[str] = []

    def send(name: str, text: str) -> None:
        ask(client, "embed", model=MODEL, inputs=[text], windows=True)
        order.append(name)

    document = threading.Thread(target=send, args=("document", DOCUMENT[::-1]))
    document.start()
    for number in range(3):
        send("short", f"text {number}")
    document.join()
    assert order == ["short", "short", "short", "document"]


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"max_length": 64, "stride": 62}, "stride", "invalid_argument"),
        ({"max_length": 64, "stride": 64}, "stride", "invalid_argument"),
        ({"windows": False, "stride": 1}, "stride", "invalid_argument"),
        ({"max_length": 8, "stride": 3}, "inputs", "too_many_windows"),
        ({"inputs": [{"first": "a", "second": "b"}]}, "inputs[0]", "invalid_argument"),
        ({"chunks": "late", "pooling": "cls"}, "chunks", "invalid_argument"),
        ({"chunks": "late", "inputs": [[101, 102]]}, "inputs[0]", "invalid_argument"),
    ],
)
def test_what_is_refused(
    client: httpx.Client, change: dict[str, Any], field: str, code: str
) -> None:
    body = {"model": MODEL, "inputs": DOCUMENT, "windows": True} | change
    answer = client.post("/api/v1/embed", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (field, code)


@pytest.mark.parametrize("stride", [0, 1, 8, 29])
def test_an_entity_on_a_seam_comes_out_once(tagger: Session, stride: int) -> None:
    """Wherever the seams of windows of 30 tokens are, before, in or behind it."""
    before = ["in the é " * (n // 3) + "the " * (n % 3) for n in range(75)]
    texts = [f"{one}Marie Curies in Warsaw, {'the ' * 40}" for one in before]
    expected = []
    for one in before:
        end = len(one)
        person = ("PER", end, end + 12, "Marie Curies")
        expected.append([person, ("LOC", end + 16, end + 22, "Warsaw")])
    with httpx.Client(base_url=tagger.http_url, timeout=60) as client:
        for aggregation in AGGREGATIONS[1:]:
            found = ask(
                client, "tag", inputs=texts, windows=True, stride=stride, aggregation=aggregation
            )
            assert [places(entry) for entry in found["data"]] == expected
        single = ask(client, "tag", inputs=texts, windows=True, stride=stride, aggregation="none")
    for one, entry in zip(before, single["data"], strict=True):
        starts = [len(one) + place for place in (0, 6, 11, 16)]
        assert [entity["start"] for entity in entry["entities"]] == starts


def places(entry: dict[str, Any]) -> list[tuple[str, int, int, str]]:
    return [
        (entity["label"], entity["start"], entity["end"], entity["text"])
        for entity in entry["entities"]
    ]


def test_a_document_is_tagged_to_its_end(tagger: Session) -> None:
    line = "in the 🏛 the in the Marie Curie in in the, Warsaw the. "
    text = (line * 1000)[:50_000]
    whole, rest = divmod(50_000, len(line))
    found = post.TagOptions()
    request = pb.TagTokensRequest(
        inputs=[tok.TokenizeInput(text=one) for one in (text, "Warsaw")],
        text=pb.TextOptions(truncation=tok.TRUNCATION_WINDOW, stride=10),
        options=found,
    )
    with grpc.insecure_channel(tagger.grpc_address("gateway")) as channel:
        answer = rpc.GatewayServiceStub(channel).TagTokens(request, timeout=60)
    result = answer.result
    columns = [array(column).tolist() for column in (result.item_index, result.start, result.end)]
    assert [answer.result.texts[-1], columns[0][-1]] == ["Warsaw", 1]
    person, place = line.index("Marie"), line.index("Warsaw")
    expected = [
        (0, n * len(line) + start, n * len(line) + end)
        for n in range(whole + 1)
        for start, end in ((person, person + 11), (place, place + 6))
        if n < whole or end <= rest
    ]
    assert list(zip(*columns, strict=True))[:-1] == expected
    assert set(result.texts) == {"Marie Curie", "Warsaw"}
    assert not answer.errors
