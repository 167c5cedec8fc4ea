"""One epoch on real data, from the files to a bundle: what a release of torch could break."""

import os
from pathlib import Path

import pytest

from triptych_bundles import Repository
from triptych_models.settings import read_settings
from triptych_train.__main__ import main

RECIPE = Path(__file__).parents[1] / "recipes" / "banking77.yaml"
# one epoch of eight; the head over the frozen trunk has 0.93
LEAST_ACCURACY = 0.88
# the bar for int8
MAX_LOSS_IN_INT8 = 0.005


@pytest.mark.data
@pytest.mark.timeout(900)
def test_an_epoch_of_banking77_makes_a_bundle(tmp_path: Path) -> None:
    data = os.environ["TRIPTYCH_TEST_DATA"]
    cache = read_settings().repository / ".cache"
    places = [
        "--repository",
        str(tmp_path),
        "--work",
        str(tmp_path / "work"),
        "--cache",
        str(cache),
    ]
    assert main([str(RECIPE), "--data", data, *places, "--set", "fit.epochs=1"]) == 0
    made = Repository(tmp_path).find_model("banking77-minilm")
    scores = made.precisions["int8"].scores["test"]
    print(f"accuracy {scores.fp32:.4f}, in int8 {scores.own:.4f}")
    assert scores.fp32 >= LEAST_ACCURACY
    assert scores.own >= scores.fp32 - MAX_LOSS_IN_INT8
