"""What the system tells of the processor."""

from pathlib import Path
from typing import Final

CPU_INFO: Final = Path("/proc/cpuinfo")
# Instructions for products of int8, as Linux lists them on x86-64.
VNNI_FLAGS: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


def name() -> str:
    """Its name; empty where the system does not tell."""
    return next((value.strip() for key, value in _lines() if key.strip() == "model name"), "")


def lists_vnni() -> bool:
    """Whether it adds products of int8 in 32 bits by an instruction of its own."""
    flags = next((value for key, value in _lines() if key.strip() == "flags"), "")
    return not VNNI_FLAGS.isdisjoint(flags.split())


def _lines() -> list[tuple[str, str]]:
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return []
    return [(key, value) for key, _, value in (line.partition(":") for line in lines)]
