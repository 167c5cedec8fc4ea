"""Writes tiny models of every supported architecture and task, as Hugging Face folders.

Weights come from the raw words of numpy's PCG64, whose stream never changes, seeded by the name of
each tensor: the same on every machine, so that they need not be kept. They are as large as it takes
for labels to vary. An architecture's trunk is the same for every task.

Names and shapes are written down here a second time, apart from those in the product: transformers
accepts them without a missing or an unexpected key, or `make parity` fails.

    python -m tests.parity.tiny_models FOLDER      # writes FOLDER/<architecture>-<task>
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

HERE = Path(__file__).parent
HIDDEN, INNER, LAYERS, HEADS, EMBEDDING, BUCKETS = 32, 48, 2, 4, 16, 32
MAX_LENGTH = 128
ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "MISC")

Shapes = dict[str, tuple[int, ...]]

# class name in transformers, kind of tokenizer
ARCHITECTURES = {
    "bert": ("Bert", "wordpiece"),
    "distilbert": ("DistilBert", "wordpiece"),
    "electra": ("Electra", "wordpiece"),
    "mpnet": ("MPNet", "mpnet"),
    "roberta": ("Roberta", "bytelevel"),
    "xlm-roberta": ("XLMRoberta", "unigram"),
}
# what transformers appends to the class name, labels, problem type
TASKS: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    "embed": ("Model", (), None),
    "classify": ("ForSequenceClassification", ("negative", "neutral", "positive"), None),
    "multi": (
        "ForSequenceClassification",
        ("toxic", "insult", "threat", "spam"),
        "multi_label_classification",
    ),
    "rank": ("ForSequenceClassification", ("LABEL_0",), None),
    "tag": ("ForTokenClassification", ENTITIES, None),
}
_PREFIXES = {"xlm-roberta": "roberta"}
_POOLERS = ("bert", "mpnet", "roberta", "xlm-roberta")
_LAYER = {
    "mpnet": (
        *("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"),
        *("attention.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
    ),
    "distilbert": (
        *("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
        *("sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"),
    ),
}
_BERT_LAYER = (
    *("attention.self.query", "attention.self.key", "attention.self.value"),
    *("attention.output.dense", "attention.output.LayerNorm"),
    *("intermediate.dense", "output.dense", "output.LayerNorm"),
)
# the first part that a tensor's name holds decides its standard deviation, 0.2 where none does;
# small shifts and sharp attention keep texts apart
_SPREAD = {
    "classifier.bias": 0.2,
    "relative_attention_bias": 1.0,
    "bias": 0.05,
    "word_embeddings": 1.0,
    "position_embeddings": 0.5,
    "token_type_embeddings": 0.5,
    "attention": 0.4,
    "classifier": 0.5,
    "pooler": 0.4,
}


def write_model(folder: Path, architecture: str, task: str) -> Path:
    """Write one model to `folder`/<architecture>-<task>, and return that."""
    target = folder / f"{architecture}-{task}"
    target.mkdir(parents=True)
    _, kind = ARCHITECTURES[architecture]
    tokenizer = HERE / "tokenizers" / f"{kind}.json"
    shutil.copyfile(tokenizer, target / "tokenizer.json")
    vocabulary = json.loads(tokenizer.read_bytes())["model"]["vocab"]
    _write(target / "config.json", config(architecture, task, len(vocabulary)))
    _write(target / "tokenizer_config.json", tokenizer_config(architecture))
    tensors = {
        name: values(architecture, name, shape)
        for name, shape in shapes(architecture, task, len(vocabulary)).items()
    }
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def _write(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")


def config(architecture: str, task: str, vocabulary: int) -> dict[str, object]:
    """The model's config.json."""
    suffix, labels, problem_type = TASKS[task]
    after_padding = architecture in ("mpnet", "roberta", "xlm-roberta")
    made: dict[str, object] = {
        "model_type": architecture,
        "architectures": [ARCHITECTURES[architecture][0] + suffix],
        "vocab_size": vocabulary,
        "max_position_embeddings": MAX_LENGTH + 2 * after_padding,
        "pad_token_id": 1 if after_padding else 0,
    } | _sizes(architecture)
    if labels:
        made["id2label"] = {str(index): label for index, label in enumerate(labels)}
        made["label2id"] = {label: index for index, label in enumerate(labels)}
    return made | ({"problem_type": problem_type} if problem_type else {})


