"""The gateway's admission."""

import time

import pytest

from triptych_gateway.admission import Admission
from triptych_gateway.cutting import estimate_tokens
from triptych_gateway.settings import Requests
from triptych_gateway.tasks import Pair, TokenIds
from triptych_servicekit.errors import DeadlineExceeded, Overloaded


def later(seconds: float = 60) -> float:
    return time.monotonic() + seconds


def test_one_more_than_the_maximum_is_refused() -> None:
    admission = Admission(Requests(max_concurrent_requests=2), lambda: False)
    with admission.admit(1, later()), admission.admit(1, later()):
        with pytest.raises(Overloaded, match="max_concurrent_requests is 2") as refused:
            admission.admit(1, later()).__enter__()
        assert refused.value.retry_after
    assert admission.requests == admission.tokens == 0


def test_a_request_that_arrives_too_late_is_refused() -> None:
    admission = Admission(Requests(), lambda: False)
    with pytest.raises(DeadlineExceeded):
        admission.admit(1, later(-1)).__enter__()


def saturated_admission(tokens: int, max_queue_wait: float) -> Admission:
    """One that has measured at most `tokens` a second; less where the machine is busy."""
    admission = Admission(Requests(max_queue_wait=max_queue_wait), lambda: True)
    end = time.monotonic() + 0.6
    step = tokens // 100
    while time.monotonic() < end:
        with admission.admit(step, later()):
            time.sleep(0.01)
    return admission


def test_the_wait_is_estimated_from_the_measured_rate() -> None:
    admission = saturated_admission(10_000, max_queue_wait=2)
    with (
        admission.admit(100, later()),
        admission.admit(30_000, later()),
        pytest.raises(Overloaded, match="estimated wait"),
    ):
        admission.admit(1, later()).__enter__()


def test_the_wait_must_fit_into_the_requests_own_time() -> None:
    admission = saturated_admission(10_000, max_queue_wait=300)
    with admission.admit(100_000, later()), pytest.raises(Overloaded, match="estimated wait"):
        admission.admit(1, later(5)).__enter__()


def test_a_short_request_beside_a_long_one_does_not_make_the_platform_look_slow() -> None:
    admission = Admission(Requests(max_queue_wait=2), lambda: True)
    with admission.admit(2000, later(), measured=False):
        for _ in range(20):
            time.sleep(0.05)
            admission.measure(500)
            with admission.admit(5, later()):
                pass


def test_an_idle_platform_measures_nothing() -> None:
    admission = Admission(Requests(max_queue_wait=0.1), lambda: False)
    for _ in range(3):
        with admission.admit(1, later()):
            time.sleep(0.01)
    with admission.admit(10**9, later()), admission.admit(1, later()):
        pass


def test_the_time_between_two_loads_is_not_measured() -> None:
    waiting = [True]
    admission = Admission(Requests(max_queue_wait=2), lambda: waiting[0])
    with admission.admit(100, later()):
        pass  # a measurement begins; everybody else leaves without an answer
    waiting[0] = False
    time.sleep(0.6)
    with admission.admit(100, later()):
        waiting[0] = True
    with admission.admit(3000, later()), admission.admit(1, later()):
        pass


def test_a_rate_of_another_time_refuses_nobody_while_nothing_waits() -> None:
    waiting = [True]
    admission = Admission(Requests(max_queue_wait=0.01), lambda: waiting[0])
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        with admission.admit(1, later()):
            time.sleep(0.05)
    with admission.admit(1000, later()):
        with pytest.raises(Overloaded, match="estimated wait"):
            admission.admit(1, later()).__enter__()
        waiting[0] = False
        with admission.admit(1, later()):
            pass


def test_tokens_are_estimated_within_the_models_maximum() -> None:
    assert estimate_tokens(["x" * 30, Pair("x" * 15, "x" * 15), TokenIds([1, 2])], 256) == 28
    assert estimate_tokens(["x" * 65_536], 256) == 256
