"""Heads that are loaded, and heads that are refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from triptych_bundles import BundleError, HeadBundle, Repository
from triptych_postprocess.application import PostprocessApplication
from triptych_postprocess.loading import load_head
from triptych_postprocess.settings import PostprocessSettings
from triptych_servicekit.groups import LoadedModels
from triptych_servicekit.stores import BundleState

HASH = "0" * 64
KERNEL = np.array([[1, 0, -1], [0, 2, 0]], np.float32)
BIAS = np.array([0, 1, 0], np.float32)
INPUTS = np.array([[3, 4], [-1, 0.5]], np.float32)
LOGITS = np.array([[3, 9, -3], [-1, 2, 1]], np.float32)

WriteHead = Callable[..., Path]
Write = Callable[..., HeadBundle]


@pytest.fixture
def write(write_head_bundle: WriteHead, tmp_path: Path) -> Write:
    def make(logits: np.ndarray = LOGITS, **facts: object) -> HeadBundle:
        layers = [(KERNEL, BIAS, "none")]
        labels = {"labels": ["a", "b", "c"]}
        trunk = {"name": "tiny", "weights_sha256": HASH}
        write_head_bundle(tmp_path, layers, (INPUTS, logits), labels, trunk=trunk, **facts)
        return Repository(tmp_path).scan().heads[-1]

    return make


def test_a_head_reproduces_its_golden_logits(write: Write) -> None:
    bundle = write()
    classifier = load_head(bundle)
    assert np.array_equal(classifier.logits(INPUTS), LOGITS)
    assert (classifier.input_size, classifier.bundle) == (2, bundle)


@pytest.mark.parametrize(("error", "loads"), [(8e-4, True), (1e-3, False), (-1e-3, False)])
def test_errors_are_measured_against_the_largest_logit(
    write: Write, error: float, loads: bool
) -> None:
    off = LOGITS.copy()
    off[1, 2] += error  # of logits up to 9: 9e-4 are allowed
    bundle = write(off)
    if loads:
        load_head(bundle)
        return
    with pytest.raises(BundleError, match="logit 2 of row 1 is off by") as caught:
        load_head(bundle)
    assert caught.value.path.name == "golden.safetensors"


@pytest.mark.parametrize("name", ["head.safetensors", "golden.safetensors"])
def test_a_file_that_was_changed_is_named(write: Write, name: str) -> None:
    bundle = write()
    path = bundle.file(name)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="has the wrong hash") as caught:
        load_head(bundle)
    assert caught.value.path == path


async def test_a_refused_head_leaves_the_others(write: Write, tmp_path: Path) -> None:
    write(LOGITS + 1, name="bad")
    write(name="good")
    write(name="other")
    models = LoadedModels(repository=str(tmp_path), names=("bad", "good"))
    application = PostprocessApplication(PostprocessSettings(models=models))
    await application.start()
    found = {status.name: status for status in application.bundles.statuses()}
    await application.stop()
    assert {name: status.state for name, status in found.items()} == {
        "bad": BundleState.REFUSED,
        "good": BundleState.LOADED,
    }
    assert found["bad"].reason.startswith("golden.safetensors: logit")
