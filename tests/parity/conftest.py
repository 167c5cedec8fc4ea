"""The tiny models, compiled once a session, and what transformers answers with them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.parity.tiny_models import HERE, write_model
from triptych_bundles import Bundle
from triptych_models.compilation import compile_bundle
from triptych_models.plan import make_plan
from triptych_models.sentence import Choices
from triptych_models.sources import fetch

Compile = Callable[..., Bundle]


@dataclass(frozen=True, slots=True)
class Golden:
    """The two files of an architecture; see README.md."""

    answers: dict[str, Any]
    tensors: dict[str, NDArray[np.float32]]

    def ids(self, kind: str, column: str = "input_ids") -> list[NDArray[np.int32]]:
        """A column of the encodings of `texts` or `pairs`."""
        return [np.array(encoding[column], np.int32) for encoding in self.answers[kind]]


@pytest.fixture(scope="session")
def read_golden() -> Callable[[str], Golden]:
    """Read an architecture's golden files."""

    def read(architecture: str) -> Golden:
        path = HERE / "golden" / f"{architecture}.json"
        return Golden(json.loads(path.read_bytes()), load_file(path.with_suffix(".safetensors")))

    return read


def silent(line: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="session")
def compile_tiny(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compile a tiny model, verified as every bundle is; each only once."""
    folder = tmp_path_factory.mktemp("parity")
    made: dict[tuple[str, str], Bundle] = {}

    def compile_one(architecture: str, kind: str) -> Bundle:
        if (architecture, kind) not in made:
            model = write_model(folder, architecture, kind)
            source = fetch(str(model), folder / "cache", "http://localhost", silent)
            plan = make_plan(source, "", "1", Choices())
            made[architecture, kind] = compile_bundle(plan, folder / "models", False, silent)
        return made[architecture, kind]

    return compile_one
