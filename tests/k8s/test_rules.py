"""The rules give the numbers and alerts that they are for, by Prometheus' own rule tests."""

import shutil
import subprocess
from pathlib import Path

from tests.k8s.checks import metrics
from tests.k8s.rendering import overlay

CASES = Path(__file__).parent / "rules/production.yaml"


def test_rules_give_what_they_are_for(tmp_path: Path) -> None:
    metrics.rule_files(overlay("production"), tmp_path)
    shutil.copy(CASES, tmp_path)
    command = ["promtool", "test", "rules", str(tmp_path / CASES.name)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
