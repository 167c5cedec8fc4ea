"""The executor on CUDA: onnxruntime's provider on a stream of ours, and copies on two more."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import HIDDEN, TOKEN_LOGITS
from triptych_encoder.gpu.cudart import (
    DEVICE_TO_HOST,
    EVENT_BLOCKING_SYNC,
    EVENT_DISABLE_TIMING,
    HOST_TO_DEVICE,
    STREAM_NON_BLOCKING,
    CudaError,
    CudaRuntime,
)
from triptych_encoder.gpu.executor import Port, Step
from triptych_encoder.gpu.session import FATAL, onnxruntime, open_session, session_options

DEVICE: Final = "cuda"
# Written by the compiler into the file's metadata.
MAX_LENGTH: Final = "max_length"
POSITION_PADDING_ID: Final = "position_padding_id"
_FLOATS: Final[Mapping[str, type[np.floating[Any]]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
# A run that neither records a graph nor replays one.
UNRECORDED: Final = "-1"


@dataclass(frozen=True, slots=True)
class PinnedMemory:
    """Memory: see executor. The events say when it was last uploaded, computed with, downloaded."""

    host: NDArray[np.uint8]
    device: int
    uploaded: int
    computed: int
    done: int


class CudaExecutor:
    """See Executor. Copies to the GPU, runs and copies from it each have a stream.

    `memory_bytes` bounds what runs take for what they compute; 0 is four fifths of what is free.
    With `record`, small runs can be recorded and replayed.
    """

    def __init__(
        self, graph: Path, runtime: CudaRuntime, memory_bytes: int = 0, record: bool = True
    ) -> None:
        self._cuda = runtime
        self._relaxed = threading.local()
        self._prepare_thread()
        self._in, self._compute, self._out = self._streams = [
            runtime.create("cudaStreamCreateWithFlags", STREAM_NON_BLOCKING) for _ in range(3)
        ]
        self._memories: dict[int, PinnedMemory] = {}
        try:
            self._session = self._open(graph, memory_bytes or runtime.free_bytes() * 4 // 5, record)
        except BaseException:
            self._destroy_streams()
            raise
        self._bindings: dict[int, onnxruntime.IOBinding] = {}
        self._options: dict[int, onnxruntime.RunOptions] = {}
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.max_length = int(metadata[MAX_LENGTH])
        padding = metadata.get(POSITION_PADDING_ID)
        self.padding_id = None if padding is None else int(padding)
        self.inputs = frozenset(item.name for item in self._session.get_inputs())
        self.outputs = {item.name: _port(item) for item in self._session.get_outputs()}
        version, card = onnxruntime.__version__, runtime.device_name()
        self.description = f"onnxruntime {version} fp16 packed, {card}"

    def _open(self, graph: Path, memory_bytes: int, record: bool) -> onnxruntime.InferenceSession:
        options = {
            "device_id": "0",
            "user_compute_stream": str(self._compute),
            "gpu_mem_limit": str(memory_bytes),
            # runs of every size: what is doubled at each step is never given back
            "arena_extend_strategy": "kSameAsRequested",
            "enable_cuda_graph": str(int(record)),
            # exact where it is used: of ones and zeros, and of what was float16
            "use_tf32": "1",
        }
        strict = session_options()
        # what the provider cannot run would run on the CPU, without a word
        strict.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return open_session(graph, options, strict)

    def _prepare_thread(self) -> None:
        """The current device and the manner of waiting are a thread's own."""
        if not getattr(self._relaxed, "done", False):
            self._cuda.call("cudaSetDevice", 0)
            self._cuda.relax()
            self._relaxed.done = True

    def allocate(self, size: int) -> PinnedMemory:
        """See Executor."""
        flags = EVENT_DISABLE_TIMING | EVENT_BLOCKING_SYNC
        events = (self._cuda.create("cudaEventCreateWithFlags", flags) for _ in range(3))
        device = self._cuda.create("cudaMalloc", size)
        memory = PinnedMemory(self._cuda.pinned(size), device, *events)
        self._memories[device] = memory
        return memory

    def launch(self, step: Step) -> None:
        """See Executor."""
        self._prepare_thread()
        source, target = (self._memories[one.device] for one in (step.source, step.target))
        if step.upload:
            self._copy(source.device, source.host, step.upload, HOST_TO_DEVICE, self._in)
        self._then(source.uploaded, self._in, self._compute)
        if step.inputs:
            self._run(step)
        self._then(target.computed, self._compute, self._out)
        for start, end in step.download:
            host = target.host[start:]
            self._copy(target.device + start, host, end - start, DEVICE_TO_HOST, self._out)
        self._cuda.call("cudaEventRecord", target.done, self._out)

    def _copy(
        self, device: int, host: NDArray[np.uint8], size: int, direction: int, stream: int
    ) -> None:
        there, here = (device, host.ctypes.data)
        pair = (there, here) if direction == HOST_TO_DEVICE else (here, there)
        self._cuda.call("cudaMemcpyAsync", *pair, size, direction, stream)

    def _then(self, event: int, first: int, second: int) -> None:
        """Whatever comes in the second stream waits for what is in the first."""
        self._cuda.call("cudaEventRecord", event, first)
        self._cuda.call("cudaStreamWaitEvent", second, event, 0)

    def _run(self, step: Step) -> None:
        if step.graph in self._bindings:
            binding = self._bindings[step.graph]
        else:
            binding = self._bind(step)
            if step.graph:
                self._bindings[step.graph] = binding
        self._session.run_with_iobinding(binding, self._run_options(step.graph))

    def _bind(self, step: Step) -> onnxruntime.IOBinding:
        binding = self._session.io_binding()
        for name, region in step.inputs.items():
            binding.bind_input(name, DEVICE, 0, region.dtype.type, region.shape, region.pointer)
        for name, region in step.outputs.items():
            binding.bind_output(name, DEVICE, 0, region.dtype.type, region.shape, region.pointer)
        return binding

    def _run_options(self, graph: int) -> onnxruntime.RunOptions:
        if graph not in self._options:
            options = onnxruntime.RunOptions()
            options.log_severity_level = FATAL
            options.add_run_config_entry("gpu_graph_id", str(graph) if graph else UNRECORDED)
            if not graph:
                # its end is an event of ours; recorded runs are short, and wait as they please
                options.add_run_config_entry("disable_synchronize_execution_providers", "1")
            self._options[graph] = options
        return self._options[graph]

    def wait(self, step: Step) -> None:
        """See Executor."""
        self._prepare_thread()
        done = self._memories[step.target.device].done
        self._cuda.call("cudaEventSynchronize", done)

    def failure(self) -> str:
        """See Executor."""
        try:
            self._prepare_thread()
            self._cuda.call("cudaDeviceSynchronize")
        except CudaError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """See Executor."""
        self._cuda.call("cudaDeviceSynchronize")
        self._bindings.clear()
        del self._session
        for memory in self._memories.values():
            for event in (memory.uploaded, memory.computed, memory.done):
                self._cuda.call("cudaEventDestroy", event)
            self._cuda.call("cudaFree", memory.device)
            self._cuda.call("cudaFreeHost", memory.host.ctypes.data)
        self._destroy_streams()

    def _destroy_streams(self) -> None:
        for stream in self._streams:
            self._cuda.call("cudaStreamDestroy", stream)


def _port(item: onnxruntime.NodeArg) -> Port:
    dtype = np.dtype(_FLOATS[item.type])
    if item.name in (HIDDEN, TOKEN_LOGITS):
        return Port("tokens", int(item.shape[1]), dtype)
    return Port("ranges", int(item.shape[1]), dtype)
