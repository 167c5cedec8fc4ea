"""Which device the settings ask for."""

from typing import Final

from triptych_encoder.runtimes import Cpu, Device
from triptych_encoder.settings import EncoderSettings

CUDA: Final = "cuda"


def device_of(settings: EncoderSettings) -> Device:
    """The device of a process; nothing of it is loaded yet but the library's module."""
    runtime = settings.runtime
    if runtime.device != CUDA:
        return Cpu()
    # reads what the library is told at its import, which a CPU must not be
    from triptych_encoder.gpu.device import Gpu

    limit = settings.batching.max_batch_tokens
    return Gpu(limit, runtime.workers, runtime.gpu_memory_bytes, runtime.cuda_graphs)
