"""The table, the report, and what is known of the machine."""

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

PACKAGES: Final = ("numpy", "onnx", "torch", "transformers", "grpcio", "protobuf")
QUERY: Final = (
    "name,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,power.draw,temperature.gpu"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A measurement; `share` is of the limit, and `bar` the least that it must come to."""

    shape: str
    what: str
    value: Any
    unit: str
    share: float | None = None
    bar: float | None = None

    def cells(self) -> tuple[str, str, str, str]:
        """As the table has them."""
        value = float(np.min(self.value))
        shown = f"{value:,.0f}" if value >= 1000 else f"{value:.5g}"
        share = "" if self.share is None else f"{self.share:.1%}"
        if self.bar:
            share += f" (must {self.bar:.0%})"
        return self.shape, self.what, f"{shown} {self.unit}", share

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        kept = {"shape": self.shape, "what": self.what, "value": float(np.min(self.value))}
        return kept | {"unit": self.unit, "share": self.share, "bar": self.bar}


@dataclass
class Report:
    """Written anew after every part, so that what has been measured is there whatever comes."""

    path: Path
    machine: Sequence[str]
    lines: list[Line] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def write(self) -> None:
        """The whole of it."""
        found = [line.cells() for line in self.lines]
        rows = [f"| {' | '.join(cells)} |" for cells in found]
        head = ["| model | what | value | of the limit |", "|---|---|---|---|"]
        failed = [f"- {failure}" for failure in self.failures] or ["- none"]
        parts = ["# GPU report", "", *self.machine, "", *head, *rows, "", "## Bars", ""]
        parts += [*self.ratios(), "", "## Parts that failed", "", *failed, ""]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(parts))

    def ratios(self) -> list[str]:
        """What the bars are stated as."""
        values = {(line.shape, line.what): float(np.min(line.value)) for line in self.lines}
        return self._cosines() + [
            f"- {shape}: {name} {values[shape, one] / values[shape, other]:.2f} (bar {bar})"
            for shape in dict.fromkeys(line.shape for line in self.lines)
            for name, one, other, bar in RATIOS
            for one, other in [self._keys(shape, one, other)]
            if (shape, one) in values and (shape, other) in values
        ]

    def _cosines(self) -> list[str]:
        return [
            f"- {line.shape}: {line.what} {float(np.min(line.value)):.6f} (bar {MIN_COSINE})"
            for line in self.lines
            if line.what.startswith("cosine")
        ]

    @staticmethod
    def _keys(shape: str, one: str, other: str) -> tuple[str, str]:
        from benchmarks.gpu_parts.shapes import SHAPES

        length = SHAPES[shape].length
        return one.format(length=length), other.format(length=length)


# The least cosine of a packed vector in float16 to the CPU's in float32.
MIN_COSINE: Final = 0.999
# name, numerator, denominator, bar
RATIOS: Final = (
    ("mixed over fixed", "packed, 16 to 512 tokens", "packed, {length} tokens", "0.9"),
    ("packed over padded", "packed, 16 to 512 tokens",
     "padded, 16 to 512 tokens as they come", "1.8"),
    ("packed over padded and sorted", "packed, 16 to 512 tokens",
     "padded, 16 to 512 tokens sorted", "none"),
    ("service over device loop", "service, {length} tokens", "packed, {length} tokens", "0.9"),
    ("fixed over SDPA", "packed, {length} tokens", "torch sdpa, {length} tokens", "1"),
    ("fixed over torch.compile", "packed, {length} tokens", "torch compile, {length} tokens", "1"),
    ("mixed over SDPA", "packed, 16 to 512 tokens",
     "torch sdpa, 16 to 512 tokens as they come", "1"),
    ("mixed over torch.compile", "packed, 16 to 512 tokens",
     "torch compile, 16 to 512 tokens as they come", "1"),
)  # fmt: skip


def machine() -> list[str]:
    """Card, driver, clocks and versions, as far as they tell."""
    facts = [f"- python {sys.version.split()[0]}, {platform.platform()}", f"- GPU: {clocks()}"]
    try:
        import onnxruntime

        facts.append(f"- onnxruntime {onnxruntime.__version__}, {onnxruntime.__file__}")
    except Exception as error:  # whatever it is, the report says so and the rest is measured
        facts.append(f"- onnxruntime: {error}")
    return facts + [f"- {name} {_version(name)}" for name in PACKAGES]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"


def clocks() -> str:
    """What the driver says of the card at this moment."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi: {type(error).__name__}"


def table(lines: Iterable[Line]) -> str:
    """Aligned columns."""
    cells = [line.cells() for line in lines]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
