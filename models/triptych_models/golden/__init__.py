"""Golden vectors: committed ones for the default model, computed ones for every other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

# the one model that `make_golden.py` was run for, and the length that its texts were cut to
COMMITTED_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
COMMITTED_MAX_LENGTH = 256
MIN_COSINE = 0.99999
MAX_LOGIT_ERROR = 1e-4
REFERENCE_SOURCE = "triptych float64 reference"
# the reference takes a second for some hundred tokens: every third text keeps that bearable
_REFERENCE_STEP = 3


@dataclass(frozen=True, slots=True)
class GoldenFiles:
    """The two files of a bundle, ready to be written, and what computed them."""

    texts: bytes
    vectors: bytes
    source: str


def committed(weights_sha256: str, max_length: int) -> GoldenFiles | None:
    """The vectors made by transformers, where they belong to these weights and this length."""
    if (weights_sha256, max_length) != (COMMITTED_WEIGHTS, COMMITTED_MAX_LENGTH):
        return None
    folder = files(__name__)
    vectors = (folder / "all-minilm-l6-v2.safetensors").read_bytes()
    return GoldenFiles((folder / "texts.json").read_bytes(), vectors, _stated_source(vectors))


def reference_texts() -> list[str]:
    """The texts that computed vectors are for: a share of the committed ones."""
    texts: list[str] = json.loads((files(__name__) / "texts.json").read_bytes())
    return texts[::_REFERENCE_STEP]


def computed(
    texts: Sequence[str],
    sequences: Sequence[NDArray[np.int32]],
    outputs: Mapping[str, NDArray[np.float32]],
    source: str = REFERENCE_SOURCE,
) -> GoldenFiles:
    """Pack outputs by name, of N texts and their token ids; see GoldenVectors for their shapes."""
    tensors: dict[str, NDArray[np.generic]] = {
        "input_ids": np.concatenate(sequences),
        "lengths": np.array([len(ids) for ids in sequences], np.int32),
    }
    tensors |= outputs
    packed = save(tensors, metadata={"source": source})
    return GoldenFiles(json.dumps(texts).encode(), packed, source)


def _stated_source(vectors: bytes) -> str:
    """What `make_golden.py` noted in the header: a length in 8 bytes, then JSON."""
    size = int.from_bytes(vectors[:8], "little")
    header = json.loads(vectors[8 : 8 + size])
    return str(header["__metadata__"]["source"])
