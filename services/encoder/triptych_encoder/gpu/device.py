"""The GPU of this process. A machine with several runs a process for each."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from triptych_bundles.manifest import Bundle
from triptych_encoder.gpu.backend import PackedBackend
from triptych_encoder.gpu.cuda_executor import CudaExecutor
from triptych_encoder.gpu.cudart import CudaRuntime
from triptych_encoder.gpu.session import PROVIDER, load_libraries, open_session, session_options
from triptych_encoder.gpu.thread import GpuThread
from triptych_encoder.runtimes import FP16, PACKED_GRAPH, Runtime

logger = logging.getLogger(__name__)

# A model of one operator, y = x + x of float32[1]: what the provider answers first.
PROBE: Final = bytes.fromhex(
    "08083a350a0e0a01780a017812017922034164641201705a0f0a0178120a0a08080112040a020801620f0a0179120a0a"
    "08080112040a02080142040a001011"
)
# Batches on their way at the same time: one runs, and the next is packed, copied and queued.
SLOTS: Final = 2


class Gpu:
    """See Device. `slots` batches are on their way at the same time, of up to `max_tokens` each."""

    # its threads wait for the card, and what they do between must not wait for a core
    niceness = 0

    def __init__(self, max_tokens: int, slots: int, memory_bytes: int, record: bool) -> None:
        self.workers = slots or SLOTS
        self._thread = GpuThread()
        self._max_tokens = max_tokens
        self._memory_bytes = memory_bytes
        self._record = record
        self._cuda: CudaRuntime | None = None

    @property
    def failure(self) -> str:
        """See Device."""
        return self._thread.failure

    def candidates(self, bundle: Bundle) -> Sequence[Runtime]:  # noqa: ARG002 (for all the same)
        """See Candidates."""
        return [Runtime("cuda", FP16, PACKED_GRAPH, self.open)]

    def start(self) -> None:
        """Load the libraries and compute on the GPU; raises where that does not work."""
        self._thread.call(self._probe)

    def _probe(self) -> None:
        load_libraries()
        self._cuda = CudaRuntime()
        if self._cuda.integer("cudaGetDeviceCount") < 1:
            raise RuntimeError("this process sees no GPU")
        probe_provider()
        versions = (self._cuda.integer(f"cuda{of}GetVersion") for of in ("Driver", "Runtime"))
        logger.info(
            "computing on a GPU",
            extra={"card": self._cuda.device_name(), "driver_and_runtime": list(versions)},
        )

    def open(self, graph: Path) -> PackedBackend:
        """One model. RuntimeError before the start."""
        if self._cuda is None:
            raise RuntimeError("the GPU has not been started")
        opened = partial(CudaExecutor, graph, self._cuda, self._memory_bytes, self._record)
        return PackedBackend(opened, self._thread, self._max_tokens, self.workers, self._record)

    def close(self) -> None:
        """See Device."""
        self._thread.close()


def probe_provider() -> None:
    """Compute with the provider. RuntimeError where another computes, or it computes wrongly."""
    session = open_session(PROBE, {"device_id": "0"}, session_options())
    (answer,) = session.run(["y"], {"x": np.ones(1, np.float32)})
    if answer.tolist() != [2.0]:
        raise RuntimeError(f"{PROVIDER} computes 1 + 1 as {answer.tolist()}")