def _sizes(architecture: str) -> dict[str, object]:
    if architecture == "distilbert":
        sizes = {"dim": HIDDEN, "hidden_dim": INNER, "n_layers": LAYERS, "n_heads": HEADS}
        return {**sizes, "activation": "gelu", "sinusoidal_pos_embds": False}
    sizes = {
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
    }
    own: dict[str, dict[str, object]] = {
        "bert": {"type_vocab_size": 2, "layer_norm_eps": 1e-12},
        "electra": {"type_vocab_size": 2, "layer_norm_eps": 1e-12, "embedding_size": EMBEDDING},
        "mpnet": {"relative_attention_num_buckets": BUCKETS, "layer_norm_eps": 1e-5},
        "roberta": {"type_vocab_size": 1, "layer_norm_eps": 1e-5},
        "xlm-roberta": {"type_vocab_size": 1, "layer_norm_eps": 1e-5},
    }
    return {**sizes, "hidden_act": "gelu", **own[architecture]}


def tokenizer_config(architecture: str) -> dict[str, object]:
    """The model's tokenizer_config.json, of the class that takes tokenizer.json as it is."""
    tokens = {
        "wordpiece": ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"),
        "mpnet": ("<s>", "</s>", "<pad>", "[UNK]", "<mask>"),
    }.get(ARCHITECTURES[architecture][1], ("<s>", "</s>", "<pad>", "<unk>", "<mask>"))
    names = ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token")
    types = ["token_type_ids"] if architecture in ("bert", "electra") else []
    return dict(zip(names, tokens, strict=True)) | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_LENGTH,
        "model_input_names": ["input_ids", *types, "attention_mask"],
    }


def shapes(architecture: str, task: str, vocabulary: int) -> Shapes:
    """Every tensor of a model's checkpoint: the trunk alone has no prefix, under a head it has."""
    trunk = _embeddings(architecture, vocabulary) | _encoder(architecture)
    if architecture in _POOLERS and (task == "embed" or (architecture, task) in _BERT_CLASSIFIERS):
        trunk |= _linear("pooler.dense", HIDDEN, HIDDEN)
    if task == "embed":
        return trunk
    prefix = _PREFIXES.get(architecture, architecture)
    return {f"{prefix}.{name}": shape for name, shape in trunk.items()} | _head(architecture, task)


_BERT_CLASSIFIERS = {("bert", "classify"), ("bert", "multi"), ("bert", "rank")}


def _embeddings(architecture: str, vocabulary: int) -> Shapes:
    sizes = config(architecture, "embed", vocabulary)
    width = EMBEDDING if architecture == "electra" else HIDDEN
    rows = {"word": vocabulary, "position": sizes["max_position_embeddings"]}
    if "type_vocab_size" in sizes:
        rows["token_type"] = sizes["type_vocab_size"]
    found: Shapes = {
        f"embeddings.{name}_embeddings.weight": (int(str(count)), width)
        for name, count in rows.items()
    }
    found |= _norm("embeddings.LayerNorm", width)
    return found | (_linear("embeddings_project", HIDDEN, width) if width != HIDDEN else {})


def _encoder(architecture: str) -> Shapes:
    found: Shapes = {}
    if architecture == "mpnet":
        found["encoder.relative_attention_bias.weight"] = (BUCKETS, HEADS)
    room = "transformer" if architecture == "distilbert" else "encoder"
    names = _LAYER.get(architecture, _BERT_LAYER)
    for index in range(LAYERS):
        *square, norm, inner, outer, last = (f"{room}.layer.{index}.{name}" for name in names)
        for name in square:
            found |= _linear(name, HIDDEN, HIDDEN)
        found |= _linear(inner, INNER, HIDDEN) | _linear(outer, HIDDEN, INNER)
        found |= _norm(norm, HIDDEN) | _norm(last, HIDDEN)
    return found


def _head(architecture: str, task: str) -> Shapes:
    labels = len(TASKS[task][1])
    if task == "tag" or architecture == "bert":
        return _linear("classifier", labels, HIDDEN)
    if architecture == "distilbert":
        return _linear("pre_classifier", HIDDEN, HIDDEN) | _linear("classifier", labels, HIDDEN)
    dense = _linear("classifier.dense", HIDDEN, HIDDEN)
    return dense | _linear("classifier.out_proj", labels, HIDDEN)


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def values(architecture: str, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A tensor of uniform numbers; scales of a normalisation are around 1."""
    prefix = _PREFIXES.get(architecture, architecture)
    bare = name.removeprefix(f"{prefix}.")
    seed = hashlib.sha256(f"{architecture} {bare} {shape}".encode()).digest()
    words = np.random.PCG64(int.from_bytes(seed[:8], "little")).random_raw(int(np.prod(shape)))
    uniform = (words >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    spread = next((spread for part, spread in _SPREAD.items() if part in name), 0.2)
    centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
    scaled: NDArray[np.float64] = centre + uniform * spread * np.sqrt(3)
    return scaled.astype(np.float32).reshape(shape)


def main() -> None:
    """Write all models."""
    for architecture in ARCHITECTURES:
        for task in TASKS:
            print(write_model(Path(sys.argv[1]), architecture, task))


if __name__ == "__main__":
    main()
