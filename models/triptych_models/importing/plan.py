"""What will be imported, decided before a session is made: the recipe names it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from triptych_bundles import NAME_RULE, is_name, sha256_file
from triptych_models.documents import read_object
from triptych_models.errors import UnsupportedModel
from triptych_models.importing.checks import check_graph
from triptych_models.importing.limits import read_max_length, read_vocab_size
from triptych_models.importing.reading import read_graph
from triptych_models.importing.source import ImportSource
from triptych_models.sentence import Choices, SentenceSettings, sentence_settings
from triptych_models.sources.folder import OPTIONAL

# raise it with every change of what `import` writes
IMPORTER_REVISION = 1


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Everything that the content of a bundle depends on."""

    source: ImportSource
    name: str
    version: str
    model: onnx.ModelProto
    """Checked, and with its external data taken in."""
    config: Mapping[str, object]
    settings: SentenceSettings
    vocab_size: int
    source_files: Mapping[str, str]
    """sha256 by name."""

    @property
    def weights_sha256(self) -> str:
        """The hash of the graph as it was, external data included."""
        return self.source_files["model.onnx"]

    @property
    def architecture(self) -> str:
        """The model's class, such as BertForTokenClassification; empty where it is not stated."""
        classes = self.config.get("architectures")
        return str(classes[0]) if isinstance(classes, list) and classes else ""

    def recipe(self) -> str:
        """sha256 that two imports share only when they would write the same."""
        settings = self.settings
        facts = {
            "importer": IMPORTER_REVISION,
            "name": [self.name, self.version],
            "source": [self.source.origin, self.source.licence],
            "files": self.source_files,
            "settings": [settings.pooling, settings.normalize, settings.max_length],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def plan_import(source: ImportSource, name: str, version: str, choices: Choices) -> ImportPlan:
    """Read and check a source; UnsupportedModel says what stands against it."""
    name = name or source.name
    for part in (name, version):
        if not is_name(part):
            raise UnsupportedModel(f"{part!r} cannot name a bundle or a version: {NAME_RULE}")
    config = read_object(source.config)
    max_length = read_max_length(source.folder, config, choices.max_length)
    model = read_graph(source.model)
    check_graph(model)
    return ImportPlan(
        source=source,
        name=name,
        version=version,
        model=model,
        config=config,
        settings=sentence_settings(source.folder, max_length, choices),
        vocab_size=read_vocab_size(config),
        source_files=_hashes(source, model),
    )


def _hashes(source: ImportSource, model: onnx.ModelProto) -> Mapping[str, str]:
    content = model.SerializeToString(deterministic=True)
    files = {"tokenizer.json": source.tokenizer, "config.json": source.config}
    files |= {name: source.folder / name for name in OPTIONAL if (source.folder / name).is_file()}
    hashes = {name: sha256_file(path) for name, path in files.items()}
    return {"model.onnx": hashlib.sha256(content).hexdigest(), **hashes}
