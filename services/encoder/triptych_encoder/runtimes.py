"""What may run a bundle's graph at the precision that the settings ask for."""

import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from triptych_bundles.errors import BundleError
from triptych_bundles.manifest import Bundle
from triptych_encoder import processor
from triptych_encoder.backend import Backend
from triptych_encoder.onnx_backend import OnnxBackend
from triptych_servicekit.settings import SettingsError

logger = logging.getLogger(__name__)

OpenBackend = Callable[[Path], Backend]

FP32: Final = "fp32"
FP16: Final = "fp16"
BF16: Final = "bf16"
INT8: Final = "int8"
AUTO: Final = "auto"

FP32_GRAPH: Final = "cpu-fp32"
INT8_GRAPH: Final = "cpu-int8"
INT8_STATIC_GRAPH: Final = "cpu-int8-static"
PACKED_GRAPH: Final = "gpu-fp16-packed"


@dataclass(frozen=True, slots=True)
class Runtime:
    """One way to run a bundle: an engine, what it computes in, and the variant of the graph."""

    engine: str
    precision: str
    variant: str
    open: OpenBackend
    open_alone: OpenBackend | None = None
    """Opens it for runs that have the machine to themselves; None where they gain nothing."""


class Candidates(Protocol):
    """What could run a bundle."""

    def candidates(self, bundle: Bundle) -> Sequence[Runtime]:
        """The first, or the second where it is faster and close enough.

        Raises BundleError where the bundle has no graph for any.
        """


REFERENCE: Final = Runtime("onnxruntime", FP32, FP32_GRAPH, OnnxBackend)
# Of a run that has the machine to itself. What a short text has to compute is too little for more.
MAX_ALONE_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is beside the reference."""

    openvino: bool
    bf16: bool
    vnni: bool
    """Whether OpenVINO's products of int8 are exact: elsewhere it adds them in 16 bits, which
    overflow, and the default model's vectors come to a cosine of 0.991 instead of 0.997."""

    @classmethod
    def here(cls) -> "Machine":
        """What this process finds."""
        if importlib.util.find_spec("openvino") is None:
            return cls(openvino=False, bf16=False, vnni=False)
        # an extra: who does not have it must not import it
        from triptych_encoder import openvino_backend

        bf16 = openvino_backend.BF16 in openvino_backend.capabilities()
        return cls(openvino=True, bf16=bf16, vnni=processor.lists_vnni())

    @property
    def missing(self) -> str:
        """What it lacks to compute in bf16; empty where it lacks nothing."""
        if not self.openvino:
            return "openvino is not installed, the extra `openvino` of the encoder"
        return "" if self.bf16 else "the processor does not list BF16"


class Runtimes:
    """The runtimes of a machine, for `workers` runs at the same time.

    A graph of at most `max_alone_bytes` is opened a second time, for runs with nothing beside them.
    Raises SettingsError for a precision in which no bundle could be served.
    """

    def __init__(
        self, precision: str, workers: int, machine: Machine, max_alone_bytes: int = 0
    ) -> None:
        self._alone_threads = min(workers, MAX_ALONE_THREADS)
        self._max_alone_bytes = max_alone_bytes
        self._precision = precision
        self._workers = workers
        self._machine = machine
        if precision == BF16 and machine.missing:
            raise SettingsError(f"TRIPTYCH_RUNTIME_PRECISION={BF16}: {machine.missing}")
        if precision == AUTO and machine.missing:
            logger.info("%s is %s here: %s", AUTO, FP32, machine.missing)

    @classmethod
    def here(cls, precision: str, workers: int) -> "Runtimes":
        """Those of this process. For fp32 nothing is looked for, nor imported."""
        return cls(precision, workers, cls.machine(precision))

    @staticmethod
    def machine(precision: str) -> Machine:
        """What there is, as far as a precision asks for it."""
        if precision == FP32:
            return Machine(openvino=False, bf16=False, vnni=False)
        return Machine.here()

    def candidates(self, bundle: Bundle) -> Sequence[Runtime]:
        """See Candidates."""
        if self._precision == INT8:
            return [self._int8(bundle)]
        if self._precision == FP32 or self._machine.missing:
            return [self._reference(bundle)]
        bf16 = self._openvino(bundle, BF16, FP32_GRAPH, hint=BF16)
        return [bf16] if self._precision == BF16 else [self._reference(bundle), bf16]

    def _reference(self, bundle: Bundle) -> Runtime:
        alone = partial(OnnxBackend, threads=self._alone_threads)
        return self._twice(bundle, REFERENCE, alone)

    def _int8(self, bundle: Bundle) -> Runtime:
        machine = self._machine
        if INT8_STATIC_GRAPH in bundle.graphs and machine.openvino and machine.vnni:
            # a tagger's graph leaves half of its layers to it: twice as fast as fp32, not 1.4 times
            hint = "f32" if machine.missing else BF16
            return self._openvino(bundle, INT8, INT8_STATIC_GRAPH, hint)
        if INT8_GRAPH in bundle.graphs:
            opened = partial(OnnxBackend, precision=INT8)
            runtime = Runtime("onnxruntime", INT8, INT8_GRAPH, opened)
            return self._twice(bundle, runtime, partial(opened, threads=self._alone_threads))
        reason = (
            f"has no {INT8_GRAPH} graph: make it with `triptych-models compile --precision int8`"
        )
        raise BundleError(bundle.path, reason)

    def _openvino(self, bundle: Bundle, precision: str, variant: str, hint: str) -> Runtime:
        from triptych_encoder.openvino_backend import OpenVinoBackend

        opened = partial(OpenVinoBackend, workers=self._workers, hint=hint)
        alone = partial(OpenVinoBackend, workers=1, hint=hint, threads=self._alone_threads)
        return self._twice(bundle, Runtime("openvino", precision, variant, opened), alone)

    def _twice(self, bundle: Bundle, runtime: Runtime, alone: OpenBackend) -> Runtime:
        """With `alone`, where that has several threads and the graph is not too large."""
        graph = bundle.graphs.get(runtime.variant)
        if graph is None or self._alone_threads < 2:
            return runtime
        if bundle.record(graph).bytes > self._max_alone_bytes:
            return runtime
        return replace(runtime, open_alone=alone)
