"""`triptych evaluate` over a real gateway whose answers can be worked out by hand."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from triptych_client.__main__ import main
from triptych_gateway.local_application import serving
from triptych_gateway.local_bundles import local_bundle, local_head, local_tagger
from triptych_gateway.local_platform import LocalPlatform
from triptych_gateway.settings import GatewaySettings, Requests

Output = pytest.CaptureFixture[str]
MOODS = ("bad", "good", "fine")
TEXTS = ("a small cat", "rain", "42", "Zoë", "what now", "xyz", "0", "the end")


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway, and a folder for what is asked and written."""

    platform: LocalPlatform
    url: str
    folder: Path

    async def evaluate(self, *arguments: str, **files: str) -> int:
        """The exit code; files are written first, by name without suffix."""
        for name, content in files.items():
            (self.folder / f"{name}.csv").write_text(content)
        options = ["evaluate", "--url", self.url, "--resamples", "50", *arguments]
        return await asyncio.to_thread(main, options)

    def path(self, name: str) -> str:
        """Of a file."""
        return str(self.folder / name)

    def report(self) -> dict[str, Any]:
        """What --json wrote."""
        document: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return document

    async def labels(self, model: str, *texts: str) -> list[str]:
        """What a model answers, asked for by hand."""
        async with httpx.AsyncClient(base_url=self.url) as client:
            answer = await client.post(
                "/api/v1/classify", json={"model": model, "inputs": list(texts), "top_k": 1}
            )
        return [one["labels"][0]["label"] for one in answer.json()["data"]]


@contextlib.asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Gateway]:
    trunk = local_bundle(dimensions=16)
    heads = [
        local_head("moods", MOODS, trunk=trunk),
        local_head("moods", ("bad", "good", "odd"), "2", trunk=trunk, pooling="cls"),
        local_head("many", MOODS, trunk=trunk, problem_type="multi_label_classification"),
    ]
    platform = LocalPlatform([trunk, local_tagger(dimensions=8)], heads, **options)
    settings = GatewaySettings(requests=Requests(max_input_characters=600))
    async with serving(platform, settings) as server:
        yield Gateway(platform, f"http://127.0.0.1:{server.http_port}", folder)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(tmp_path) as found:
        yield found


def table(rows: Sequence[tuple[str, ...]], header: str = "text,label") -> str:
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


async def test_classes(gateway: Gateway, capsys: Output) -> None:
    """Gold labels are the model's own, but for two of eight."""
    right = await gateway.labels("moods@1", *TEXTS)
    wrong = [MOODS[(MOODS.index(label) + 1) % 3] for label in right[:2]]
    content = table(list(zip(TEXTS, [*wrong, *right[2:]], strict=True)))
    options = ("--model", "moods@1", "--data", gateway.path("set.csv"), "--batch-size", "3")
    code = await gateway.evaluate(*options, "--json", gateway.path("report.json"), set=content)
    assert code == 0
    document = gateway.report()
    found = document["models"][0]
    assert found["scores"]["accuracy"]["value"] == 0.75
    assert found["scores"]["accuracy"]["low"] < 0.75 < found["scores"]["accuracy"]["high"]
    assert found["weighted"]["recall"] == 0.75
    assert sum(one["count"] for one in found["confusion"]) == 8
    assert {(one["expected"], one["predicted"]) for one in found["confusion"]} >= set(
        zip(wrong, right, strict=False)
    )
    assert sum(one["count"] for one in found["calibration"]["bins"]) == 8
    assert found["answered_by_head"].startswith("moods@1 (")
    assert list(found["answered_by"].values()) == [8]
    assert found["latency_seconds"]["requests"] == 3
    assert document["data"]["items"] == 8
    assert document["load"] == {"batch_size": 3, "concurrency": 8, "deadline": 3600.0}
    assert (document["comparison"], document["schema"]) == (None, 1)
    shown = capsys.readouterr()
    assert "accuracy             0.7500 (" in shown.out
    assert "3 requests of 3, 8 at once" in shown.out
    assert "8/8" in shown.err


async def test_two_versions_are_compared_item_by_item(gateway: Gateway, capsys: Output) -> None:
    first, second = [await gateway.labels(f"moods@{one}", *TEXTS) for one in "12"]
    assert first != second
    content = table(list(zip(TEXTS, first, strict=True)))
    ours, theirs = ("--model", "moods@1"), ("--baseline", "local", "--baseline-head", "moods@2")
    files = ("--data", gateway.path("set.csv"), "--json", gateway.path("report.json"))
    assert await gateway.evaluate(*ours, *theirs, *files, set=content) == 0
    differing = sum(one != two for one, two in zip(first, second, strict=True))
    comparison = gateway.report()["comparison"]
    assert comparison["differences"]["accuracy"]["value"] == pytest.approx(differing / 8)
    test = comparison["mcnemar"]
    assert (test["only_model"], test["only_baseline"]) == (differing, 0)
    assert test["p_value"] == pytest.approx(2 / 2**differing)
    assert gateway.report()["models"][1]["scores"]["accuracy"]["value"] == 1 - differing / 8
    shown = capsys.readouterr()
    assert f"McNemar, exact: {differing} right only by the model" in shown.out
    assert "local with moods@2 does not know 'fine' of the set: " in shown.err


