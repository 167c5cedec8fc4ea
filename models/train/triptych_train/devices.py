"""Where training runs, and in which numbers."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

# what of the CPU's features bf16 products need to be faster than fp32
_BF16_FEATURES = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Device:
    """Weights, sums and losses are fp32 everywhere; products may be bf16."""

    device: torch.device
    bf16: bool

    def products(self) -> AbstractContextManager[object]:
        """Within it products are of this device's kind."""
        context: AbstractContextManager[object] = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.bf16
        )
        return context

    def __str__(self) -> str:
        return f"{self.device.type} in {'bf16' if self.bf16 else 'fp32'}"


def choose_device(wanted: str, precision: str) -> Device:
    """`auto`: a GPU where there is one; bf16 where the device computes in it."""
    kind = wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return Device(torch.device(kind), precision == "bf16" or (precision == "auto" and _bf16(kind)))


def _bf16(kind: str) -> bool:
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    listed = torch.cpu.get_capabilities()
    return any(listed.get(feature) for feature in _BF16_FEATURES)
