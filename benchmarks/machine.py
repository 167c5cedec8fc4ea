"""Where and on what a measurement was made."""

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from triptych_servicekit.cores import available_cores

PACKAGES: Final = (
    *("onnxruntime", "openvino", "tokenizers", "numpy", "grpcio", "protobuf"),
    *("fastapi", "uvicorn", "uvloop", "orjson"),
)
"""Whose versions matter to the platform."""
FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Of the processor, those that the kernels of the precisions ask for."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, its load before, and the versions on it."""

    cpu: str
    cores: int
    flags: tuple[str, ...]
    memory_gibibytes: float
    load_average: float
    """Of the minute before."""
    python: str
    commit: str
    """Ends with `+` where files differ from it."""
    versions: dict[str, str]


def describe() -> Machine:
    """This machine, now."""
    info = _first_processor()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(
        cpu=info.get("model name", platform.processor()),
        cores=available_cores(),
        flags=tuple(flag for flag in FLAGS if flag in info.get("flags", "").split()),
        memory_gibibytes=round(memory, 1),
        load_average=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        commit=_commit(),
        versions=_versions(),
    )


def _first_processor() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)}


def _commit() -> str:
    described = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip()


def _versions() -> dict[str, str]:
    installed = {item.name.lower(): item.version for item in importlib.metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}
