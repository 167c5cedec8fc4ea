"""How a model's vectors are meant to be used, from the files that sentence-transformers writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych_bundles import POOLINGS
from triptych_models.config import EncoderConfig
from triptych_models.documents import read_list, read_optional
from triptych_models.errors import UnsupportedModel

_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last_token",
}
_SENTENCE = "sentence_bert_config.json"
_MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person asked for; None leaves it to the model's files."""

    pooling: str | None = None
    normalize: bool | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """The outcome; `max_length` is in tokens, special tokens included."""

    pooling: str
    normalize: bool
    max_length: int
    prompts: Mapping[str, str]
    lower_case: bool
    """Whether text is to be lower-cased before the tokenizer sees it."""


def read_sentence_settings(
    folder: Path, config: EncoderConfig, choices: Choices
) -> SentenceSettings:
    """Read the settings; a plain encoder's are mean pooling, normalised, all its positions.

    UnsupportedModel where a model does what neither graph nor services reproduce.
    """
    return sentence_settings(folder, _max_length(folder, config, choices.max_length), choices)


def sentence_settings(folder: Path, max_length: int, choices: Choices) -> SentenceSettings:
    """The same for an encoder whose maximum is known."""
    modules = _modules(folder / "modules.json")
    normalize = not modules or "Normalize" in modules
    return SentenceSettings(
        pooling=choices.pooling or _pooling(folder),
        normalize=normalize if choices.normalize is None else choices.normalize,
        max_length=max_length,
        prompts=_prompts(folder),
        lower_case=read_optional(folder / _SENTENCE).get("do_lower_case") is True,
    )


def _modules(path: Path) -> list[str]:
    """The kinds of module in their order; empty for a plain encoder."""
    entries = read_list(path) if path.is_file() else []
    kinds = [
        str(entry.get("type")).rpartition(".")[2] for entry in entries if isinstance(entry, dict)
    ]
    for kind in kinds:
        if kind not in _MODULES:
            raise UnsupportedModel(f"module {kind} is not supported, only: {', '.join(_MODULES)}")
    return kinds


def _pooling(folder: Path) -> str:
    values = read_optional(folder / "1_Pooling" / "config.json")
    if not values:
        return "mean"
    if values.get("include_prompt") is False:
        raise UnsupportedModel("pooling that leaves the prompt out is not supported")
    modes = [name for name, on in values.items() if name.startswith("pooling_mode_") and on]
    if len(modes) != 1 or modes[0] not in _MODES:
        found = " with ".join(modes) or "of an unstated mode"
        reason = f"pooling {found} is not supported, only: {', '.join(POOLINGS)}"
        raise UnsupportedModel(reason)
    return _MODES[modes[0]]


def _max_length(folder: Path, config: EncoderConfig, chosen: int | None) -> int:
    if chosen is not None:
        if not 2 < chosen <= config.max_length:
            raise UnsupportedModel(f"max length must be between 3 and {config.max_length}")
        return chosen
    sentence = read_optional(folder / _SENTENCE).get("max_seq_length")
    tokenizer = read_optional(folder / "tokenizer_config.json").get("model_max_length")
    stated = [limit for limit in (sentence, tokenizer) if isinstance(limit, int) and limit > 2]
    # tokenizers without a limit state 10**30
    return min(next(iter(stated), config.max_length), config.max_length)


def _prompts(folder: Path) -> Mapping[str, str]:
    prompts = read_optional(folder / "config_sentence_transformers.json").get("prompts")
    if not isinstance(prompts, dict):
        return {}
    return {name: text for name, text in prompts.items() if isinstance(text, str)}
