"""An encoder's config.json, checked against what the graph builder reproduces."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych_bundles import POOLINGS, Dense
from triptych_models.architectures import ARCHITECTURES, CLASSIFIER, Architecture
from triptych_models.documents import read_object
from triptych_models.errors import UnsupportedModel

ACTIVATIONS = ("gelu", "gelu_new", "relu")
# the same tanh approximation under its other names
_ALIASES = {"gelu_pytorch_tanh": "gelu_new", "gelu_fast": "gelu_new"}
_SUPPORTED = {
    "model_type": tuple(ARCHITECTURES),
    "hidden_act": (*ACTIVATIONS, *_ALIASES),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}
# what transformers takes where config.json is silent
_DEFAULTS = {"position_embedding_type": "absolute", "is_decoder": False}
_DEFAULTS |= {"hidden_act": "gelu", "add_cross_attention": False}
_PADDING_ID = 1
_RELATIVE_BUCKETS = 32
MAX_DISTANCE = 128
"""Distances of at least this many tokens share a bucket; no model's config.json says another."""


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The shape of an encoder; sizes are numbers of elements."""

    model_type: str
    layers: int
    heads: int
    hidden_size: int
    embedding_size: int
    """Width of the embeddings: other than `hidden_size` where they are projected."""
    intermediate_size: int
    vocab_size: int
    max_positions: int
    """Rows of the position table."""
    token_types: int
    """0: the architecture has none."""
    padding_id: int | None
    """The id that positions are counted from; None: they begin at 0."""
    relative_buckets: int
    """Of distances between tokens; 0: attention has no bias."""
    activation: str
    layer_norm_epsilon: float
    classifier_pooling: str | None = None
    """Set: the head for whole inputs is one layer over this pooling. None: the architecture's."""

    @property
    def architecture(self) -> Architecture:
        """Names and parts."""
        return ARCHITECTURES[self.model_type]

    @property
    def classifier(self) -> tuple[Dense, ...]:
        """The layers of the head for whole inputs."""
        if self.classifier_pooling is None:
            return self.architecture.classifier
        return (Dense(CLASSIFIER, "none"),)

    @property
    def classifier_input(self) -> str:
        """The pooling that they read: the first token's state, where nothing else is said."""
        return self.classifier_pooling or "cls"

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.heads

    @property
    def max_length(self) -> int:
        """The most tokens that there are positions for, special tokens included."""
        return self.max_positions - (0 if self.padding_id is None else self.padding_id + 1)


def read_config(path: Path) -> EncoderConfig:
    """Read config.json; UnsupportedModel says which setting stands against it."""
    values = _Values(read_object(path))
    config = _encoder_config(values)
    if config.hidden_size % config.heads:
        reason = f"hidden_size {config.hidden_size} does not divide into {config.heads} heads"
        raise UnsupportedModel(reason)
    if config.max_length < 1:
        raise UnsupportedModel(f"max_position_embeddings {config.max_positions} leave no position")
    return config


def _encoder_config(values: "_Values") -> EncoderConfig:
    parts, activation = values.architecture, str(values.get("hidden_act"))
    hidden = values.size("hidden_size")
    return EncoderConfig(
        model_type=values.model_type,
        layers=values.size("num_hidden_layers"),
        heads=values.size("num_attention_heads"),
        hidden_size=hidden,
        embedding_size=values.size("embedding_size") if parts.projection else hidden,
        intermediate_size=values.size("intermediate_size"),
        vocab_size=values.size("vocab_size"),
        max_positions=values.size("max_position_embeddings"),
        token_types=values.size("type_vocab_size") if parts.token_types else 0,
        padding_id=values.size("pad_token_id", _PADDING_ID, 0) if parts.after_padding else None,
        relative_buckets=_buckets(values) if parts.relative_bias else 0,
        activation=_ALIASES.get(activation, activation),
        layer_norm_epsilon=_epsilon(values.get("layer_norm_eps", 1e-12)),
        classifier_pooling=_pooling(values.get("classifier_pooling")),
    )


def _pooling(value: object) -> str | None:
    """transformers' name for it (ModernBertConfig), which no architecture here has by itself."""
    if value is None or value in POOLINGS:
        return None if value is None else str(value)
    listed = ", ".join(POOLINGS)
    raise UnsupportedModel(f"classifier_pooling {value!r} is not supported, only: {listed}")


def _buckets(values: "_Values") -> int:
    """A quarter of them are for exact distances, which must be some and below the largest."""
    buckets = values.size("relative_attention_num_buckets", _RELATIVE_BUCKETS)
    if not 1 <= buckets // 4 < MAX_DISTANCE:
        reason = f"relative_attention_num_buckets must be from 4 to {4 * MAX_DISTANCE - 1}"
        raise UnsupportedModel(reason)
    return buckets


class _Values:
    """Settings by the names that a BERT's have."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.model_type = str(values.get("model_type"))
        self._names: Mapping[str, str] = {}
        self._values = _DEFAULTS | dict(values)
        self._check("model_type")
        self.architecture = ARCHITECTURES[self.model_type]
        self._names = self.architecture.settings
        self._values |= dict(self.architecture.fixed)
        for name in _SUPPORTED:
            self._check(name)

    def get(self, name: str, default: object = None) -> object:
        value = self._values.get(self._names.get(name, name))
        return _DEFAULTS.get(name, default) if value is None else value

    def size(self, name: str, default: int | None = None, minimum: int = 1) -> int:
        value = self.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            rule = f"must be a whole number of at least {minimum}"
            raise UnsupportedModel(f"{self._names.get(name, name)} in config.json {rule}")
        return value

    def _check(self, name: str) -> None:
        value, own = self.get(name), self._names.get(name, name)
        if value not in _SUPPORTED[name]:
            listed = ", ".join(map(str, _SUPPORTED[name]))
            raise UnsupportedModel(f"{own} {value!r} is not supported, only: {listed}")


def _epsilon(value: object) -> float:
    if not isinstance(value, float) or not 0 < value < 1:
        raise UnsupportedModel("layer_norm_eps in config.json must be a small positive number")
    return value
