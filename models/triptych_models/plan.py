"""What will be compiled, decided before anything heavy is read: the recipe names it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import NAME_RULE, is_name, sha256_file
from triptych_models.classes import Classes, Task, read_classes
from triptych_models.config import EncoderConfig, read_config
from triptych_models.errors import UnsupportedModel
from triptych_models.golden import GoldenFiles, committed
from triptych_models.sentence import Choices, SentenceSettings, read_sentence_settings
from triptych_models.sources import SourceFolder
from triptych_models.sources.folder import WEIGHTS

# raise it with every change of what `compile` writes: a test pins the graph it stands for
COMPILER_REVISION = 1
# the same for what `compile --precision int8` writes beside it
QUANTIZER_REVISION = 1
# and for the graphs that `compile --target gpu` writes beside it
GPU_REVISION = 2

Target = Literal["cpu", "gpu"]
TARGETS: tuple[Target, ...] = ("cpu", "gpu")
"""What a bundle is for. One for a GPU serves on a CPU too: it has that graph besides its own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the content of a bundle depends on."""

    source: SourceFolder
    name: str
    version: str
    config: EncoderConfig
    settings: SentenceSettings
    classes: Classes | None
    """None for a model that only embeds."""
    source_files: Mapping[str, str]
    """sha256 by name."""
    golden: GoldenFiles | None
    """None where the vectors have to be computed."""
    int8_min_cosine: float | None = None
    """The floor of the graphs in int8; None: there are none."""
    target: Target = "cpu"
    samples: Sequence[NDArray[np.int32]] = ()
    """Inputs of a tagger's own task, by which int8 is chosen; none: every layer is in int8."""

    @property
    def task(self) -> Task:
        """What the bundle will be for."""
        return self.classes.task if self.classes else "embed"

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the classes; none where there are none."""
        return self.classes.labels if self.classes else ()

    @property
    def weights_sha256(self) -> str:
        """The hash of the weights."""
        return self.source_files[WEIGHTS]

    def recipe(self) -> str:
        """sha256 that two compilations share only when they would write the same."""
        golden = hashlib.sha256(self.golden.vectors).hexdigest() if self.golden else "computed"
        facts: dict[str, object] = {
            "compiler": COMPILER_REVISION,
            "name": [self.name, self.version],
            "source": [self.source.origin, self.source.licence, self.source.created],
            "files": self.source_files,
            "settings": asdict(self.settings),
            "golden": golden,
        }
        if self.classes:
            facts["classes"] = asdict(self.classes)
        if self.int8_min_cosine is not None:
            facts["int8"] = [QUANTIZER_REVISION, self.int8_min_cosine]
            if self.samples:
                ids = np.concatenate(self.samples).tobytes()
                facts["samples"] = hashlib.sha256(ids).hexdigest()
        if self.target != "cpu":
            facts["target"] = [self.target, GPU_REVISION]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def make_plan(
    source: SourceFolder,
    name: str,
    version: str,
    choices: Choices,
    task: Task | None = None,
    target: Target = "cpu",
) -> Plan:
    """Read a source's small files and hash them all; without a `task` they say which it is."""
    name = name or source.name
    for part in (name, version):
        if not is_name(part):
            raise UnsupportedModel(f"{part!r} cannot name a bundle or a version: {NAME_RULE}")
    config = read_config(source.path / "config.json")
    settings = read_sentence_settings(source.path, config, choices)
    classes = read_classes(source.path, task)
    hashes = {file: sha256_file(source.path / file) for file in source.files()}
    golden = None if classes else committed(hashes[WEIGHTS], settings.max_length)
    return Plan(source, name, version, config, settings, classes, hashes, golden, target=target)
