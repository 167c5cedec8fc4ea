"""Where the files of an import lie: a graph, a tokenizer, a config.json, and what is beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triptych_models.errors import FetchError
from triptych_models.sources.folder import CARD, bundle_name, stated_licence

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
# exporters put graphs beside the other files, or into a folder of their own
_GRAPHS = ("model.onnx", "onnx/model.onnx")
_GRAPH_FOLDER = "onnx"


@dataclass(frozen=True, slots=True)
class ImportSource:
    """Files of one model; sentence-transformers' own are looked for beside `config`."""

    model: Path
    tokenizer: Path
    config: Path
    origin: str
    licence: str
    name: str
    """A proposal for the bundle's name."""

    @property
    def folder(self) -> Path:
        """Where the other files of the model are."""
        return self.config.parent


def open_source(
    source: Path, tokenizer: Path | None, config: Path | None, origin: str, licence: str
) -> ImportSource:
    """Find the files of a folder or of a graph in one; what is given is not looked for.

    FetchError names what is missing.
    """
    model = _graph(source)
    home = source if source.is_dir() else _home(model.parent)
    config = _existing(config or home / CONFIG)
    return ImportSource(
        model=model,
        tokenizer=_existing(tokenizer or home / TOKENIZER),
        config=config,
        origin=origin or home.resolve().name,
        licence=licence or stated_licence(config.parent / CARD),
        name=bundle_name(origin.rpartition("/")[2] or home.resolve().name),
    )


def _graph(source: Path) -> Path:
    if not source.is_dir():
        return _existing(source)
    for name in _GRAPHS:
        if (source / name).is_file():
            return source / name
    found = sorted(_any_graph(source))
    if len(found) != 1:
        reason = f"holds {len(found)} ONNX files and no {_GRAPHS[0]}: name one"
        raise FetchError(f"{source}: {reason}")
    return found[0]


def _any_graph(source: Path) -> Iterator[Path]:
    yield from source.glob("*.onnx")
    yield from source.glob(f"{_GRAPH_FOLDER}/*.onnx")


def _home(folder: Path) -> Path:
    """The folder of the model that a graph's folder belongs to."""
    inner = folder.name == _GRAPH_FOLDER and not (folder / CONFIG).is_file()
    return folder.parent if inner else folder


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FetchError(f"{path}: is missing")
    return path
