"""The encoder on one NVIDIA GPU: one call, one table, one report.

    python -m benchmarks.gpu --report OUT/gpu-report.md [--shapes minilm-l6 bert-base bert-large]

Models have random weights, so nothing is fetched. Each part runs in a process of its own: one that
fails, or that breaks the GPU's context, is named in the report and the others go on. The report is
written anew after each part. Parts are begun until `--minutes` are over.

Parts: `graphs` (written, no GPU), `parity` (packed fp16 against padded fp32 on the CPU), `packed`
and `padded` (device loop, one length and mixed), `backend` (packed on the host in the same loop),
`small` (latency with CUDA graphs and without), `service` (over real gRPC, clients in other
processes), `host` (the same around a GPU that does nothing, so on any machine), `sdpa` and
`compile` (PyTorch, fp16). `--arithmetic` puts arithmetic in the place of the GPU, to try the script
where there is none: `parity`, `padded` and the baselines then fail, and no number means anything.

Where this package and its libraries are not installed, PYTHONPATH has to name, from the repository,
`libs/contracts:libs/servicekit:libs/bundles:services/encoder:models` with the generated stubs in
`libs/contracts/triptych/v1` (`make stubs`; they are not in git), and a folder with what the machine
lacks of: onnxruntime-gpu 1.31.1, with CUDA 13's cublas, cublasLt, curand and cudart on
LD_LIBRARY_PATH; numpy, onnx, safetensors, pyyaml; for `service` also grpcio and protobuf no older
than the lock's, since the stubs ask for that, grpcio-health-checking, grpcio-reflection,
googleapis-common-protos, prometheus-client, uvicorn, h11 and click; for the baselines torch and
transformers. A part whose libraries are missing fails alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.gpu_parts.report import Line, Report, clocks, machine, table
from benchmarks.gpu_parts.shapes import SHAPES

DEFAULT: Final = ("minilm-l6", "bert-base", "bert-large")
# In this order for each shape, and the baselines after all shapes: compiling takes longest.
OURS: Final = ("graphs", "packed", "padded", "parity", "small", "backend", "service", "host")
BASELINES: Final = ("sdpa", "compile")
# A part that has not ended by then has hung.
SECONDS_A_PART: Final = 150


def main() -> int:
    """Run the parts; returns how many failed."""
    options = _options()
    if options.run:
        part, shape = options.run
        return _run_part(part, shape, Path(options.folder), options.arithmetic)
    report = Report(options.report, machine())
    report.write()
    _say("\n".join(report.machine))
    deadline = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="triptych-gpu-") as folder:
        plan = [(part, shape) for shape in options.shapes for part in OURS if part in options.parts]
        plan += [(part, shape) for part in BASELINES for shape in options.shapes
                 if part in options.parts]  # fmt: skip
        for part, shape in plan:
            _measure(report, part, shape, folder, deadline, options.arithmetic)
    if report.lines:
        _say("\n" + table(report.lines))
    _say("\n".join(["", *report.ratios(), *report.failures]))
    return len(report.failures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, default=Path("gpu-report.md"))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=DEFAULT)
    parser.add_argument("--parts", nargs="+", choices=OURS + BASELINES, default=OURS + BASELINES)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--arithmetic", action="store_true", help="to try the script")
    parser.add_argument("--run", nargs=2, metavar=("PART", "SHAPE"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(
    report: Report, part: str, shape: str, folder: str, deadline: float, arithmetic: bool
) -> None:
    """One part in a process of its own; its lines and its failure go into the report."""
    left = deadline - time.monotonic()
    if left <= 0:
        report.failures.append(f"{part} of {shape}: no time was left")
    else:
        before, started = len(report.lines), time.monotonic()
        failure = _child(report, part, shape, folder, min(left, SECONDS_A_PART), arithmetic)
        if failure:
            report.failures.append(f"{part} of {shape}: {failure}")
            _say(f"FAILED {part} of {shape}: {failure}")
        for line in report.lines[before:]:
            _say("  ".join(line.cells()))
        _say(f"[{part} of {shape}: {time.monotonic() - started:.0f} s; {clocks()}]")
    report.write()


def _child(
    report: Report, part: str, shape: str, folder: str, seconds: float, arithmetic: bool
) -> str:
    """Why it failed; empty where it did not. Lines that it wrote before count."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--run", part, shape, "--folder", folder]
    command += ["--arithmetic"] if arithmetic else []
    log = Path(folder, f"{shape}-{part}.log")
    with log.open("w") as output:
        try:
            ended = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, timeout=seconds, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            ended = None
    said = []
    for text in log.read_text(errors="replace").splitlines():
        if text.startswith("LINE "):
            report.lines.append(Line(**json.loads(text.removeprefix("LINE "))))
        elif text.strip():
            said.append(text.strip())
    if ended == 0:
        return ""
    why = f"not done after {seconds:.0f} s" if ended is None else f"exit code {ended}"
    return f"{why}: {said[-1][:300] if said else 'it said nothing'}"


def _run_part(part: str, shape: str, folder: Path, arithmetic: bool) -> int:
    """In the child: measure, and write each line as it comes."""
    from benchmarks.gpu_parts import onnx_parts, service_part, torch_parts

    functions = {name: getattr(onnx_parts, name) for name in OURS if hasattr(onnx_parts, name)}
    functions |= {"service": service_part.service, "host": service_part.host}
    functions |= {"sdpa": torch_parts.sdpa, "compile": torch_parts.compiled}
    for line in functions[part](folder, SHAPES[shape], arithmetic):
        _say(f"LINE {json.dumps(line.plain())}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
