"""The parts of a bundle.yaml that describe a head, and the layers that it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from triptych_bundles.errors import BundleError
from triptych_bundles.fields import Fields, recorded, sha256
from triptych_bundles.manifest import (
    ACTIVATIONS,
    LOGITS_OUTPUT,
    POOLINGS,
    PROBLEM_TYPES,
    Activation,
    Bundle,
    Dense,
    FileRecord,
    Folder,
    Head,
    HeadBundle,
    Trunk,
    pooled_output,
)
from triptych_bundles.paths import is_name

MAX_LAYERS = 8
INPUTS = (LOGITS_OUTPUT, *map(pooled_output, POOLINGS))

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layer:
    """y = activation(x @ kernel + bias): `kernel` [in, out], `bias` [out]."""

    kernel: Array
    bias: Array
    activation: Activation


@dataclass(frozen=True, slots=True)
class HeadGolden:
    """Raw `inputs` [N, H] and the `logits` [N, labels] that the layers must make of them."""

    inputs: Array
    logits: Array


def read_layers(folder: Bundle | HeadBundle, head: Head) -> tuple[Layer, ...]:
    """The layers of a head that has some; BundleError where their shapes do not form a chain.

    Hashes are not checked here: see `verify_files`.
    """
    path = folder.file(head.weights)
    tensors = _tensors(folder, head.weights)
    width, layers = folder.hidden_size, []
    for dense in head.layers:
        kernel, bias = (tensors.get(f"{dense.name}.{part}") for part in ("kernel", "bias"))
        if kernel is None or kernel.ndim != 2 or len(kernel) != width:
            raise BundleError(path, f"must hold {dense.name}.kernel with {width} rows")
        width = kernel.shape[1]
        if bias is None or bias.shape != (width,):
            raise BundleError(path, f"must hold {dense.name}.bias with {width} elements")
        layers.append(Layer(kernel, bias, dense.activation))
    if width != len(head.labels):
        raise BundleError(path, f"makes {width} logits for {len(head.labels)} labels")
    return tuple(layers)


def read_head_golden(folder: Bundle | HeadBundle, head: Head) -> HeadGolden:
    """The golden numbers of a head that has layers."""
    path, tensors = folder.file(head.golden), _tensors(folder, head.golden)
    inputs, logits = tensors.get("inputs"), tensors.get("logits")
    if inputs is None or inputs.ndim != 2 or not len(inputs):
        raise BundleError(path, "must hold inputs [N, hidden]")
    if inputs.shape[1] != folder.hidden_size:
        raise BundleError(path, f"has inputs {inputs.shape[1]} wide, not {folder.hidden_size}")
    if logits is None or logits.shape != (len(inputs), len(head.labels)):
        raise BundleError(path, f"must hold logits [{len(inputs)}, {len(head.labels)}]")
    return HeadGolden(inputs, logits)


def _tensors(folder: Folder, name: str) -> Mapping[str, Array]:
    path = folder.file(name)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(path, f"cannot be read: {error}") from error
    for key, tensor in tensors.items():
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise BundleError(path, f"{key} must be finite float32")
    return tensors


def shared(folder: Folder) -> dict[str, Any]:
    """The fields of a folder, to make a bundle of a kind with."""
    return {item.name: getattr(folder, item.name) for item in dataclass_fields(Folder)}


def read_head_bundle(folder: Folder, fields: Fields) -> HeadBundle:
    """A bundle of kind `head`."""
    trunk = fields.section("trunk")
    bundle = HeadBundle(
        **shared(folder),
        trunk=Trunk(trunk.text("name", is_name), sha256(trunk, "weights_sha256")),
        head=read_head(fields.section("head"), folder.files),
        hidden_size=fields.count("hidden_size"),
        licence=fields.text("licence"),
    )
    trunk.end()
    if not bundle.head.layers:
        fields.refuse("head.layers", "must hold at least one layer")
    return bundle


def read_head(fields: Fields, files: Mapping[str, FileRecord]) -> Head:
    """A head's section."""
    layers = tuple(map(_dense, fields.sections("layers")))
    if len(layers) > MAX_LAYERS:
        fields.refuse("layers", f"has {len(layers)} layers, at most {MAX_LAYERS} are read")
    source = fields.choice("input", INPUTS)
    if bool(layers) == (source == LOGITS_OUTPUT):
        fields.refuse("layers", "are there for a pooled input, and only then")
    head = Head(
        input=source,
        normalized=fields.flag("normalized"),
        layers=layers,
        weights=recorded(fields, "weights", files) if layers else "",
        golden=recorded(fields, "golden", files) if layers else "",
        labels=fields.texts("labels"),
        problem_type=fields.choice("problem_type", PROBLEM_TYPES),
    )
    fields.end()
    return head


def _dense(fields: Fields) -> Dense:
    dense = Dense(fields.text("name"), fields.choice("activation", ACTIVATIONS))
    fields.end()
    return dense
