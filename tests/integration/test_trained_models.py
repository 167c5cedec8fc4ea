"""What fine-tuning hands over, served: a head over the mean in its own bundle, and a tagger."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.parity.tiny_models import write_model
from triptych_bundles import Bundle, Repository, forward, read_layers
from triptych_local.session import Session, running
from triptych_models.compilation import compile_bundle
from triptych_models.plan import make_plan
from triptych_models.runtime import PaddedGraph
from triptych_models.sentence import Choices
from triptych_models.sources import fetch
from triptych_models.tokenization import encode, load_tokenizer

LABELS = ("negative", "neutral", "positive")
TEXTS = ["the news from zurich", "a good bank", "they followed the train to geneva and japan"]


def silent(line: str) -> None:
    """Progress that nobody reads."""


def compiled(folder: Path, repository: Path, name: str) -> Bundle:
    source = fetch(str(folder), folder, "http://localhost", silent)
    return compile_bundle(make_plan(source, name, "1", Choices()), repository, False, silent)


def pooled(folder: Path) -> Path:
    """A tiny classifier in the form that `triptych-train` exports: one layer over the mean."""
    model = write_model(folder, "bert", "classify")
    config = json.loads((model / "config.json").read_bytes())
    config |= {
        "architectures": ["PooledForSequenceClassification"],
        "classifier_pooling": "mean",
    }
    (model / "config.json").write_text(json.dumps(config))
    tensors = load_file(model / "model.safetensors")
    kept = {name: one for name, one in tensors.items() if "pooler" not in name}
    save_file(kept, model / "model.safetensors")
    return model


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("trained")
    compiled(pooled(root), root / "models", "classifier")
    compiled(write_model(root, "bert", "tag"), root / "models", "tagger")
    return root / "models"


@pytest.fixture(scope="module")
def client(repository: Path) -> Iterator[httpx.Client]:
    session: Session
    with running(repository) as session, httpx.Client(base_url=session.http_url) as client:
        yield client


def test_classes_come_from_the_mean(client: httpx.Client, repository: Path) -> None:
    bundle = Repository(repository).find_model("classifier")
    assert bundle.head is not None
    assert bundle.head.input == "pooled.mean"
    answer = client.post("/api/v1/classify", json={"model": "classifier", "inputs": TEXTS})
    assert answer.status_code == 200, answer.text
    tokenizer = load_tokenizer(bundle.file("tokenizer.json"), bundle.max_length)
    graph = PaddedGraph(bundle.file("model.onnx"))
    means = graph.run_all(encode(tokenizer, TEXTS), ["pooled.mean"], 1)["pooled.mean"]
    logits = forward(read_layers(bundle, bundle.head), means, bundle.head.normalized)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    for item, expected in zip(answer.json()["data"], shares, strict=True):
        scores = {one["label"]: one["score"] for one in item["labels"]}
        assert [scores[label] for label in LABELS] == pytest.approx(list(expected), abs=1e-4)


def test_one_platform_serves_both(client: httpx.Client) -> None:
    answer = client.post("/api/v1/tag", json={"model": "tagger", "inputs": TEXTS})
    assert answer.status_code == 200, answer.text
    for text, item in zip(TEXTS, answer.json()["data"], strict=True):
        for entity in item["entities"]:
            assert 0 <= entity["start"] < entity["end"] <= len(text)
