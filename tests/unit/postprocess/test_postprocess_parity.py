"""Answers made of the tiny models' logits, against those of transformers' own pipelines.

Tokens and their words come from our tokenizer: entities by word are right only if those are.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from triptych_bundles import Head, ProblemType
from triptych_postprocess.classifying import ClassifyOptions, classify
from triptych_postprocess.heads import Classifier
from triptych_postprocess.layout import Layout, Sequences
from triptych_postprocess.ranking import Documents, RankOptions, rank_pairs
from triptych_postprocess.tagging import Aggregation, TagOptions, tag
from triptych_postprocess.tags import read_scheme
from triptych_tokenizer.finishing import finish
from triptych_tokenizer.items import Item
from triptych_tokenizer.model import ModelTokenizer
from triptych_tokenizer.options import Columns, Options, Vocabulary, resolve
from triptych_tokenizer.template import read_template

PARITY = Path(__file__).parents[2] / "parity"
TEXTS: list[str] = json.loads((PARITY / "inputs.json").read_bytes())["texts"]
KINDS = {
    "bert": "wordpiece",
    "distilbert": "wordpiece",
    "electra": "wordpiece",
    "mpnet": "mpnet",
    "roberta": "bytelevel",
    "xlm-roberta": "unigram",
}
ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "MISC")
HEADS: dict[str, tuple[tuple[str, ...], ProblemType]] = {
    "classify": (("negative", "neutral", "positive"), "single_label_classification"),
    "multi": (("toxic", "insult", "threat", "spam"), "multi_label_classification"),
    "rank": (("LABEL_0",), "single_label_classification"),
}
COLUMNS = Columns(offsets=True, word_ids=True, special_tokens_mask=True)
TOLERANCE = 1e-4

pytestmark = pytest.mark.parametrize("architecture", KINDS)


def answers(architecture: str) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads((PARITY / "golden" / f"{architecture}.json").read_bytes())
    return golden


def outputs(architecture: str) -> dict[str, NDArray[np.float32]]:
    return load_file(PARITY / "golden" / f"{architecture}.safetensors")


def layout(architecture: str) -> Layout:
    library = Tokenizer.from_file(str(PARITY / "tokenizers" / f"{KINDS[architecture]}.json"))
    library.no_padding()
    library.no_truncation()
    single, pair = read_template(library, pair=False), read_template(library, pair=True)
    vocabulary = Vocabulary(library.get_vocab_size(), 128, single, pair, {})
    plan = resolve(Options(columns=COLUMNS), vocabulary)
    items: list[Item] = list(TEXTS)
    tokens = ModelTokenizer(library, vocabulary).encode(items, plan)
    made = finish(tokens, items, plan, 10**6).sequences
    assert made.offsets is not None
    assert made.special_tokens_mask is not None
    sequences = Sequences(made.lengths, np.arange(len(made.lengths)))
    return Layout(sequences, made.offsets, made.special_tokens_mask != 0, made.word_ids)


def classifier(task: str) -> Classifier:
    labels, problem = HEADS[task]
    return Classifier(Head("logits", False, (), "", "", labels, problem), (), len(labels))


@pytest.mark.parametrize("aggregation", Aggregation)
def test_entities(architecture: str, aggregation: Aggregation) -> None:
    scheme = read_scheme(ENTITIES)
    assert scheme is not None
    options = TagOptions(aggregation, frozenset(("O",)))
    logits = outputs(architecture)["texts.token_logits"]
    made = tag(logits, layout(architecture), scheme, options, {}).rows
    names = options.labels(scheme)
    expected: list[Any] = [
        (index, one["label"], one["start"], one["end"], pytest.approx(one["score"], abs=TOLERANCE))
        for index, found in enumerate(
            answers(architecture)["token_classification"][aggregation.value]
        )
        for one in found
    ]
    columns = made.item_index, made.label_id, made.start, made.end, made.score
    assert expected
    assert [
        (int(item), names[label], int(start), int(end), float(score))
        for item, label, start, end, score in zip(*columns, strict=True)
    ] == expected


@pytest.mark.parametrize("kind", ["texts", "pairs"])
@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize(("manner", "top_k"), [("all", 9), ("top_2", 2), ("raw", 9)])
def test_classes(architecture: str, task: str, kind: str, manner: str, top_k: int) -> None:
    head = classifier(task)
    labels = head.head.labels
    options = ClassifyOptions(min(top_k, len(labels)), raw_scores=manner == "raw")
    made = classify(outputs(architecture)[f"{kind}.{task}"], head, options, {}).rows
    expected = answers(architecture)["text_classification"][task][kind][manner]
    assert [[labels[label] for label in row] for row in made.label_ids] == [
        [one["label"] for one in row] for row in expected
    ]
    scores = [[one["score"] for one in row] for row in expected]
    assert made.scores == pytest.approx(np.array(scores), abs=TOLERANCE)


def test_relevance_is_a_cross_encoders(architecture: str) -> None:
    logits = outputs(architecture)["pairs.rank"]
    expected = np.array(answers(architecture)["cross_encoder"])
    documents = Documents(np.array([len(logits)]))
    made = rank_pairs(logits, classifier("rank"), documents, RankOptions(0), {}).rows
    assert made.scores == pytest.approx(expected[made.document_index], abs=TOLERANCE)
    assert (np.diff(made.scores) <= 0).all()
