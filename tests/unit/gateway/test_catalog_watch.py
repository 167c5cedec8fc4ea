"""The catalog follows a folder that changes while it is served."""

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from triptych_gateway.models.catalog import Catalog
from triptych_gateway.models.holdings import HoldingsReader
from triptych_gateway.models.watching import CatalogWatch
from triptych_gateway.settings import Models
from triptych_servicekit.errors import NotFound

HASH = "0" * 64
FILE = {"sha256": HASH, "bytes": 1}


def manifest(name: str, version: str, task: str) -> dict[str, object]:
    """A bundle.yaml; the gateway reads no other file."""
    return {"schema": 1, "name": name, "version": version, "task": task, "created": 0}


def model(name: str, version: str, recipe: str) -> dict[str, object]:
    return manifest(name, version, "embed") | {
        "architecture": "bert",
        "pooling": "mean",
        "normalize": True,
        "max_length": 8,
        "hidden_size": 4,
        "vocab_size": 10,
        "prompts": {},
        "outputs": ["pooled.mean"],
        "graphs": {"cpu-fp32": "f"},
        "base": {"origin": "folder", "licence": "mit", "weights_sha256": HASH},
        "golden": {"vectors": "f", "texts": "f", "source": "s", "min_cosine": 0.9},
        "recipe": hashlib.sha256(recipe.encode()).hexdigest(),
        "files": {"f": FILE},
    }


def head(name: str, version: str) -> dict[str, object]:
    return manifest(name, version, "classify") | {
        "kind": "head",
        "hidden_size": 4,
        "licence": "mit",
        "trunk": {"name": "tiny", "weights_sha256": HASH},
        "head": {
            "input": "pooled.mean",
            "normalized": True,
            "layers": [{"name": "out", "activation": "none"}],
            "weights": "f",
            "golden": "f",
            "labels": ["no", "yes"],
            "problem_type": "single_label_classification",
        },
        "files": {"f": FILE},
    }