async def test_labels_that_only_one_side_has_are_told(gateway: Gateway, capsys: Output) -> None:
    right = await gateway.labels("moods@1", "rain")
    rows = [("rain", right[0]), ("rain", "sour"), ("cat", "sour")]
    options = ("--model", "moods@1", "--data", gateway.path("set.csv"))
    files = ("--json", gateway.path("report.json"))
    assert await gateway.evaluate(*options, *files, set=table(rows)) == 0
    labels = gateway.report()["models"][0]["labels"]
    assert labels["unknown_to_model"] == {"sour": 2}
    assert set(labels["not_in_set"]) == set(MOODS) - {right[0]}
    assert "moods@1 does not know 'sour' of the set: 2 cannot be right" in capsys.readouterr().err
    rows = [("rain", "sour")]
    assert await gateway.evaluate(*options, set=table(rows)) == 1
    assert "moods@1 knows no label of the set: the set has 'sour', the model 'bad', 'fine'" in (
        capsys.readouterr().err
    )


async def test_an_input_without_an_answer_is_wrong(gateway: Gateway, capsys: Output) -> None:
    """Of six inputs one is too long for this platform; of a request that is all it has, too."""
    label = (await gateway.labels("moods@1", "rain"))[0]
    long = "x" * 601
    rows = [("rain", label)] * 2 + [(long, label)] + [("rain", label)] + [(long, label)] * 2
    options = ("--model", "moods@1", "--data", gateway.path("set.csv"), "--batch-size", "2")
    files = ("--json", gateway.path("report.json"))
    assert await gateway.evaluate(*options, *files, set=table(rows)) == 3
    found = gateway.report()["models"][0]
    assert found["scores"]["accuracy"]["value"] == 0.5
    assert found["unanswered"]["count"] == 3
    assert [one["item"] for one in found["unanswered"]["first"]] == [2, 4, 5]
    assert "600" in found["unanswered"]["first"][0]["message"]
    assert {"expected": label, "predicted": "", "count": 3} in found["confusion"]
    assert "! 3 without an answer, counted as wrong; number 3: " in capsys.readouterr().out


async def test_entities_by_words_and_as_the_platform_joins_them(gateway: Gateway) -> None:
    """Digits are tagged I-NUM, what is beyond ASCII I-WIDE, token by token."""
    lines = ["ab O", "12 B-NUM", "345 I-NUM", "é B-WIDE", "", "x7 O", "8 B-WIDE", "c O"]
    (gateway.folder / "set.conll").write_text("\n".join(lines))
    options = ("--model", "tagger", "--data", gateway.path("set.conll"))
    files = ("--json", gateway.path("report.json"))
    assert await gateway.evaluate(*options, *files) == 0
    # answered: NUM over both words, as I- goes on; WIDE; and 8 as NUM. x7 begins with O.
    found = gateway.report()["models"][0]
    assert found["micro"] == {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3}
    assert found["scores"]["entity_f1"]["value"] == 2 / 3
    assert found["by_label"]["NUM"] == pytest.approx(
        {"precision": 0.5, "recall": 1, "f1": 2 / 3, "support": 1}
    )
    assert {"expected": "WIDE", "predicted": "NUM", "count": 1} in found["confusion"]
    assert found["labels"] == {"unknown_to_model": {}, "not_in_set": []}
    # the platform sees tokens of one tag side by side, and here a blank is a token between them
    assert await gateway.evaluate(*options, *files, "--aggregation", "simple") == 0
    found = gateway.report()["models"][0]
    # answered: 12, 345, é, 7 and 8; right is é alone
    assert found["micro"] == pytest.approx({"precision": 1 / 5, "recall": 1 / 3, "f1": 1 / 4})


async def test_similarity(gateway: Gateway) -> None:
    rows = [("a", "a", "5"), ("a", "q", "2"), ("rain", "snow", "3")]
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        body = {"model": "local", "pairs": [list(row[:2]) for row in rows]}
        answer = await client.post("/api/v1/similarity", json=body)
    cosines = [one["score"] for one in answer.json()["data"]]
    # grades in the order of the cosines
    rows = [(*row[:2], str(cosine)) for row, cosine in zip(rows, cosines, strict=True)]
    options = ("--model", "local", "--task", "similarity", "--data", gateway.path("set.csv"))
    columns = ("--text-column", "a", "--pair-column", "b", "--label-column", "score")
    header = ("--header", "a,b,score", "--json", gateway.path("report.json"))
    content = table(rows).partition("\n")[2]
    assert await gateway.evaluate(*options, *columns, *header, set=content) == 0
    scores = gateway.report()["models"][0]["scores"]
    assert scores["spearman"]["value"] == pytest.approx(1)
    assert scores["pearson"]["value"] == pytest.approx(1)


