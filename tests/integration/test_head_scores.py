"""The shipped heads, through the running platform, on the rows that their training held out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from triptych_local.session import Session
from triptych_models.heads.examples import Columns, parse_label_names, read_examples
from triptych_models.heads.scoring import score
from triptych_models.heads.splitting import split
from triptych_models.heads.verification import open_head

SHIPPED = Path(__file__).parents[2] / "models" / "triptych_models" / "shipped"
SEED = 0
# another machine's vectors differ in their last digits, and a text or two may change sides
MAX_DIFFERENCE = 0.005


@dataclass(frozen=True, slots=True)
class Bar:
    """The least accuracy on texts never seen."""

    name: str
    file: str
    columns: Columns
    accuracy: float
    names: str = ""


BARS = [
    Bar("banking77", "banking77/train.csv", Columns("text", "category"), 0.92),
    Bar(
        "financial-sentiment",
        "financial_tweets/train.csv",
        Columns("text", "label"),
        0.78,
        "0=bearish,1=bullish,2=neutral",
    ),
]


@pytest.mark.data
@pytest.mark.parametrize("bar", BARS, ids=lambda bar: bar.name)
def test_is_as_good_as_its_card_says(bar: Bar, platform: Session, data_folder: Path) -> None:
    head = open_head(SHIPPED / bar.name / "1")
    labels = head.head.labels
    names = parse_label_names(bar.names) if bar.names else {label: label for label in labels}
    examples = read_examples(data_folder / bar.file, bar.columns, names)
    assert examples.labels == labels
    card = head.file("model-card.md").read_text()
    assert f"sha256 `{examples.origin.sha256}`" in card
    rows = split(examples.classes, SEED).test
    texts = [examples.texts[row] for row in rows]
    scores = score(classify(platform, bar.name, texts, labels), examples.classes[rows])
    print(f"{bar.name}: accuracy {scores.accuracy:.4f}, macro F1 {scores.macro_f1:.4f}")
    assert scores.accuracy >= bar.accuracy
    stated = re.search(r"\| test, held out \| ([0-9.]+) \| ([0-9.]+) \|", card)
    assert stated is not None
    assert scores.accuracy == pytest.approx(float(stated[1]), abs=MAX_DIFFERENCE)
    assert scores.macro_f1 == pytest.approx(float(stated[2]), abs=MAX_DIFFERENCE)


def classify(
    platform: Session, model: str, texts: Sequence[str], labels: Sequence[str]
) -> NDArray[np.float32]:
    """Scores [texts, labels] of the platform's answer."""
    url, body = f"{platform.http_url}/api/v1/classify", {"model": model, "inputs": texts}
    answer = httpx.post(url, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    rows = [
        {one["label"]: one["score"] for one in item["labels"]} for item in answer.json()["data"]
    ]
    return np.array([[row[label] for label in labels] for row in rows], np.float32)
