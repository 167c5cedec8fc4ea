"""Generates the Python of `protos/` into this package whenever it is built or installed."""

from importlib import resources
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateStubs(BuildHookInterface):
    """Runs protoc with typed stubs; the output is never in git."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write `triptych/v1/*_pb2*.py[i]` beside this file."""
        root = Path(self.root)
        protos = root.parent.parent / "protos"
        includes = [protos, resources.files("grpc_tools") / "_proto", _googleapis()]
        outputs = ("python_out", "grpc_python_out", "mypy_out", "mypy_grpc_out")
        arguments = [f"-I{path}" for path in includes] + [f"--{out}={root}" for out in outputs]
        sources = [str(path) for path in sorted((protos / "triptych").rglob("*.proto"))]
        if protoc.main(["protoc", *arguments, *sources]) != 0:
            raise RuntimeError(f"protoc could not compile {protos}")
        (root / "triptych" / "py.typed").touch()


def _googleapis() -> Path:
    """Folder that holds `google/rpc/*.proto`, from the googleapis-common-protos wheel."""
    import google.rpc

    return Path(next(iter(google.rpc.__path__))).parent.parent