async def test_scores_that_are_no_distribution(gateway: Gateway, capsys: Output) -> None:
    content = table([("rain", "bad"), ("cat", "good")])
    options = ("--model", "many", "--data", gateway.path("set.csv"))
    files = ("--json", gateway.path("report.json"))
    assert await gateway.evaluate(*options, *files, set=content) == 0
    assert gateway.report()["models"][0]["calibration"] is None
    assert "no distribution" in capsys.readouterr().out


async def test_pictures_and_requirements(gateway: Gateway, capsys: Output) -> None:
    label = (await gateway.labels("moods@1", "rain"))[0]
    content = table([("rain", label), ("rain", "sour")])
    options = ("--model", "moods@1", "--data", gateway.path("set.csv"), "--require")
    for suffix, beginning in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        picture = gateway.folder / f"report.{suffix}"
        files = ("--picture", str(picture))
        assert await gateway.evaluate(*options, "accuracy=0.5", *files, set=content) == 0
        assert picture.read_bytes().startswith(beginning)
    assert await gateway.evaluate(*options, "accuracy=0.6", set=content) == 4
    assert "accuracy is 0.5000, below the 0.6 of --require" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--model", "nobody"), 1, "triptych: 404: The model 'nobody' does not exist."),
        (("--model", "tagger"), 1, "triptych: 400: "),
        (("--model", "moods", "--picture", "report.gif"), 1, "must end in one of .png, .svg, .pdf"),
        (("--model", "moods", "--json", "no/such/folder"), 1, "--json: no/such is not a folder"),
        (("--model", "moods", "--label-names", "0"), 1, "--label-names: must be VALUE=NAME"),
        (("--model", "moods", "--text-column", "body"), 1, "the header must name 'body' once"),
        (("--model", "moods", "--concurrency", "0"), 2, "must be a number from 1 to 1,024"),
        (("--model", "moods", "--url", "ftp://x"), 2, "must begin with http:// or https://"),
        (("--model", "moods", "--require", "luck=1"), 2, "'luck' is none of accuracy, f1_macro"),
        (("--model", "moods", "--baseline-head", "x"), 2, "--baseline-head needs --baseline"),
        (("--model", "local", "--task", "similarity"), 2, "needs --pair-column"),
        (("--model", "local", "--task", "tag", "--head", "x"), 2, "are for --task classify"),
    ],
)
async def test_refusals(
    gateway: Gateway, capsys: Output, arguments: tuple[str, ...], code: int, message: str
) -> None:
    content, data = table([("rain", "bad")]), gateway.path("set.csv")
    if code == 2:  # argparse's own
        with pytest.raises(SystemExit, match="2"):
            await gateway.evaluate("--data", data, *arguments, set=content)
    else:
        assert await gateway.evaluate("--data", data, *arguments, set=content) == code
    assert message in capsys.readouterr().err


async def test_a_busy_platform_is_asked_again(tmp_path: Path) -> None:
    """It takes one request at a time and says so to the others, with the time to come back."""
    async with running(tmp_path, max_concurrent=1, seconds_per_token=0.01) as gateway:
        label = (await gateway.labels("moods@1", "rain"))[0]
        content = table([("rain", label)] * 6)
        options = ("--model", "moods@1", "--data", gateway.path("set.csv"), "--batch-size", "1")
        load = ("--concurrency", "3", "--json", gateway.path("report.json"))
        assert await gateway.evaluate(*options, *load, set=content) == 0
        found = gateway.report()["models"][0]
        assert found["scores"]["accuracy"]["value"] == 1
        assert found["repeated_attempts"] >= 1
        # waiting is no part of a request's latency
        assert found["latency_seconds"]["p99"] < 1 < found["rate"]["seconds"]


async def test_a_platform_that_stays_away(gateway: Gateway, capsys: Output) -> None:
    content = table([("rain", "bad")])
    options = ("--model", "moods@1", "--data", gateway.path("set.csv"), "--attempts", "2")
    gateway.platform.problems.append("no encoder")
    assert await gateway.evaluate(*options, set=content) == 1
    assert "503: " in (shown := capsys.readouterr().err)
    assert "after 2 attempts" in shown
    nobody = ("--url", "http://name:secret@127.0.0.1:9")
    assert await gateway.evaluate(*options, *nobody) == 1
    shown = capsys.readouterr().err
    assert "http://127.0.0.1:9: no answer: " in shown
    assert "secret" not in shown


async def test_all_ends_at_the_deadline(tmp_path: Path, capsys: Output) -> None:
    async with running(tmp_path, seconds_per_token=0.05) as gateway:
        content = table([("rain in Paris", "bad")] * 40)
        options = ("--model", "moods@1", "--data", gateway.path("set.csv"), "--batch-size", "1")
        load = ("--concurrency", "2", "--deadline", "1")
        assert await gateway.evaluate(*options, *load, set=content) == 1
        assert " of 40 inputs after 1 s" in capsys.readouterr().err
