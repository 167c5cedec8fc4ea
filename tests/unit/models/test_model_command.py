"""The command: exit codes, results on standard output, one clear line for a failure."""

from collections.abc import Callable
from pathlib import Path

import pytest

from triptych_models.__main__ import main
from triptych_models.settings import read_settings

WriteModel = Callable[..., Path]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def repository(write_model: WriteModel, tmp_path: Path) -> Path:
    """A repository with one compiled bundle."""
    root = tmp_path / "repository"
    assert main(["compile", str(write_model()), "--repository", str(root)]) == 0
    return root


def test_compile_prints_the_folder(write_model: WriteModel, tmp_path: Path, capsys: Output) -> None:
    model, root = str(write_model()), str(tmp_path / "repository")
    assert main(["compile", model, "--repository", root]) == 0
    assert main(["compile", model, "--repository", root]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == [f"{root}/tiny-bert/1"] * 2
    assert "verifying against the golden vectors" in output.err
    assert "tiny-bert@1 is up to date" in output.err


def test_fetch_prints_the_folder(write_model: WriteModel, capsys: Output) -> None:
    model = str(write_model())
    assert main(["fetch", model]) == 0
    assert capsys.readouterr().out == f"{model}\n"


def test_verify_prints_how_close_it_comes(repository: Path, capsys: Output) -> None:
    assert main(["verify", "--repository", str(repository)]) == 0
    assert main(["verify", "tiny-bert@1", "--repository", str(repository)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("tiny-bert@1 ")
    names = ("cls", "mean", "last_token")
    found = ", ".join(f"{name} worst cosine 1.000000000" for name in names)
    assert lines[-1].endswith(f" ok: {found}")


def test_list_shows_good_and_bad(repository: Path, capsys: Output) -> None:
    broken = repository / "tiny-bert" / "2"
    broken.mkdir()
    (broken / "bundle.yaml").write_text("schema: 9")
    assert main(["list", "--repository", str(repository)]) == 0
    (repository / "tiny-bert" / "1" / "model.onnx").write_bytes(b"cut")
    assert main(["list", "--repository", str(repository)]) == 0
    first, second = capsys.readouterr().out.split("NAME")[1:]
    assert first.splitlines()[1].split()[4:] == ["16", "40", "0.1", "MB", "ok"]
    assert "broken: " in first
    assert "model.onnx is truncated: 3 bytes" in second


def test_list_of_no_folder_fails(tmp_path: Path, capsys: Output) -> None:
    assert main(["list", "--repository", str(tmp_path / "repositroy")]) == 1
    assert "repositroy: is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["verify", "nobody"], "no bundle 'nobody'"),
        (["verify"], "holds no bundle: run `triptych-models compile`"),
        (["compile", "nowhere"], "'nowhere' is neither a folder nor a hub id"),
        (["fetch", "nowhere"], "'nowhere' is neither a folder nor a hub id"),
    ],
)
def test_a_failure_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: Output, arguments: list[str], reason: str
) -> None:
    assert main([*arguments, "--repository", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("triptych-models: ")
    assert reason in error
    assert error.count("\n") == 1


def test_wrong_usage_is_exit_code_2(capsys: Output) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["compile", "--pooling", "max"])
    assert leaving.value.code == 2
    assert "invalid choice: 'max'" in capsys.readouterr().err


def test_settings_come_from_the_environment() -> None:
    assert read_settings({}).repository == Path("model-repository")
    assert read_settings({"TRIPTYCH_MODELS_REPOSITORY": ""}).repository == Path("model-repository")
    assert read_settings({"TRIPTYCH_MODELS_REPOSITORY": "/models"}).repository == Path("/models")
    assert read_settings({"TRIPTYCH_HUB_URL": "http://mirror"}).hub_url == "http://mirror"
