"""What was trained as a Hugging Face folder, which `triptych-models compile` reads."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from triptych_models.documents import read_object
from triptych_models.sources import SourceFolder
from triptych_models.sources.folder import CARD, WEIGHTS, open_folder
from triptych_models.staging import install, staging
from triptych_train.network import POOLING, Network
from triptych_train.recipe import Recipe

_OWN = (CARD, WEIGHTS, "config.json", "LICENSE")
# ends as transformers' classes do; neither is one of them, since theirs read the first token
_ARCHITECTURES = {"classify": "PooledForSequenceClassification", "tag": "ForTokenClassification"}


def export(
    network: Network, recipe: Recipe, labels: tuple[str, ...], source: SourceFolder, folder: Path
) -> None:
    """Write weights, configuration and the trunk's own files to `folder`, whole or not at all."""
    with staging(folder.parent) as staged:
        written = staged / folder.name
        written.mkdir()
        for name in set(source.files()) - set(_OWN):
            (written / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source.path / name, written / name)
        save_file(_tensors(network), written / WEIGHTS, metadata={"format": "pt"})
        config = _config(read_object(source.path / "config.json"), recipe, labels)
        (written / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        install(written, folder)


def opened(folder: Path, recipe: Recipe, source: SourceFolder) -> SourceFolder:
    """The folder as a source of a bundle; its licence is what its card states."""
    return open_folder(folder, f"fine-tuned from {source.origin}", recipe.name)


def _tensors(network: Network) -> dict[str, Any]:
    """In fp32, the trunk's without a prefix."""
    return {
        name.removeprefix("trunk."): tensor.detach().cpu().float().contiguous()
        for name, tensor in network.state_dict().items()
    }


def _config(
    trunk: Mapping[str, object], recipe: Recipe, labels: tuple[str, ...]
) -> Mapping[str, object]:
    config = dict(trunk) | {
        "architectures": [_ARCHITECTURES[recipe.task]],
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    if recipe.task == "classify":
        config |= {
            "classifier_pooling": POOLING,
            "problem_type": "single_label_classification",
        }
    return config
