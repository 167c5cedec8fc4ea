"""Bundles for LocalPlatform, which has no files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from triptych_bundles.manifest import (
    HIDDEN_OUTPUT,
    LOGITS_OUTPUT,
    POOLINGS,
    TOKEN_LOGITS_OUTPUT,
    BaseModel,
    Bundle,
    Dense,
    GoldenRecord,
    Head,
    HeadBundle,
    ProblemType,
    Trunk,
    pooled_output,
)
from triptych_gateway.local_tokens import VOCAB_SIZE

CREATED: Final = 1_700_000_000
TOKEN_LABELS: Final = ("O", "I-NUM", "I-WIDE")
"""Other characters, ASCII digits, and everything beyond ASCII."""


def local_bundle(
    name: str = "local", version: str = "1", dimensions: int = 384, **fields: Any
) -> Bundle:
    """A model that makes embeddings, with a prompt called "query" and 256 tokens at most.

    `fields` are other fields of a Bundle.
    """
    known: dict[str, Any] = {
        "task": "embed",
        "pooling": "mean",
        "outputs": (*map(pooled_output, POOLINGS), HIDDEN_OUTPUT),
        "prompts": {"query": "query: "},
        "normalize": True,
        "max_length": 256,
    }
    return Bundle(
        path=Path(),
        name=name,
        version=version,
        digest=_digest(name, version),
        created=CREATED,
        architecture="arithmetic",
        hidden_size=dimensions,
        vocab_size=VOCAB_SIZE,
        graphs={},
        base=BaseModel("arithmetic", "apache-2.0", f"weights of {dimensions}"),
        golden=GoldenRecord("", "", "", 1.0),
        recipe="",
        files={},
        **(known | fields),
    )


def local_tagger(name: str = "tagger", dimensions: int = 384) -> Bundle:
    """A model that finds TOKEN_LABELS, and makes embeddings too."""
    outputs = (*map(pooled_output, POOLINGS), TOKEN_LOGITS_OUTPUT)
    return local_bundle(
        name, dimensions=dimensions, task="tag", outputs=outputs, token_labels=TOKEN_LABELS
    )


def local_cross_encoder(name: str = "cross", dimensions: int = 384) -> Bundle:
    """A model that judges pairs of texts, and makes nothing else."""
    head = Head(LOGITS_OUTPUT, False, (), "", "", ("relevance",), "single_label_classification")
    outputs = (LOGITS_OUTPUT,)
    return local_bundle(
        name, dimensions=dimensions, task="rank", outputs=outputs, head=head, prompts={}
    )


def local_head(
    name: str,
    labels: Sequence[str],
    version: str = "1",
    *,
    trunk: Bundle,
    pooling: str = "mean",
    problem_type: ProblemType = "single_label_classification",
    task: str = "classify",
) -> HeadBundle:
    """A head over the raw vectors of a model: its logits are their first numbers."""
    layers = (Dense("out", "none"),)
    source = pooled_output(pooling)
    return HeadBundle(
        path=Path(),
        name=name,
        version=version,
        digest=_digest(name, version),
        created=CREATED,
        task=task,
        files={},
        trunk=Trunk(trunk.name, trunk.base.weights_sha256),
        head=Head(source, False, layers, "weights", "golden", tuple(labels), problem_type),
        hidden_size=trunk.hidden_size,
        licence="apache-2.0",
    )


def _digest(name: str, version: str) -> str:
    return f"{name}@{version}".encode().hex().ljust(64, "0")
