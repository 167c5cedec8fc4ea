"""Sentences of tagged words, from CoNLL files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from triptych_bundles import sha256_file
from triptych_models.conll import Sentence, distinct, labels_of, read_conll
from triptych_models.entities import score_entities
from triptych_models.errors import TrainingDataError
from triptych_models.heads.splitting import PARTS
from triptych_models.scores.inputs import Tagged
from triptych_models.scores.measuring import ENTITY_F1
from triptych_models.words import NO_WORD, Worded, encode_sentences, word_tags
from triptych_train.parts import IGNORED, Classes, Dataset, Logits, Part
from triptych_train.recipe import DataRecipe, Recipe


def read_tokens(recipe: Recipe, folder: Path, tokenizer: Tokenizer) -> Dataset:
    """Read, leave out what repeats, split, tokenize; TrainingDataError names what is wrong.

    Files of their own for a part are left as they are: their scores are to be compared with those
    of others. Their sentences are not fitted on, even where `train` holds them too.
    """
    data = recipe.data
    files = {name: read_conll(folder / name) for name in _files(data)}
    read = files[data.train]
    labels = labels_of(read)
    _check_labels(files, labels)
    unlike = [one for name in (data.validation, data.test) if name for one in files[name]]
    kept = distinct(read, unlike)
    fit, validation, test = (_part(part, labels, tokenizer) for part in _parts(recipe, kept, files))
    return Dataset(
        labels,
        ENTITY_F1,
        ".conll",
        fit,
        validation,
        test,
        {name: sha256_file(folder / name) for name in files},
        {"sentences": len(read), "left out as repeated": len(read) - len(kept)},
    )


def _files(data: DataRecipe) -> list[str]:
    return [name for name in (data.train, data.validation, data.test) if name]


def _check_labels(files: dict[str, list[Sentence]], labels: Sequence[str]) -> None:
    if len(labels) < 2:
        raise TrainingDataError("data.train: holds no entity")
    for name, sentences in files.items():
        unknown = sorted({tag for one in sentences for tag in one.tags} - set(labels))
        if unknown:
            raise TrainingDataError(f"{name}: {unknown[0]!r} is no label of the data fitted on")


def _parts(
    recipe: Recipe, kept: Sequence[Sentence], files: dict[str, list[Sentence]]
) -> tuple[Sequence[Sentence], Sequence[Sentence], Sequence[Sentence]]:
    """To fit on, to choose by, to test with: tenths at random where there is no file."""
    data, order = recipe.data, np.random.default_rng(recipe.seed).permutation(len(kept))
    shuffled = [kept[row] for row in order]
    size = max(1, len(kept) // PARTS)
    validation, test = (files.get(name) for name in (data.validation, data.test))
    if validation is None:
        validation, shuffled = shuffled[:size], shuffled[size:]
    if test is None:
        test, shuffled = shuffled[:size], shuffled[size:]
    if not shuffled:
        raise TrainingDataError("data.train: holds too few sentences to split")
    return shuffled, validation, test


def _part(sentences: Sequence[Sentence], labels: Sequence[str], tokenizer: Tokenizer) -> Part:
    tagged = Tagged(sentences, encode_sentences(tokenizer, sentences))
    pairs = list(zip(sentences, tagged.worded, strict=True))

    def scored(logits: Logits) -> float:
        found = [
            word_tags(sentence, worded, rows.argmax(axis=1), labels)
            for (sentence, worded), rows in zip(pairs, logits, strict=True)
        ]
        return score_entities([sentence.tags for sentence in sentences], found).f1

    def write(path: Path) -> None:
        path.write_text("\n".join(map(_lines, sentences)), encoding="utf-8")

    targets = [_targets(sentence, worded, labels) for sentence, worded in pairs]
    return Part(tagged.inputs, targets, per_token=True, score=scored, write=write)


def _lines(sentence: Sentence) -> str:
    words = zip(sentence.words, sentence.tags, strict=True)
    return "".join(f"{word}\t{tag}\n" for word, tag in words)


def _targets(sentence: Sentence, worded: Worded, labels: Sequence[str]) -> Classes:
    """[S]: a word's later tokens go on with its entity, as whoever joins tokens will read them."""
    number = {label: position for position, label in enumerate(labels)}
    begun = np.array([number[tag] for tag in sentence.tags])
    going_on = np.array([number[tag.replace("B-", "I-", 1)] for tag in sentence.tags])
    classes = np.where(worded.begins, begun[worded.word], going_on[worded.word])
    return np.where(worded.word == NO_WORD, IGNORED, classes).astype(np.int64)
