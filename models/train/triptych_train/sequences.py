"""Texts and pairs with a class each, from CSV files."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from triptych_bundles import sha256_file
from triptych_models.heads.examples import (
    Columns,
    Examples,
    parse_label_names,
    read_examples,
    read_labels,
)
from triptych_models.heads.scoring import score
from triptych_models.heads.splitting import split
from triptych_models.scores.inputs import encode_examples
from triptych_models.scores.measuring import ACCURACY
from triptych_train.parts import Dataset, Logits, Part
from triptych_train.recipe import DataRecipe, Recipe


def read_sequences(recipe: Recipe, folder: Path, tokenizer: Tokenizer) -> Dataset:
    """Read, leave out what repeats, split, tokenize; TrainingDataError names what is wrong.

    The parts that are split off are those of `train-head` for the same seed: a tenth to test, a
    tenth to choose by, every label with its share. So a head and a model can be compared.
    """
    data = recipe.data
    columns = Columns(data.text_column, data.label_column, data.pair_column)
    names = _names(data, folder)
    examples = read_examples(folder / data.train, columns, names)
    names = names or {label: label for label in examples.labels}
    read = {
        file: read_examples(folder / file, columns, names, least=0)
        for file in (data.validation, data.test)
        if file
    }
    fit, validation, test = (
        _part(one, columns, tokenizer, names) for one in _parts(recipe, examples, read)
    )
    files = {file: sha256_file(folder / file) for file in (data.train, *read)}
    return Dataset(
        examples.labels, ACCURACY, ".csv", fit, validation, test, files, _facts(examples)
    )


def _names(data: DataRecipe, folder: Path) -> Mapping[str, str] | None:
    if data.label_names:
        return parse_label_names(data.label_names)
    return read_labels(folder / data.labels) if data.labels else None


def _facts(examples: Examples) -> Mapping[str, int]:
    origin = examples.origin
    return {
        "rows": origin.rows,
        "left out as repeated": origin.duplicates,
        "left out as labelled in several ways": origin.contradictions,
    }


def _parts(
    recipe: Recipe, examples: Examples, read: Mapping[str, Examples]
) -> tuple[Examples, Examples, Examples]:
    """To fit on, to choose by, to test with: of files of their own, or split off."""
    data, parts = recipe.data, split(examples.classes, recipe.seed)
    validation, test = read.get(data.validation), read.get(data.test)
    chosen = validation or examples.take(parts.validation)
    tested = test or examples.take(parts.test)
    # nothing that is held out is fitted on, whichever file it stands in
    held = {*chosen.keys(), *tested.keys()}
    rows = [row for row, key in enumerate(examples.keys()) if key not in held]
    return examples.take(np.array(rows, np.int64)), chosen, tested


def _part(
    examples: Examples, columns: Columns, tokenizer: Tokenizer, names: Mapping[str, str]
) -> Part:
    def scored(logits: Logits) -> float:
        return score(np.stack(logits), examples.classes).accuracy

    return Part(
        encode_examples(tokenizer, examples),
        list(examples.classes[:, None]),
        per_token=False,
        score=scored,
        write=_writer(examples, columns, list(names)),
    )


def _writer(examples: Examples, columns: Columns, values: list[str]) -> Callable[[Path], None]:
    """In the columns and with the values that the rows came with."""
    texts = [examples.texts, *([examples.pairs] if columns.pair else [])]
    labels = [values[label] for label in examples.classes]

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns.options.values())
            writer.writerows(zip(*texts, labels, strict=True))

    return write
