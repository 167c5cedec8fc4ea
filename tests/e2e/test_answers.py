"""Clients outside: REST, the gateway's gRPC, and the stages called one by one."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import httpx
import numpy as np
import pytest

from tests.e2e.engine import STAGES, Project
from tests.e2e.traffic import MODEL
from triptych.v1 import encoder_service_pb2 as encoder
from triptych.v1 import encoder_service_pb2_grpc as encoder_rpc
from triptych.v1 import gateway_service_pb2 as gateway
from triptych.v1 import gateway_service_pb2_grpc as gateway_rpc
from triptych.v1 import postprocess_service_pb2 as postprocess
from triptych.v1 import postprocess_service_pb2_grpc as postprocess_rpc
from triptych.v1 import tokenizer_service_pb2 as tokenizer
from triptych.v1 import tokenizer_service_pb2_grpc as tokenizer_rpc
from triptych.v1 import types_pb2 as types

TEXTS = ["hello world", "containers answer like processes"]
MODEL_REF = types.ModelRef(name=MODEL)
GRPC_PORT = 50051
# What batches of different shapes may change in a float32.
TOLERANCE = 1e-5


@contextmanager
def channel(project: Project, service: str, index: int = 1) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(project.address(service, GRPC_PORT, index)) as opened:
        yield opened


@pytest.fixture(scope="module")
def by_rest(scaled: Project) -> list[list[float]]:
    body = {"model": MODEL, "input": TEXTS}
    answer = httpx.post(f"{scaled.url('gateway', 8080)}/v1/embeddings", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return [item["embedding"] for item in answer.json()["data"]]


def rows(tensor: types.Tensor) -> list[list[float]]:
    flat = np.frombuffer(tensor.data, np.float32)
    result: list[list[float]] = flat.reshape(tuple(tensor.shape)).tolist()
    return result


def test_rest_answers_with_unit_vectors(by_rest: list[list[float]]) -> None:
    assert [len(row) for row in by_rest] == [384, 384]
    np.testing.assert_allclose(np.linalg.norm(by_rest, axis=1), 1, atol=TOLERANCE)


def test_the_gateway_answers_the_same_by_grpc(scaled: Project, by_rest: list[list[float]]) -> None:
    inputs = [tokenizer.TokenizeInput(text=text) for text in TEXTS]
    request = gateway.EmbedRequest(model=MODEL_REF, inputs=inputs)
    with channel(scaled, "gateway") as opened:
        answer = gateway_rpc.GatewayServiceStub(opened).Embed(request, timeout=30)
    np.testing.assert_allclose(rows(answer.result.embeddings), by_rest, atol=TOLERANCE)


@pytest.mark.parametrize("index", [1, 2])
def test_any_replicas_called_one_by_one_give_the_same(
    index: int, scaled: Project, by_rest: list[list[float]]
) -> None:
    inputs = [tokenizer.TokenizeInput(text=text) for text in TEXTS]
    pooled = encoder.OutputSpec(kind=encoder.OUTPUT_KIND_POOLED)
    with channel(scaled, "tokenizer", index) as opened:
        request = tokenizer.TokenizeRequest(model=MODEL_REF, inputs=inputs)
        tokens = tokenizer_rpc.TokenizerServiceStub(opened).Tokenize(request, timeout=30)
    with channel(scaled, "encoder", index) as opened:
        encode = encoder.EncodeRequest(
            model=tokens.model, sequences=tokens.sequences, outputs=[pooled]
        )
        vectors = encoder_rpc.EncoderServiceStub(opened).Encode(encode, timeout=30)
    with channel(scaled, "postprocess", index) as opened:
        embed = postprocess.PostprocessServiceEmbedRequest(
            model=vectors.model, vectors=vectors.outputs[0]
        )
        answer = postprocess_rpc.PostprocessServiceStub(opened).Embed(embed, timeout=30)
    np.testing.assert_allclose(rows(answer.result.embeddings), by_rest, atol=TOLERANCE)


@pytest.mark.parametrize("stage", STAGES)
def test_every_replica_has_a_port_of_its_own(stage: str, scaled: Project) -> None:
    addresses = {scaled.address(stage, GRPC_PORT, index) for index in (1, 2)}
    assert len(addresses) == 2
    assert all(address.startswith("127.0.0.1:") for address in addresses)
