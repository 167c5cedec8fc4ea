from pathlib import Path

from triptych_local.state import ServiceState, State

RUNNING = State(10, True, {"encoder": ServiceState(11, 2, {"grpc": 50052, "operations": 9102})})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    RUNNING.write(tmp_path / "state.json")
    assert State.read(tmp_path / "state.json") == RUNNING


def test_a_new_state_replaces_the_old_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    RUNNING.write(path)
    down = State(10, False, {"encoder": ServiceState(None, 3, {})})
    down.write(path)
    assert State.read(path) == down
    assert list(tmp_path.iterdir()) == [path]
