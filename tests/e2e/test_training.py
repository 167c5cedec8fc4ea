"""The image of fine-tuning, run as the Job in a cluster runs it: killed half way, it goes on."""

import csv
import json
import random
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from tests.e2e.engine import CLONE, Container, Project, docker
from triptych_local.session import running

NAME: Final = "triptych-e2e-training"
IMAGE: Final = "triptych-e2e/train"
BASE: Final = "triptych-e2e/python-with-torch"
JOB: Final = yaml.safe_load((CLONE / "deploy/k8s/components/training/job.yaml").read_text())
TOPICS: Final = {
    "money": ("bank", "loan", "price"),
    "travel": ("train", "ferry", "airport"),
    "weather": ("rain", "storm", "sunshine"),
}
FILLERS: Final = ("the", "and", "for", "from", "was", "not", "then", "they")
PER_LABEL: Final = 25
RECIPE: Final = {
    "name": "topics",
    "data": {"train": "topics.csv"},
    # an epoch on a few rows leaves less slack in int8 than a real training
    "int8_min_cosine": 0.9,
    "fit": {"epochs": 1, "batch_size": 4},
}
CHECKPOINT: Final = "/training/work/topics/1/run-0/checkpoint.pt"
KILLED, STOPPED = 128 + 9, 128 + 15
LONGEST_STOP: Final = 60


@pytest.fixture(scope="module")
def image(engine: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Built by `make train-image`, over a base that has the torch that this machine's pip takes."""
    base_with_torch(tmp_path_factory.mktemp("wheels"))
    command = ("make", "train-image", f"PYTHON_IMAGE={BASE}", f"TRAIN_IMAGE={IMAGE}")
    subprocess.run(command, cwd=CLONE, check=True)
    return IMAGE


def base_with_torch(folder: Path) -> None:
    """So pip in the image needs no index but PyPI, where torch comes with 3 GB of CUDA."""
    facts = tomllib.loads((CLONE / "models/train/pyproject.toml").read_text())
    torch = next(one for one in facts["project"]["dependencies"] if one.startswith("torch=="))
    take = ("download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.11")
    subprocess.run(
        [sys.executable, "-m", "pip", *take, f"--dest={folder}", torch], cwd=folder, check=True
    )
    python = Project(NAME).config()["services"]["gateway"]["build"]["args"]["PYTHON_IMAGE"]
    recipe = f"FROM {python}\nCOPY *.whl /wheels/\nENV PIP_FIND_LINKS=/wheels\n"
    (folder / "Dockerfile").write_text(recipe)
    docker("build", "--quiet", "--tag", BASE, str(folder))


@dataclass(frozen=True, slots=True)
class Pods:
    """Starts what the Job starts, one after another, over one volume."""

    folder: Path
    """Its `data` and `recipe` are what the volume and the ConfigMap of the Job hold."""

    def start(self, *more: str) -> Container:
        """The next pod, with options of its own behind the Job's."""
        self.remove()
        arguments = (*_pod()["containers"][0]["args"], *more)
        docker("run", "--detach", "--name", NAME, *self._options(), IMAGE, *arguments)
        return Container(NAME, "train", json.loads(docker("inspect", NAME))[0])

    def remove(self) -> None:
        """The pod, but not the volume."""
        docker("rm", "--force", NAME)

    def _options(self) -> Sequence[str]:
        user = _pod()["securityContext"]
        return (
            f"--user={user['runAsUser']}:{user['runAsGroup']}",
            "--network=none",
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--memory=8g",
            "--tmpfs=/tmp:size=1g,mode=1777",
            f"--volume={NAME}:/training",
            f"--volume={self.folder / 'data'}:/training/data:ro",
            f"--volume={self.folder / 'recipe'}:/recipe:ro",
        )


def _pod() -> Any:
    return JOB["spec"]["template"]["spec"]


@pytest.fixture
def pods(image: str, tmp_path: Path) -> Iterator[Pods]:
    """With a recipe and its data, over a volume that is empty and goes in the end."""
    for name in ("data", "recipe"):
        (tmp_path / name).mkdir()
    (tmp_path / "recipe" / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    write_topics(tmp_path / "data" / "topics.csv")
    pods = Pods(tmp_path)
    pods.remove()
    docker("volume", "rm", "--force", NAME)
    try:
        yield pods
    finally:
        pods.remove()
        docker("volume", "rm", "--force", NAME)


def write_topics(path: Path) -> None:
    """Rows of a few words, one of which says the label."""
    numbers = random.Random(5)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["label", "text"])
        for label, words in TOPICS.items():
            for row in range(PER_LABEL):
                filled = [*numbers.choices(FILLERS, k=5), numbers.choice(words), str(row)]
                writer.writerow([label, " ".join(filled)])


def ended(pod: Container) -> int:
    """The exit code, once there is one."""
    return int(docker("wait", pod.id))


def wait_for_checkpoint(pod: Container) -> None:
    """Returns at the first one; EngineError where the pod ends before it."""
    pod.execute("sh", "-c", f"until [ -f {CHECKPOINT} ]; do sleep 0.1; done")


def test_killed_half_way_the_next_pod_goes_on_and_its_bundle_serves(
    pods: Pods, tmp_path: Path
) -> None:
    # on shared cores threads wait for each other
    own = ("--threads=1", "--checkpoint-steps=3")
    first = pods.start(*own)
    wait_for_checkpoint(first)
    docker("kill", "--signal", "KILL", first.id)
    assert ended(first) == KILLED
    second = pods.start(*own)
    assert ended(second) == 0, second.logs()
    resumed = re.search(r"going on after step (\d+) of (\d+)", second.logs())
    assert resumed is not None, second.logs()
    step, steps = map(int, resumed.groups())
    assert 0 < step < steps
    docker("cp", f"{second.id}:/training/models", str(tmp_path))
    assert classified(tmp_path / "models") == list(TOPICS)


def classified(repository: Path) -> list[str]:
    """What the platform makes of a text of each topic, in words of its own."""
    texts = [f"they spoke of the {words[0]}" for words in TOPICS.values()]
    with running(repository) as session:
        body = {"model": "topics", "inputs": texts}
        answer = httpx.post(f"{session.http_url}/api/v1/classify", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    best = [max(item["labels"], key=lambda one: one["score"]) for item in answer.json()["data"]]
    return [str(one["label"]) for one in best]


def test_a_stop_ends_it_at_once(pods: Pods) -> None:
    pod = pods.start("--threads=1", "--checkpoint-steps=1")
    wait_for_checkpoint(pod)
    docker("stop", "--time", str(LONGEST_STOP), pod.id)
    assert ended(pod) == STOPPED


def test_what_no_repetition_mends_ends_the_job(pods: Pods) -> None:
    rules = JOB["spec"]["podFailurePolicy"]["rules"]
    final = next(rule for rule in rules if rule["action"] == "FailJob")["onExitCodes"]["values"]
    (pods.folder / "data" / "topics.csv").write_text("label,text\nmoney,\n")
    pod = pods.start()
    assert ended(pod) in final
    assert "--text-column: is empty on line 2" in pod.logs()
    assert ended(pods.start("--epochs=4")) in final
