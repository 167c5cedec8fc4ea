"""Training and installing, from the command line, over a model of random numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from triptych_bundles import HeadBundle, Repository, read_bundle, sha256_file
from triptych_models.__main__ import main

WriteModel = Callable[..., Path]
Output = pytest.CaptureFixture[str]
VOWELS, CONSONANTS = "aeiou", "bcdfg"
SHIPPED = ("banking77@1", "financial-sentiment@1")


@pytest.fixture
def repository(write_model: WriteModel, tmp_path: Path, capsys: Output) -> Path:
    """A repository with a tiny trunk."""
    folder = tmp_path / "repository"
    assert main(["compile", str(write_model()), "--repository", str(folder)]) == 0
    capsys.readouterr()
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Texts of letters from either of two sets, which the label names."""
    path = tmp_path / "letters.csv"
    rows = [
        f"{first} {second} {third},{label}"
        for label, letters in (("vowels", VOWELS), ("consonants", CONSONANTS))
        for first in letters
        for second in letters
        for third in letters
    ]
    path.write_text("\n".join(["text,label", *rows]))
    return path


def train(repository: Path, data: Path, *more: str) -> int:
    fixed = ["--name", "letters", "--trunk", "tiny-bert", "--repository", str(repository)]
    return main(["train-head", "--data", str(data), *fixed, *more])


def test_trains_verifies_and_lists_a_head(repository: Path, data: Path, capsys: Output) -> None:
    assert train(repository, data, "--licence", "mit", "--source", "made up") == 0
    answer = capsys.readouterr()
    assert "embedded 250 of 250 texts" in answer.err
    folder = repository / "letters" / "1"
    assert answer.out == f"{folder}\n"
    bundle = read_bundle(folder)
    assert isinstance(bundle, HeadBundle)
    assert (bundle.head.labels, bundle.head.input) == (("consonants", "vowels"), "pooled.mean")
    assert bundle.fits(Repository(repository).find_model("tiny-bert"))
    assert main(["verify", "--repository", str(repository)]) == 0
    assert "letters@1" in capsys.readouterr().out
    assert main(["list", "--repository", str(repository)]) == 0
    assert "over tiny-bert" in capsys.readouterr().out


def test_the_card_tells_how_to_repeat_it(repository: Path, data: Path) -> None:
    assert train(repository, data, "--source", "made up", "--data-licence", "CC0") == 0
    card = (repository / "letters" / "1" / "model-card.md").read_text()
    assert "| training, validation, test | 200, 25, 25 |" in card
    assert f"`letters.csv`, sha256 `{sha256_file(data)}`" in card
    assert "| test, held out | 1.0000 | 1.0000 |" in card
    assert "  --data letters.csv \\\n" in card
    assert "  --source 'made up' \\\n" in card
    assert str(data.parent) not in card


def test_the_same_inputs_give_the_same_bytes(repository: Path, data: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for threads, folder in enumerate(folders, 1):
        assert train(repository, data, "--output", str(folder), "--threads", str(threads)) == 0
    first, second = (read_bundle(folder / "letters" / "1") for folder in folders)
    assert first.digest == second.digest


def test_a_version_is_not_replaced_unasked(repository: Path, data: Path, capsys: Output) -> None:
    assert train(repository, data) == 0
    digest = read_bundle(repository / "letters" / "1").digest
    capsys.readouterr()
    assert train(repository, data, "--seed", "1") == 1
    assert "letters@1 is there already" in capsys.readouterr().err
    assert train(repository, data, "--seed", "1", "--replace") == 0
    assert read_bundle(repository / "letters" / "1").digest != digest


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--text-column", "body"], "--text-column: the header must name 'body' once"),
        (["--label-names", "vowels=v"], "--label-column: label: 'consonants' on line"),
        (["--version", "../1"], "--version: '../1' must match"),
        (["--trunk", "nobody"], "no bundle 'nobody'"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing(
    repository: Path, data: Path, capsys: Output, more: list[str], reason: str
) -> None:
    assert train(repository, data, *more) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (repository / "letters").exists()


def test_verify_refuses_a_head_whose_numbers_are_off(
    repository: Path, data: Path, capsys: Output
) -> None:
    assert train(repository, data) == 0
    weights = repository / "letters" / "1" / "head.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert main(["verify", "letters", "--repository", str(repository)]) == 1
    assert "head.safetensors: has the wrong hash" in capsys.readouterr().err


def test_shipped_heads_are_left_out_without_their_trunk(repository: Path, capsys: Output) -> None:
    assert main(["install-heads", "--repository", str(repository)]) == 0
    answer = capsys.readouterr()
    assert answer.out == ""
    for name in SHIPPED:
        assert f"{name} is left out: its trunk all-minilm-l6-v2 is not there" in answer.err


def test_an_unknown_head_is_refused(repository: Path, capsys: Output) -> None:
    assert main(["install-heads", "nobody", "--repository", str(repository)]) == 1
    assert "no head 'nobody' comes with this package" in capsys.readouterr().err
