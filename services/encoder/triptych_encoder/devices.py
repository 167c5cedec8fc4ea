"""What the models of this process run on: its cores, or a GPU."""

from typing import Final, Protocol

from triptych_encoder.runtimes import Candidates, Runtimes
from triptych_encoder.settings import EncoderSettings
from triptych_servicekit.cores import available_cores

CUDA: Final = "cuda"
# Of the threads that run a graph on the cores that everything else needs for moments: those would
# wait as long as they run, and with them the next batch. As far as `nice` without a number goes.
CPU_NICENESS: Final = 10


class Device(Candidates, Protocol):
    """Where it has failed, the process has to end."""

    @property
    def workers(self) -> int:
        """Runs at the same time."""

    @property
    def niceness(self) -> int:
        """How far the threads of runs let others of the machine go first, 0 (not) to 19."""

    @property
    def failure(self) -> str:
        """Why it is of no use to this process any more; empty while it is sound."""

    def start(self) -> None:
        """Make it ready before any model is opened. Takes a while; raises what stands against."""

    def close(self) -> None:
        """Let go of it; every model is closed."""


class Cpu(Runtimes):
    """See Device. One run a core, unless the settings say otherwise."""

    failure = ""
    niceness = CPU_NICENESS

    def __init__(self, precision: str, workers: int, max_alone_bytes: int = 0) -> None:
        self.workers = workers or available_cores()
        super().__init__(precision, self.workers, self.machine(precision), max_alone_bytes)

    def start(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def device_of(settings: EncoderSettings) -> Device:
    """The device of a process; of a GPU nothing is loaded yet but the library's module."""
    runtime = settings.runtime
    if runtime.device != CUDA:
        # memory that is rationed is for other models
        twice = 0 if settings.models.memory_budget_bytes else runtime.max_alone_graph_bytes
        return Cpu(runtime.precision, runtime.workers, twice)
    # the library is told things at its import that it need not know on a CPU
    from triptych_encoder.gpu.device import Gpu

    limit = settings.batching.max_batch_tokens
    return Gpu(limit, runtime.workers, runtime.gpu_memory_bytes, runtime.cuda_graphs)
