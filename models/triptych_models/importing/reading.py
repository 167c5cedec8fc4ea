"""From an ONNX file to a model in memory, with everything that it keeps in other files."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from triptych_bundles import BundleError
from triptych_bundles.paths import inside, is_relative
from triptych_models.errors import FetchError, UnsupportedModel
from triptych_models.importing.contents import tensors

# what a protobuf can hold: the bundle's graph is one file
MAX_GRAPH_BYTES = (1 << 31) - 1


def read_graph(path: Path) -> onnx.ModelProto:
    """Parse a file and take its external data in.

    Raises FetchError for what cannot be read, and UnsupportedModel for data outside of the file's
    folder or more of it than one file can hold.
    """
    size = path.stat().st_size
    if size > MAX_GRAPH_BYTES:
        raise UnsupportedModel(f"{path.name} has {size} bytes, at most {MAX_GRAPH_BYTES} are read")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError) as error:
        raise FetchError(f"{path}: is not an ONNX file: {error}") from None
    if not model.graph.node:
        raise FetchError(f"{path}: is not an ONNX file: it holds no graph")
    _inline(model, path, size)
    return model


def _inline(model: onnx.ModelProto, path: Path, size: int) -> None:
    for tensor in tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            size += _take_in(tensor, path.parent, MAX_GRAPH_BYTES - size)


def _take_in(tensor: onnx.TensorProto, folder: Path, room: int) -> int:
    """Move a tensor's data into the tensor; the number of its bytes."""
    stated = {entry.key: entry.value for entry in tensor.external_data}
    path = _data_file(folder, stated.get("location", ""))
    start, length = _span(stated, path)
    if length > room:
        raise UnsupportedModel(f"with {path.name} the graph has over {MAX_GRAPH_BYTES} bytes")
    with path.open("rb") as stream:
        stream.seek(start)
        tensor.raw_data = stream.read(length)
    if len(tensor.raw_data) != length:
        raise FetchError(f"{path}: is truncated: it ends within {tensor.name!r}")
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
    return length


def _data_file(folder: Path, location: str) -> Path:
    """A file of external data, which must be below the model's folder, links included."""
    if not is_relative(location):
        reason = "is not a plain path below the model's folder"
        raise UnsupportedModel(f"external data {location[:128]!r} {reason}")
    try:
        path = inside(folder, location)
    except BundleError:
        reason = "leads out of the model's folder"
        raise UnsupportedModel(f"external data {location[:128]!r} {reason}") from None
    if not path.is_file():
        raise FetchError(f"{path}: external data of the model is missing")
    return path


def _span(stated: dict[str, str], path: Path) -> tuple[int, int]:
    """First byte and number of bytes; without a length all that follows."""
    try:
        start = int(stated.get("offset", "0"))
        length = int(stated.get("length", path.stat().st_size - start))
    except ValueError:
        start = length = -1
    if start < 0 or length < 0:
        raise UnsupportedModel(f"external data in {path.name} has no sound offset and length")
    return start, length
