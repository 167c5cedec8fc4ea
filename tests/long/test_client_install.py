"""The client by itself, in an environment that has nothing else of the platform."""

import subprocess
from pathlib import Path

CLONE = Path(__file__).parents[2]
UV = CLONE / ".uv" / "bin" / "uv"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def test_installs_alone_and_says_what_drawing_needs(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    for command in (
        ("venv", "--python", CLONE / ".uv" / "bin" / "python", environment),
        ("pip", "install", "--python", environment, CLONE / "clients" / "python"),
    ):
        done = run(UV, *command)
        assert done.returncode == 0, done.stderr
    triptych = environment / "bin" / "triptych"
    shown = run(triptych, "evaluate", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "Exit codes: 0, done" in " ".join(shown.stdout.split())
    options = ("--model", "m", "--data", "set.csv", "--picture", tmp_path / "report.png")
    drawn = run(triptych, "evaluate", *options)
    assert (drawn.returncode, drawn.stdout) == (1, "")
    assert "--picture: needs matplotlib: pip install 'triptych-client[plots]'" in drawn.stderr
    listed = run(UV, "pip", "list", "--python", environment, "--format", "freeze").stdout
    ours = [line.partition("==")[0] for line in listed.splitlines() if line.startswith("triptych")]
    assert ours == ["triptych-client"]
