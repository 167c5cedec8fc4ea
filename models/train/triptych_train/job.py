"""From a recipe and a folder of data to a bundle in the repository, with its scores."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from triptych_bundles import Bundle
from triptych_models.compilation import compile_bundle
from triptych_models.config import EncoderConfig, read_config
from triptych_models.errors import BundleExists
from triptych_models.heads.examples import Columns, parse_label_names
from triptych_models.plan import make_plan
from triptych_models.progress import Say
from triptych_models.scores.measuring import LabelledFile, measure
from triptych_models.scores.recording import record
from triptych_models.sentence import Choices, read_sentence_settings
from triptych_models.sources import SourceFolder, fetch
from triptych_models.sources.folder import CARD
from triptych_models.tokenization import load_tokenizer
from triptych_train import checkpoints
from triptych_train.card import Trained, card
from triptych_train.devices import Device
from triptych_train.exporting import export, opened
from triptych_train.fitting import Training, mean_weights
from triptych_train.network import Network, build
from triptych_train.parts import Dataset
from triptych_train.predicting import predict
from triptych_train.recipe import Recipe
from triptych_train.sequences import read_sequences
from triptych_train.tokens import read_tokens

_READERS = {"classify": read_sequences, "tag": read_tokens}
TEST = "test"
"""What the test part's file is called, before its suffix."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where files lie on this machine, and what it may use; no outcome depends on it."""

    data: Path
    work: Path
    """Of checkpoints, of the exported model and of the test part; one training's at a time."""
    repository: Path
    cache: Path
    """Of fetched trunks."""
    hub_url: str
    recipe_file: str
    device: Device
    threads: int
    checkpoint_steps: int


def train(recipe: Recipe, place: Place, fresh: bool, overwrite: bool, say: Say) -> Bundle:
    """Train, or go on where it stopped; export, compile, score, and put the bundle into place.

    Raises TrainingDataError for the recipe's data and for another training's checkpoint,
    BundleExists where the version is taken and `overwrite` is false, and what compiling raises.
    """
    _check_place(recipe, place, overwrite)
    torch.set_num_threads(place.threads)
    source = fetch(recipe.trunk, place.cache, place.hub_url, say)
    config = read_config(source.path / "config.json")
    dataset = _READERS[recipe.task](recipe, place.data, _tokenizer(recipe, source, config))
    say(_sizes(dataset))
    trained, network = _fit(recipe, place, source, config, dataset, fresh, say)
    say(f"test {dataset.metric}: {trained.test:.4f}")
    folder = place.work / "model"
    export(network, recipe, dataset.labels, source, folder)
    (folder / CARD).write_text(card(trained), encoding="utf-8")
    return _bundle(recipe, place, opened(folder, recipe, source), dataset, overwrite, say)


def _check_place(recipe: Recipe, place: Place, overwrite: bool) -> None:
    place.work.mkdir(parents=True, exist_ok=True)
    if (place.repository / recipe.name / recipe.version).exists() and not overwrite:
        reason = "is there already: choose another version, or replace it with --replace"
        raise BundleExists(f"{recipe.name}@{recipe.version} {reason}")


def _tokenizer(recipe: Recipe, source: SourceFolder, config: EncoderConfig) -> Tokenizer:
    most = read_sentence_settings(source.path, config, Choices()).max_length
    return load_tokenizer(source.path / "tokenizer.json", min(most, recipe.fit.max_length))


def _sizes(dataset: Dataset) -> str:
    parts = (dataset.fit, dataset.validation, dataset.test)
    counts = ", ".join(str(len(part)) for part in parts)
    return f"{len(dataset.labels)} labels; training, validation, test: {counts}"


def _fit(
    recipe: Recipe,
    place: Place,
    source: SourceFolder,
    config: EncoderConfig,
    dataset: Dataset,
    fresh: bool,
    say: Say,
) -> tuple[Trained, Network]:
    part, validation = dataset.fit, None
    if recipe.fit.fit_validation:
        part = part.and_inputs_of(dataset.validation)
    else:
        validation = dataset.validation
    fingerprint = _fingerprint(recipe, source, dataset, place)
    courses, networks = [], []
    for run in range(recipe.fit.runs):
        torch.manual_seed(recipe.seed)
        network = build(recipe, source.path, config, len(dataset.labels))
        training = Training(recipe, network, part, place.device, config.layers, run)
        folder = place.work / f"run-{run}"
        _begin(training, folder, fingerprint, fresh, say)
        courses.append(training.fit(validation, folder, fingerprint, place.checkpoint_steps))
        networks.append(training.average.network)
    best = mean_weights(networks)
    test = dataset.test.score(predict(best, dataset.test, place.device))
    device = str(place.device)
    return Trained(recipe, place.recipe_file, source, dataset, courses, device, test), best


def _begin(training: Training, folder: Path, fingerprint: str, fresh: bool, say: Say) -> None:
    """At the first step, or where the checkpoint in `folder` was written."""
    folder.mkdir(parents=True, exist_ok=True)
    if fresh:
        checkpoints.discard(folder)
    state = checkpoints.load(folder, fingerprint)
    if state is None:
        training.begin()
        return
    training.restore(state)
    say(f"{folder.name}: going on after step {training.course.step} of {training.steps}")


def _fingerprint(recipe: Recipe, source: SourceFolder, dataset: Dataset, place: Place) -> str:
    """Of all that a checkpoint is only good for together with."""
    files = ",".join(f"{name}={sha256}" for name, sha256 in sorted(dataset.files.items()))
    return f"{recipe.digest()} {source.origin} {files} {place.device}"


def _bundle(
    recipe: Recipe,
    place: Place,
    source: SourceFolder,
    dataset: Dataset,
    overwrite: bool,
    say: Say,
) -> Bundle:
    plan = make_plan(source, recipe.name, recipe.version, Choices(), recipe.task)
    if recipe.int8_min_cosine:
        samples = dataset.validation.inputs.input_ids if recipe.task == "tag" else ()
        plan = replace(plan, int8_min_cosine=recipe.int8_min_cosine, samples=samples)
    bundle = compile_bundle(plan, place.repository, overwrite, say)
    path = place.work / f"{TEST}{dataset.suffix}"
    dataset.test.write(path)
    say(f"scoring the bundle on {path.name}")
    measured = measure(bundle, None, _labelled(recipe, path, dataset), place.threads, say)
    return record(bundle, measured, place.repository)


def _labelled(recipe: Recipe, path: Path, dataset: Dataset) -> LabelledFile:
    data = recipe.data
    columns = Columns(data.text_column, data.label_column, data.pair_column)
    names: Mapping[str, str] = {label: label for label in dataset.labels}
    if data.label_names:
        names = parse_label_names(data.label_names)
    return LabelledFile(path, TEST, columns, names)
