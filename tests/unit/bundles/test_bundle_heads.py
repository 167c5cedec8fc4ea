"""Heads: as bundles of their own, and as part of a model's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from triptych_bundles import (
    BundleError,
    HeadBundle,
    Repository,
    read_bundle,
    read_head_golden,
    read_layers,
    read_model,
)

WriteBundle = Callable[..., Path]
Facts = dict[str, Any]


def head_of(folder: Path) -> HeadBundle:
    bundle = read_bundle(folder)
    assert isinstance(bundle, HeadBundle)
    return bundle


def put(*path: Any, value: object) -> Callable[[Facts], None]:
    def spoil(facts: Any) -> None:
        for key in path[:-1]:
            facts = facts[key]
        facts[path[-1]] = value

    return spoil


def test_reads_every_field(write_head: WriteBundle) -> None:
    bundle = head_of(write_head())
    assert (bundle.identity, bundle.task, bundle.trunk.name) == ("mood@1", "classify", "tiny")
    assert bundle.head.labels == ("no", "yes", "perhaps")
    assert [layer.activation for layer in bundle.head.layers] == ["tanh", "none"]
    assert (bundle.head.input, bundle.head.normalized) == ("pooled.mean", True)
    layers = read_layers(bundle, bundle.head)
    assert [layer.kernel.shape for layer in layers] == [(4, 5), (5, 3)]
    assert read_head_golden(bundle, bundle.head).logits.shape == (2, 3)


def test_fits_models_of_its_weights_only(
    write_bundle: WriteBundle, write_head: WriteBundle
) -> None:
    bundle = head_of(write_head())
    other = put("base", "weights_sha256", value="1" * 64)
    assert bundle.fits(read_model(write_bundle()))
    assert not bundle.fits(read_model(write_bundle(version="2", spoil=other)))


def test_a_repository_tells_heads_from_models(
    root: Path, write_bundle: WriteBundle, write_head: WriteBundle
) -> None:
    write_bundle()
    write_head()
    found = Repository(root).scan()
    assert [bundle.name for bundle in found.models] == ["tiny"]
    assert [bundle.name for bundle in found.heads] == ["mood"]
    with pytest.raises(BundleError, match="is a head, not a model"):
        Repository(root).find_model("mood")


SPOILT = [
    (put("kind", value="tail"), "kind: 'tail' is not one of model, head"),
    (put("head", "input", value="pooled.max"), "head.input: 'pooled.max' is not one of"),
    (put("head", "layers", value=[]), "head.layers: are there for a pooled input"),
    (put("head", "layers", 0, "activation", value="swish"), "head.layers[0].activation"),
    (put("head", "labels", value=["a", "a"]), "head.labels: must hold at least one string"),
    (put("head", "weights", value="../x"), "head.weights: '../x' is not recorded under files"),
    (put("trunk", "weights_sha256", value="x"), "trunk.weights_sha256: 'x' is not a sha256"),
]


@pytest.mark.parametrize(("spoil", "reason"), SPOILT)
def test_refuses(write_head: WriteBundle, spoil: Callable[[Facts], None], reason: str) -> None:
    with pytest.raises(BundleError) as caught:
        read_bundle(write_head(spoil=spoil))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "must hold dense.kernel with 4 rows"),
        ({"dense.kernel": (3, 5)}, "must hold dense.kernel with 4 rows"),
        ({"dense.kernel": (4, 5), "dense.bias": (4,)}, "must hold dense.bias with 5 elements"),
        (
            {
                "dense.kernel": (4, 5),
                "dense.bias": (5,),
                "out.kernel": (5, 2),
                "out.bias": (2,),
            },
            "makes 2 logits for 3 labels",
        ),
    ],
)
def test_layers_must_form_a_chain(
    write_head: WriteBundle, tensors: dict[str, tuple[int, ...]], reason: str
) -> None:
    content = save({name: np.zeros(shape, np.float32) for name, shape in tensors.items()})
    bundle = head_of(write_head(files={"head.safetensors": content}))
    with pytest.raises(BundleError, match=r"head\.safetensors") as caught:
        read_layers(bundle, bundle.head)
    assert reason in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(write_head: WriteBundle) -> None:
    content = save({"dense.kernel": np.full((4, 5), np.nan, np.float32)})
    bundle = head_of(write_head(files={"head.safetensors": content}))
    with pytest.raises(BundleError, match="must be finite float32"):
        read_layers(bundle, bundle.head)
