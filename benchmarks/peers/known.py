"""The peers, and how each is run as well as it can be."""

from pathlib import Path
from typing import Final

from benchmarks.peers.peer import ENVIRONMENTS, PROGRAMS, Launch, Peer, Setting, executable
from triptych_servicekit.cores import available_cores

CORES: Final = available_cores()
TORCH_TYPES: Final = {"fp32": "float32", "bf16": "bfloat16"}
ONNX_FOLDER: Final = ENVIRONMENTS / "onnx"
"""The model as optimum exports it; made with the environment."""
SERVED_NAME: Final = "all-minilm-l6-v2"


def _infinity(engine: str, setting: Setting, precision: str, port: int, model: str) -> list[str]:
    return [
        *(executable("infinity", "infinity_emb"), "v2", "--model-id", model),
        *("--served-model-name", SERVED_NAME, "--engine", engine, "--device", "cpu"),
        *("--pooling-method", "mean", "--batch-size", str(setting.batch_size)),
        *("--dtype", TORCH_TYPES[precision], "--no-bettertransformer", "--no-vector-disk-cache"),
        *("--url-prefix", "/v1", "--host", "127.0.0.1", "--port", str(port)),
        *("--log-level", "error"),
    ]


def _infinity_torch(setting: Setting, precision: str, port: int, model: Path) -> Launch:
    command = _infinity("torch", setting, precision, port, str(model))
    return Launch(command, environment=_threads(setting))


def _infinity_optimum(setting: Setting, precision: str, port: int, model: Path) -> Launch:  # noqa: ARG001
    """In the model's folder: 0.0.78 joins a local folder's path to that of its ONNX file."""
    command = _infinity("optimum", setting, precision, port, ".")
    return Launch(command, ONNX_FOLDER, _threads(setting))


def _litserve(setting: Setting, precision: str, port: int, model: Path) -> Launch:
    command = [
        *(executable("litserve", "python"), str(PROGRAMS / "serve_litserve.py")),
        *("--model", str(model), "--dtype", TORCH_TYPES[precision], "--port", str(port)),
        *("--batch-size", str(setting.batch_size), "--workers", str(setting.workers)),
    ]
    return Launch(command, environment=_threads(setting))


def encode_program(setting: Setting, precision: str, model: Path) -> Launch:
    """sentence-transformers without a server."""
    command = [
        *(executable("sentence-transformers", "python"), str(PROGRAMS / "encode.py")),
        *("--model", str(model), "--dtype", TORCH_TYPES[precision]),
    ]
    return Launch(command, environment=_threads(setting))


def _threads(setting: Setting) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(setting.threads)}


PEERS: Final = (
    Peer("infinity-torch", "infinity", ("fp32", "bf16"), ((1, CORES),), _infinity_torch),
    Peer("infinity-optimum", "infinity", ("fp32",), ((1, CORES),), _infinity_optimum),
    Peer("litserve", "litserve", ("fp32", "bf16"), ((1, CORES), (CORES, 1)), _litserve),
)
"""Behind HTTP; litserve serves sentence-transformers."""
IN_PROCESS: Final = "sentence-transformers"
IN_PROCESS_LAYOUTS: Final = ((1, CORES), (1, 1))
NAMES: Final = (*(peer.name for peer in PEERS), IN_PROCESS)
