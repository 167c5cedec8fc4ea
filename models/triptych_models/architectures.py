"""What sets the supported architectures apart: names in checkpoints and configurations, and parts.

Everything else is the same for all: word and position embeddings, then layers of attention and
feed-forward, each with its residual sum and normalisation after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from triptych_bundles import Dense

WORDS = "embeddings.word_embeddings"
POSITIONS = "embeddings.position_embeddings"
TOKEN_TYPES = "embeddings.token_type_embeddings"  # noqa: S105 (no secret)
EMBEDDING_NORM = "embeddings.LayerNorm"
PROJECTION = "embeddings_project"
RELATIVE_BIAS = "encoder.relative_attention_bias"
CLASSIFIER = "classifier"
"""The one layer of a head for tokens, and of one over a pooling."""


@dataclass(frozen=True, slots=True)
class LayerNames:
    """The tensors of one layer, below `<layers>.<index>`."""

    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    intermediate: str = "intermediate.dense"
    output: str = "output.dense"
    output_norm: str = "output.LayerNorm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One `model_type`; what is not said is as in a BERT."""

    prefix: str
    """Of the encoder's tensors where they lie beside a head."""
    classifier: tuple[Dense, ...]
    """The head for whole inputs, over the first token's state."""
    layers: str = "encoder.layer"
    names: LayerNames = LayerNames()
    settings: Mapping[str, str] = field(default_factory=dict)
    """What config.json calls the settings that have other names than a BERT's."""
    fixed: Mapping[str, object] = field(default_factory=dict)
    """Settings that the architecture does not read from config.json."""
    token_types: bool = True
    projection: bool = False
    """Whether embeddings may be narrower than the layers."""
    after_padding: bool = False
    """Whether positions are counted from the padding's id on, over tokens that are not padding."""
    relative_bias: bool = False
    """Whether attention is biased by the distance of two tokens."""


_ROBERTA = Architecture(
    prefix="roberta.",
    classifier=(Dense("classifier.dense", "tanh"), Dense("classifier.out_proj", "none")),
    after_padding=True,
)

ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Architecture(
        prefix="bert.",
        classifier=(Dense("pooler.dense", "tanh"), Dense("classifier", "none")),
    ),
    "roberta": _ROBERTA,
    # one architecture under two names, whose tokenizers differ
    "xlm-roberta": _ROBERTA,
    "distilbert": Architecture(
        prefix="distilbert.",
        classifier=(Dense("pre_classifier", "relu"), Dense("classifier", "none")),
        layers="transformer.layer",
        names=LayerNames(
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            attention_output="attention.out_lin",
            attention_norm="sa_layer_norm",
            intermediate="ffn.lin1",
            output="ffn.lin2",
            output_norm="output_layer_norm",
        ),
        settings={
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "hidden_size": "dim",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
        },
        fixed={"layer_norm_eps": 1e-12},
        token_types=False,
    ),
    "electra": Architecture(
        prefix="electra.",
        # the exact gelu, whatever hidden_act says
        classifier=(Dense("classifier.dense", "gelu"), Dense("classifier.out_proj", "none")),
        projection=True,
    ),
    "mpnet": Architecture(
        prefix="mpnet.",
        classifier=(Dense("classifier.dense", "tanh"), Dense("classifier.out_proj", "none")),
        names=LayerNames(
            query="attention.attn.q",
            key="attention.attn.k",
            value="attention.attn.v",
            attention_output="attention.attn.o",
            attention_norm="attention.LayerNorm",
        ),
        fixed={"pad_token_id": 1},
        token_types=False,
        after_padding=True,
        relative_bias=True,
    ),
}
