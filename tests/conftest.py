"""What tests of several packages start from."""

import gc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from numpy.typing import NDArray
from safetensors.numpy import save

from triptych_local.session import Session, running
from triptych_servicekit.settings import load, setting

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis_settings.register_profile(
    "triptych", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("triptych")

CLONE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Models:
    """The bundles under test."""

    repository: str = setting(str(CLONE / "model-repository"), "Folder of bundles.")


@dataclass(frozen=True, slots=True)
class External:
    """What lies outside the clone."""

    data: str = setting("", "Folder of data sets for tests marked `data`.")


@dataclass(frozen=True, slots=True)
class SuiteSettings:
    """What the tests read of the environment."""

    models: Models
    test: External


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only what nothing refers to any more goes away: what is in a cycle stays, and shows."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def settings() -> SuiteSettings:
    return load(SuiteSettings)


@pytest.fixture(scope="session")
def bundle_repository(settings: SuiteSettings) -> Path:
    """The repository with the default bundle."""
    folder = Path(settings.models.repository)
    if not any(folder.glob("*/*/bundle.yaml")):
        pytest.fail(f"no bundle in {folder}: run `make bundle`, or set TRIPTYCH_MODELS_REPOSITORY")
    return folder


@pytest.fixture(scope="session")
def data_folder(settings: SuiteSettings) -> Path:
    """The folder of data sets, for tests marked `data`."""
    folder = Path(settings.test.data)
    if not settings.test.data or not folder.is_dir():
        pytest.fail("tests marked `data` need TRIPTYCH_TEST_DATA, a folder of data sets")
    return folder


@pytest.fixture(scope="session")
def platform(bundle_repository: Path) -> Iterator[Session]:
    """All services as processes on free ports, ready, and stopped in order at the end."""
    with running(bundle_repository) as session:
        yield session


Array = NDArray[np.float32]
Layers = Sequence[tuple[Array, Array, str]]
WriteHead = Callable[..., Path]


@pytest.fixture
def write_head_bundle() -> WriteHead:
    """Write a head bundle: (kernel, bias, activation) of each layer, and golden numbers."""

    def write(
        root: Path, layers: Layers, golden: tuple[Array, Array], head: dict[str, Any], **facts: Any
    ) -> Path:
        tensors = {f"{n}.kernel": kernel for n, (kernel, _, _) in enumerate(layers)}
        tensors |= {f"{n}.bias": bias for n, (_, bias, _) in enumerate(layers)}
        files = {
            "head.safetensors": save(tensors),
            "golden.safetensors": save({"inputs": golden[0], "logits": golden[1]}),
        }
        manifest = _head_facts(golden[0].shape[1], files) | facts
        names = [{"name": f"{n}", "activation": name} for n, (_, _, name) in enumerate(layers)]
        manifest["head"] = manifest["head"] | {"layers": names} | head
        folder = root / str(manifest["name"]) / str(manifest["version"])
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / "bundle.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
        return folder

    return write


def _head_facts(hidden_size: int, files: dict[str, bytes]) -> dict[str, Any]:
    records = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    return {
        "schema": 1,
        "kind": "head",
        "name": "mood",
        "version": "1",
        "task": "classify",
        "created": 0,
        "hidden_size": hidden_size,
        "licence": "mit",
        "head": {
            "input": "pooled.mean",
            "normalized": False,
            "weights": "head.safetensors",
            "golden": "golden.safetensors",
            "problem_type": "single_label_classification",
        },
        "files": records,
    }
