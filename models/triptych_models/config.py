"""A BERT's config.json, checked against what the graph builder reproduces."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych_models.documents import read_object
from triptych_models.errors import UnsupportedModel

ACTIVATIONS = ("gelu", "gelu_new", "relu")
# the same tanh approximation under its other names
_ALIASES = {"gelu_pytorch_tanh": "gelu_new", "gelu_fast": "gelu_new"}
_SUPPORTED = {
    "model_type": ("bert",),
    "hidden_act": (*ACTIVATIONS, *_ALIASES),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
}
_DEFAULTS = {"position_embedding_type": "absolute", "is_decoder": False}
_DEFAULTS |= {"hidden_act": "gelu", "add_cross_attention": False}


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The shape of an encoder; sizes are numbers of elements."""

    layers: int
    heads: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    max_positions: int
    token_types: int
    activation: str
    layer_norm_epsilon: float

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.heads


def read_config(path: Path) -> EncoderConfig:
    """Read config.json; UnsupportedModel says which setting stands against it."""
    values = _DEFAULTS | dict(read_object(path))
    for name, supported in _SUPPORTED.items():
        if values.get(name) not in supported:
            listed = ", ".join(str(value) for value in supported)
            raise UnsupportedModel(f"{name} {values.get(name)!r} is not supported, only: {listed}")
    config = _encoder_config(values)
    if config.hidden_size % config.heads:
        reason = f"hidden_size {config.hidden_size} does not divide into {config.heads} heads"
        raise UnsupportedModel(reason)
    return config


def _encoder_config(values: Mapping[str, object]) -> EncoderConfig:
    activation = str(values["hidden_act"])
    return EncoderConfig(
        layers=_size(values, "num_hidden_layers"),
        heads=_size(values, "num_attention_heads"),
        hidden_size=_size(values, "hidden_size"),
        intermediate_size=_size(values, "intermediate_size"),
        vocab_size=_size(values, "vocab_size"),
        max_positions=_size(values, "max_position_embeddings"),
        token_types=_size(values, "type_vocab_size"),
        activation=_ALIASES.get(activation, activation),
        layer_norm_epsilon=_epsilon(values.get("layer_norm_eps", 1e-12)),
    )


def _size(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UnsupportedModel(f"{name} in config.json must be a positive whole number")
    return value


def _epsilon(value: object) -> float:
    if not isinstance(value, float) or not 0 < value < 1:
        raise UnsupportedModel("layer_norm_eps in config.json must be a small positive number")
    return value
