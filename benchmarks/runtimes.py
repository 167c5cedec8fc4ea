"""The bare runtimes: a graph opened as the encoder opens it, and run on padded batches."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_encoder.onnx_backend import PROVIDER
from triptych_encoder.processor import lists_vnni
from triptych_encoder.runtimes import INT8_STATIC_GRAPH

os.putenv("ORT_DISABLE_TELEMETRY", "1")  # read at the import

import onnxruntime

Vectors = NDArray[np.float32]
Run = Callable[[Mapping[str, NDArray[np.int32]]], Vectors]


@dataclass(frozen=True, slots=True)
class Graph:
    """A variant of the bundle's graph, and what runs it at which precision."""

    variant: str
    runtime: str
    hint: str = "f32"
    """OpenVINO's INFERENCE_PRECISION_HINT."""


GRAPHS: Final[Mapping[str, tuple[Graph, ...]]] = {
    "fp32": (Graph("cpu-fp32", "onnxruntime"),),
    "bf16": (Graph("cpu-fp32", "openvino", "bf16"),),
    "int8": (Graph("cpu-int8", "onnxruntime"), Graph(INT8_STATIC_GRAPH, "openvino")),
}
"""What can answer at a precision; bare is the best of them."""


def graphs(bundle: Bundle, precision: str) -> tuple[list[Graph], str]:
    """The graphs of a precision that this bundle and machine have; where none, the reason."""
    missing = [(graph, _missing(bundle, graph)) for graph in GRAPHS[precision]]
    usable = [graph for graph, reason in missing if not reason]
    return usable, "; ".join(reason for _, reason in missing if reason)


def _missing(bundle: Bundle, graph: Graph) -> str:
    if graph.variant not in bundle.graphs:
        return f"the bundle has no graph {graph.variant}"
    if graph.runtime != "openvino":
        return ""
    try:
        import openvino
    except ImportError:
        return "openvino is not installed"
    if graph.variant == INT8_STATIC_GRAPH and not lists_vnni():
        return "the processor lists no VNNI"
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "" if graph.hint == "f32" or graph.hint.upper() in capabilities else f"no {graph.hint}"


def open_graph(bundle: Bundle, graph: Graph, workers: int, threads: int) -> Run:
    """Something that `workers` threads may call at once, each call with `threads` of its own."""
    path, output = bundle.file(bundle.graphs[graph.variant]), f"pooled.{bundle.pooling}"
    if graph.runtime == "onnxruntime":
        return _onnxruntime(path, output, threads)
    return _openvino(path, output, graph.hint, workers, threads)


def _onnxruntime(path: Path, output: str, threads: int) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", "1")  # as the encoder's
    session = onnxruntime.InferenceSession(path, options, providers=[PROVIDER])
    names = {item.name for item in session.get_inputs()}

    def run(feeds: Mapping[str, NDArray[np.int32]]) -> Vectors:
        taken = {name: value for name, value in feeds.items() if name in names}
        vectors: Vectors = session.run([output], taken)[0]
        return vectors

    return run


def _openvino(path: Path, output: str, hint: str, workers: int, threads: int) -> Run:
    import openvino

    properties = {
        "INFERENCE_PRECISION_HINT": hint,
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": workers * threads,
    }
    model: Any = openvino.Core().compile_model(path, "CPU", properties)
    names = {name for item in model.inputs for name in item.get_names()}
    own = threading.local()

    def run(feeds: Mapping[str, NDArray[np.int32]]) -> Vectors:
        if not hasattr(own, "request"):
            own.request = model.create_infer_request()
        own.request.infer({name: value for name, value in feeds.items() if name in names})
        # the next call overwrites what it lends
        return np.array(own.request.get_tensor(output).data)

    return run