class Folder:
    """A repository that is written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def put(self, name: str, version: str = "1", recipe: str = "") -> None:
        self.write(name, version, yaml.safe_dump(model(name, version, recipe)))

    def put_head(self, name: str, version: str = "1") -> None:
        self.write(name, version, yaml.safe_dump(head(name, version)))

    def write(self, name: str, version: str, text: str) -> None:
        folder = self.root / name / version
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bundle.yaml").write_text(text)

    def take(self, name: str, version: str = "1") -> None:
        shutil.rmtree(self.root / name / version)

    def aliases(self, text: str) -> None:
        (self.root / "aliases.yaml").write_text(text)

    def age(self) -> None:
        """Let everything have been written long ago."""
        for path in self.root.rglob("*.yaml"):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))


ALIAS = 'schema: 1\naliases: {main: {targets: [{model: "tiny@%s"}]}}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "repository")


@pytest.fixture
def watch(folder: Folder) -> CatalogWatch:
    folder.put("tiny")
    return CatalogWatch.of(Models(repository=str(folder.root)))


def names(catalog: Catalog) -> list[str]:
    return [bundle.identity for bundle in (*catalog.models(), *catalog.heads())]


async def test_what_appears_and_what_goes(folder: Folder, watch: CatalogWatch) -> None:
    assert names(watch.catalog) == ["tiny@1"]
    folder.put("tiny", "10")
    folder.put("tiny", "9")
    folder.put_head("mood")
    await watch.look()
    assert names(watch.catalog) == ["tiny@1", "tiny@9", "tiny@10", "mood@1"]
    folder.take("tiny", "10")
    folder.take("mood")
    await watch.look()
    await watch.look()
    assert names(watch.catalog) == ["tiny@1", "tiny@9"]
    assert watch.catalog.resolve("tiny").model.version == "9"


async def test_what_is_being_replaced_may_be_gone_for_a_moment(
    folder: Folder, watch: CatalogWatch
) -> None:
    before = watch.catalog.resolve("tiny").model.digest
    folder.take("tiny")
    await watch.look()
    assert watch.catalog.resolve("tiny").model.digest == before
    folder.put("tiny", recipe="new")
    await watch.look()
    target = watch.catalog.resolve("tiny")
    assert target.model.digest != before
    assert target.fallback is not None
    assert target.fallback.model.digest == before


@pytest.mark.parametrize("text", ["{", "schema: 1\n", "schema: 1\nname: tiny\nversion: '1'\n"])
async def test_a_broken_bundle_leaves_the_old_one(
    folder: Folder, watch: CatalogWatch, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = watch.catalog.resolve("tiny").model.digest
    folder.write("tiny", "1", text)
    for _ in range(3):
        await watch.look()
    assert watch.catalog.resolve("tiny").model.digest == before
    assert len([record for record in caplog.records if "refused" in record.message]) == 1
    folder.put("tiny", recipe="mended")
    await watch.look()
    assert watch.catalog.resolve("tiny").model.digest != before


async def test_a_new_broken_bundle_is_not_there(folder: Folder, watch: CatalogWatch) -> None:
    folder.write("tiny", "2", "{")
    await watch.look()
    assert names(watch.catalog) == ["tiny@1"]


async def test_aliases_follow_their_file(
    folder: Folder, watch: CatalogWatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.put("tiny", "2")
    folder.aliases(ALIAS % 1)
    await watch.look()
    assert watch.catalog.resolve("main").model.version == "1"
    folder.aliases(ALIAS % 2)
    await watch.look()
    assert watch.catalog.resolve("main").model.version == "2"
    folder.aliases("schema: 1\naliases: {main: {targets: [{model: tiny, weight: 0}]}}\n")
    await watch.look()
    await watch.look()
    assert watch.catalog.resolve("main").model.version == "2"
    told = [str(getattr(record, "reason", "")) for record in caplog.records]
    wanted = "aliases.main.targets[0].weight: must be at least 1"
    assert [text for text in told if "aliases.yaml" in text and wanted in text]
    (folder.root / "aliases.yaml").unlink()
    await watch.look()
    assert watch.catalog.resolve("main").model.version == "2"
    await watch.look()
    with pytest.raises(NotFound):
        watch.catalog.resolve("main")


async def test_a_repository_that_cannot_be_listed_says_nothing(
    folder: Folder, watch: CatalogWatch
) -> None:
    folder.root.rename(folder.root.with_name("away"))
    for _ in range(3):
        await watch.look()
    assert names(watch.catalog) == ["tiny@1"]


def test_a_repository_that_comes_later(tmp_path: Path) -> None:
    watch = CatalogWatch.of(Models(repository=str(tmp_path / "repository")))
    assert names(watch.catalog) == []
    Folder(tmp_path / "repository").put("tiny")
    asyncio.run(watch.look())
    assert names(watch.catalog) == ["tiny@1"]


def test_only_names_that_are_to_be_served(folder: Folder) -> None:
    folder.put("tiny")
    folder.put("other")
    settings = Models(repository=str(folder.root), names=("other",))
    assert names(CatalogWatch.of(settings).catalog) == ["other@1"]


def test_what_has_not_changed_is_not_read_again(folder: Folder) -> None:
    folder.put("tiny")
    folder.age()
    reader = HoldingsReader(folder.root)
    first = reader.look().models[0]
    assert reader.look().models[0] is first
    folder.put("tiny", recipe="new")
    assert reader.look().models[0] is not first


def test_a_change_within_a_tick_of_the_clock_is_seen(folder: Folder) -> None:
    path = folder.root / "tiny" / "1" / "bundle.yaml"
    reader = HoldingsReader(folder.root)
    digests = set()
    moment = time.time_ns()
    for number in range(5):
        text = yaml.safe_dump(model("tiny", "1", str(number)))
        folder.write("tiny", "1", text)
        os.utime(path, ns=(moment, moment))
        digests.add(reader.look().models[0].digest)
    assert len(digests) == 5


async def test_it_looks_by_itself(folder: Folder) -> None:
    folder.put("tiny")
    watch = CatalogWatch.of(Models(repository=str(folder.root), poll_interval=0.02))
    await watch.start()
    try:
        folder.put("tiny", "2")
        await until(lambda: len(watch.catalog.models()) == 2)
        folder.take("tiny", "2")
        await until(lambda: len(watch.catalog.models()) == 1)
    finally:
        await watch.stop()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
