"""What may run a bundle's graph: an engine, what it computes in, and the variant that it reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from triptych_encoder.backend import Backend
from triptych_encoder.onnx_backend import OnnxBackend
from triptych_servicekit.cores import available_cores

OpenBackend = Callable[[Path], Backend]

FP32: Final = "fp32"
FP16: Final = "fp16"
FP32_GRAPH: Final = "cpu-fp32"
PACKED_GRAPH: Final = "gpu-fp16-packed"

# Least cosine of a pooled vector to its golden one, where the bundle's own, made for fp32, is more.
MIN_COSINES: Final[Mapping[str, float]] = {FP16: 0.999}


@dataclass(frozen=True, slots=True)
class Runtime:
    """One way to run a bundle."""

    engine: str
    precision: str
    variant: str
    open: OpenBackend


REFERENCE: Final = Runtime("onnxruntime", FP32, FP32_GRAPH, OnnxBackend)


class Device(Protocol):
    """What the models of this process run on."""

    @property
    def runtime(self) -> Runtime: ...
    @property
    def workers(self) -> int:
        """Runs at the same time, where the settings do not say."""

    @property
    def failure(self) -> str:
        """Why it is of no use to this process any more; empty while it is sound."""

    def start(self) -> None:
        """Make it ready before any model is opened. Takes a while; raises what stands against."""

    def close(self) -> None:
        """Let go of it; every model is closed."""


class Cpu:
    """The reference: see Device."""

    runtime = REFERENCE
    failure = ""

    @property
    def workers(self) -> int:
        """One a core."""
        return available_cores()

    def start(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""
