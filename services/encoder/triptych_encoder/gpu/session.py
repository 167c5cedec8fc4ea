"""The library on a GPU: what it is told before it is loaded, and sessions that compute there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# Both are read by the library. Its wheels report their use to its maker unless they are told not
# to; and below 513 tokens it chooses flash attention for this layout only where it is told to.
os.putenv("ORT_DISABLE_TELEMETRY", "1")
os.putenv("ORT_MIN_SEQ_LEN_FLASH_ATTENTION_PACKED_QKV", "0")

import onnxruntime

# the library too: who imported it past this module would load it untold
__all__ = ["FATAL", "PROVIDER", "load_libraries", "onnxruntime", "open_session", "session_options"]

PROVIDER: Final = "CUDAExecutionProvider"
# The library's severity: errors come as exceptions, and lines of its own would break up ours.
FATAL: Final = 4


def load_libraries() -> None:
    """Load the CUDA libraries that the provider needs from where their packages put them.

    cuDNN is not among them: no operator of an encoder uses it.
    """
    onnxruntime.preload_dlls(cuda=True, cudnn=False, msvc=False)


def open_session(
    graph: Path | bytes,
    provider_options: Mapping[str, str],
    options: onnxruntime.SessionOptions,
) -> onnxruntime.InferenceSession:
    """A session on the GPU. RuntimeError where it would compute on the CPU instead."""
    providers = [(PROVIDER, dict(provider_options))]
    session = onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)
    # a provider that cannot be loaded is left out with no more than a warning
    active = session.get_providers()
    if not active or active[0] != PROVIDER:
        raise RuntimeError(f"{PROVIDER} is not active, only {', '.join(active)}")
    return session


def session_options() -> onnxruntime.SessionOptions:
    """The graph is run as it was written, by one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # a plan of memory would be kept for every number of tokens that ever came
    options.enable_mem_pattern = False
    # weights get memory of their size, not a share of what runs take theirs from
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    return options
