"""`triptych evaluate` against all services as processes, with the model and heads of the clone."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from tests.unit.models import conftest as tiny
from triptych_client.__main__ import main
from triptych_client.evaluation.conll_file import read_tagged
from triptych_client.evaluation.tasks import Tag
from triptych_local.session import Session, running
from triptych_models.compilation import compile_bundle
from triptych_models.heads.examples import Columns as TrainingColumns
from triptych_models.heads.examples import parse_label_names, read_examples
from triptych_models.heads.splitting import split
from triptych_models.plan import make_plan
from triptych_models.sentence import Choices
from triptych_models.sources import fetch

SENTIMENTS = "0=bearish,1=bullish,2=neutral"
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
WORDS = ("abc", "d", "the", "ef1", "g.h", "ijkl", "mn", "o", "pq", "rs")
# another machine's vectors differ in their last digits, and a text or two may change sides
MAX_DIFFERENCE = 0.005


def evaluate(platform: Session, folder: Path, *arguments: str) -> dict[str, Any]:
    """The report, of a run that ends well."""
    report = folder / "report.json"
    fixed = ["--url", platform.http_url, "--json", str(report), "--resamples", "200"]
    assert main(["evaluate", *fixed, *arguments]) == 0
    document: dict[str, Any] = json.loads(report.read_text())
    return document


def test_a_head_that_comes_along(
    platform: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ("I am still waiting on my card?", "card_arrival"),
        ("My card still has not come. How long does delivery take?", "card_arrival"),
        ("I forgot my PIN and want another one", "change_pin"),
        ("What is the weather like on the moon?", "atm_support"),
    ]
    data = tmp_path / "set.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    document = evaluate(platform, tmp_path, "--model", "banking77", "--data", str(data))
    found = document["models"][0]
    assert found["answered_by_head"].startswith("banking77@1 (")
    assert next(iter(found["answered_by"])).startswith("all-minilm-l6-v2@1 (")
    assert len(found["labels"]["not_in_set"]) == 74
    assert found["scores"]["accuracy"]["value"] >= 0.5
    shares = found["by_label"]["card_arrival"]
    assert (shares["support"], shares["recall"]) == (2, 1)
    assert 0 < found["latency_seconds"]["p50"] < 60
    assert found["rate"]["tokens_per_second"] > 0
    assert "card_arrival" in capsys.readouterr().out


@pytest.fixture(scope="module")
def tagging(bundle_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A platform that serves a tagger of random numbers."""
    folder = tmp_path_factory.mktemp("tagger")
    source, repository = folder / "source", folder / "repository"
    source.mkdir()
    numbers = np.random.default_rng(5)
    shapes = {f"bert.{name}": shape for name, shape in tiny.shapes().items()}
    shapes |= {"classifier.weight": (len(TAGS), tiny.HIDDEN), "classifier.bias": (len(TAGS),)}
    weights = {name: numbers.normal(0, 0.5, shape).astype("f4") for name, shape in shapes.items()}
    config = tiny.config(
        architectures=["BertForTokenClassification"],
        id2label={str(number): tag for number, tag in enumerate(TAGS)},
    )
    (source / "config.json").write_text(json.dumps(config))
    (source / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    tiny.tokenizer().save(str(source / "tokenizer.json"))
    (source / "model.safetensors").write_bytes(save(weights))
    fetched = fetch(str(source), folder / "cache", "http://localhost", lambda _: None)
    plan = make_plan(fetched, "tagger", "1", Choices())
    compile_bundle(plan, repository, False, lambda _: None)
    with running(repository) as session:
        yield session


def word_tags(platform: Session, sentences: list[tuple[str, ...]]) -> list[list[str]]:
    """The tag of each word's first token, from the platform's answer for single tokens."""
    body = {"model": "tagger", "inputs": [" ".join(words) for words in sentences]}
    body |= {"aggregation": "none", "ignore_labels": []}
    answer = httpx.post(f"{platform.http_url}/api/v1/tag", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    found = []
    for words, entry in zip(sentences, answer.json()["data"], strict=True):
        first = {one["start"]: one["label"] for one in reversed(entry["entities"])}
        starts = [sum(len(word) + 1 for word in words[:number]) for number in range(len(words))]
        found.append([first[start] for start in starts])
    return found


def test_a_tagger(tagging: Session, tmp_path: Path) -> None:
    """Against its own tags every entity is right; with one sentence's tags gone, fewer."""
    chance = np.random.default_rng(1)
    sentences = [tuple(chance.choice(WORDS, size)) for size in (3, 5, 8, 4, 6, 7)]
    tags = word_tags(tagging, sentences)
    assert any(tag != "O" for tag in tags[0])

    def score(gold: list[list[str]]) -> dict[str, Any]:
        data = tmp_path / "set.conll"
        lines = [
            "\n".join(map(" ".join, zip(words, labels, strict=True)))
            for words, labels in zip(sentences, gold, strict=True)
        ]
        data.write_text("\n\n".join(lines))
        options = ("--model", "tagger", "--data", str(data), "--batch-size", "2")
        document = evaluate(tagging, tmp_path, *options)
        found: dict[str, Any] = document["models"][0]
        return found

    whole = score(tags)
    assert whole["micro"] == {"precision": 1, "recall": 1, "f1": 1}
    entities = sum(one["support"] for one in whole["by_label"].values())
    partly = score([["O"] * len(tags[0]), *tags[1:]])
    left = sum(one["support"] for one in partly["by_label"].values())
    assert left < entities
    assert partly["micro"]["recall"] == 1
    assert partly["micro"]["precision"] == pytest.approx(left / entities)
    assert partly["scores"]["entity_f1"]["value"] == pytest.approx(2 * left / (left + entities))


@pytest.mark.data
def test_a_head_does_as_well_as_its_card_says(
    platform: Session, data_folder: Path, tmp_path: Path
) -> None:
    """On the rows that its training held out."""
    path = data_folder / "financial_tweets" / "train.csv"
    names = parse_label_names(SENTIMENTS)
    examples = read_examples(path, TrainingColumns("text", "label"), names)
    data = tmp_path / "held-out.csv"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for row in split(examples.classes, 0).test:
            writer.writerow((examples.texts[row], examples.labels[examples.classes[row]]))
    options = ("--model", "financial-sentiment", "--data", str(data))
    found = evaluate(platform, tmp_path, *options)["models"][0]
    scores = found["scores"]
    assert scores["accuracy"]["value"] == pytest.approx(0.815, abs=MAX_DIFFERENCE)
    assert scores["f1_macro"]["value"] == pytest.approx(0.744, abs=MAX_DIFFERENCE)
    assert scores["accuracy"]["low"] < 0.815 < scores["accuracy"]["high"]
    assert found["calibration"]["expected_calibration_error"] < 0.15


@pytest.mark.data
def test_the_whole_of_a_set_and_its_names(
    platform: Session, data_folder: Path, tmp_path: Path
) -> None:
    """A thousand of banking77, two models of one trunk compared, and labels by their numbers."""
    path = data_folder / "banking77" / "train.csv"
    options = ("--model", "banking77", "--data", str(path), "--label-column", "category")
    more = ("--baseline", "all-minilm-l6-v2", "--baseline-head", "banking77", "--sample", "1000")
    document = evaluate(platform, tmp_path, *options, *more)
    one, two = document["models"]
    assert one["scores"] == two["scores"]
    assert one["labels"] == {"unknown_to_model": {}, "not_in_set": []}
    assert one["scores"]["accuracy"]["value"] > 0.95  # most of it was trained on
    difference = {"value": 0, "low": 0, "high": 0}
    assert document["comparison"]["differences"]["accuracy"] == difference
    assert document["comparison"]["mcnemar"]["p_value"] == 1
    path = data_folder / "financial_tweets" / "train.csv"
    options = ("--model", "financial-sentiment", "--data", str(path), "--sample", "300")
    document = evaluate(platform, tmp_path, *options, "--label-names", SENTIMENTS)
    assert document["models"][0]["scores"]["accuracy"]["value"] > 0.9


@pytest.mark.data
def test_the_sts_benchmark(platform: Session, data_folder: Path, tmp_path: Path) -> None:
    """0.8672 is plain onnxruntime's value on the same weights."""
    data = str(data_folder / "stsb" / "dev.csv")
    columns = ("--header", "a,b,score", "--text-column", "a", "--pair-column", "b")
    options = ("--task", "similarity", "--label-column", "score", "--model", "all-minilm-l6-v2")
    found = evaluate(platform, tmp_path, "--data", data, *columns, *options)["models"][0]
    assert found["scores"]["spearman"]["value"] == pytest.approx(0.8672, abs=0.001)


@pytest.mark.data
def test_real_tagged_text_is_read_whole(data_folder: Path) -> None:
    """WNUT 17 dev: 1,009 sentences, and as many entities as the file has tags that begin one."""
    data = read_tagged(data_folder / "wnut17" / "dev.conll")
    counts = Tag().expected_labels(data.examples)
    assert (len(data.examples), sum(counts.values()), len(counts)) == (1009, 836, 6)
