"""What a training is made of, read from a YAML file: everything but where files lie."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml

from triptych_bundles import NAME_RULE, is_name
from triptych_models.errors import TrainingDataError

Task = Literal["classify", "tag"]
UNSTATED = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """Which files, below the folder of the data, and what their columns mean."""

    train: str
    """CSV in UTF-8 with a header, or CoNLL for `tag`."""
    validation: str = ""
    """Empty: a tenth of `train`, by the seed."""
    test: str = ""
    """Empty: a tenth of `train`, by the seed."""
    text_column: str = "text"
    pair_column: str = ""
    label_column: str = "label"
    labels: str = ""
    """JSON list of the labels, in order; empty: the values, sorted, or `label_names`."""
    label_names: str = ""
    """VALUE=NAME, separated by commas, in order."""
    source: str = UNSTATED
    licence: str = UNSTATED


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRecipe:
    """How weights are found. The defaults are those of the three recipes that come with this."""

    epochs: int = 8
    batch_size: int = 32
    learning_rate: float = 2e-4
    """Of the trunk's last layer, at its highest."""
    head_learning_rate: float = 1e-3
    layer_decay: float = 0.9
    """The factor from each layer's rate to that of the layer below (Clark et al. 2020, ELECTRA)."""
    warmup: float = 0.1
    """The share of all steps over which rates rise; a cosine lets them fall to 0 after it."""
    weight_decay: float = 0.01
    dropout: float = 0.1
    smoothing: float = 0.1
    """Of labels (Szegedy et al. 2016)."""
    average: float = 0.995
    """Decay of the moving average of weights, which is what is scored and kept; 0: no average."""
    runs: int = 1
    """Trainings that differ in order and dropout alone, and whose weights are averaged in the end
    (Wortsman et al. 2022, model soups): costs as many times as long, and nothing when it serves."""
    freeze_words: bool = True
    """Whether the table of words stays: half of a small model, and little of it is in the data."""
    clip: float = 1.0
    """The largest norm of a gradient."""
    max_length: int = 128
    """Tokens that are read in training; the bundle keeps its trunk's maximum."""
    patience: int = 3
    """Epochs without a better validation score after which training stops; 0: it never does."""
    fit_validation: bool = False
    """Fit on the validation part as well, for exactly `epochs`: nothing is chosen by it then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training; two with equal recipes, data and machine give equal weights."""

    name: str
    version: str = "1"
    task: Task = "classify"
    trunk: str = ""
    """A Hugging Face folder or hub id; empty: the default model of `triptych-models`."""
    seed: int = 0
    licence: str = UNSTATED
    int8_min_cosine: float = 0.99
    """Floor of the graphs in int8, as of `compile --min-cosine`; 0: none are made."""
    data: DataRecipe
    fit: FitRecipe = field(default_factory=FitRecipe)

    def digest(self) -> str:
        """sha256 of everything in it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a file, and change it by `key=value` or `section.key=value`; TrainingDataError."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise TrainingDataError(f"{path.name}: cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise TrainingDataError(f"{path.name}: must hold settings by name")
    for change in changes:
        _change(document, change)
    try:
        return _checked(_recipe(document))
    except TrainingDataError as error:
        raise TrainingDataError(f"{path.name}: {error}") from None


def _change(document: dict[str, Any], change: str) -> None:
    key, separator, value = change.partition("=")
    *sections, last = key.split(".")
    if not separator or not all((*sections, last)) or len(sections) > 1:
        raise TrainingDataError(f"--set: {change[:80]!r} is not KEY=VALUE or SECTION.KEY=VALUE")
    target = document
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise TrainingDataError(f"--set: {section} is no section")
    target[last] = yaml.safe_load(value)


def _recipe(document: Mapping[str, Any]) -> Recipe:
    values = dict(document)
    values["data"] = _read(DataRecipe, values.get("data"), "data.")
    values["fit"] = _read(FitRecipe, values.get("fit") or {}, "fit.")
    return _read(Recipe, values, "")


_Section = TypeVar("_Section", Recipe, DataRecipe, FitRecipe)


def _read(kind: type[_Section], values: object, prefix: str) -> _Section:
    if not isinstance(values, Mapping):
        raise TrainingDataError(f"{prefix or 'the file'} must hold settings by name")
    known = {item.name: item.type for item in fields(kind)}
    read: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise TrainingDataError(f"{prefix}{name}: there is no such setting")
        read[name] = _typed(f"{prefix}{name}", value, known[name])
    try:
        return kind(**read)
    except TypeError as error:
        raise TrainingDataError(f"{prefix}: {error}") from error


# a whole number is a rate too, and a version may be written as one
_ACCEPTED = {int: (int,), float: (int, float), bool: (bool,), str: (str, int)}


def _typed(name: str, value: object, kind: object) -> object:
    """A plain value as its setting's type; sections are read already."""
    if not isinstance(kind, type) or kind not in _ACCEPTED:
        return value
    if not isinstance(value, _ACCEPTED[kind]) or (kind is not bool and isinstance(value, bool)):
        raise TrainingDataError(f"{name}: {value!r} is not of type {kind.__name__}")
    return kind(value)


def _checked(recipe: Recipe) -> Recipe:
    """Bounds outside of which a training is no training."""
    fit = recipe.fit
    rules = {
        f"name: {recipe.name[:128]!r} {NAME_RULE}": is_name(recipe.name),
        f"version: {recipe.version[:128]!r} {NAME_RULE}": is_name(recipe.version),
        f"task: must be one of {', '.join(get_args(Task))}": recipe.task in get_args(Task),
        "int8_min_cosine: must be from 0 to 1": 0 <= recipe.int8_min_cosine <= 1,
        "seed: must be at least 0": recipe.seed >= 0,
        "fit.epochs: must be at least 1": fit.epochs >= 1,
        "fit.runs: must be at least 1": fit.runs >= 1,
        "fit.batch_size: must be at least 1": fit.batch_size >= 1,
        "fit.max_length: must be at least 3": fit.max_length >= 3,
        "fit.patience: must be at least 0": fit.patience >= 0,
        "fit.learning_rate: must be above 0": fit.learning_rate > 0,
        "fit.head_learning_rate: must be above 0": fit.head_learning_rate > 0,
        "fit.clip: must be above 0": fit.clip > 0,
        "fit.layer_decay: must be above 0, at most 1": 0 < fit.layer_decay <= 1,
    }
    for name in ("warmup", "dropout", "smoothing", "average"):
        rules[f"fit.{name}: must be at least 0, below 1"] = 0 <= getattr(fit, name) < 1
    for rule, holds in rules.items():
        if not holds:
            raise TrainingDataError(rule)
    return recipe
