from triptych_local.backoff import FIRST_DELAY, LARGEST_DELAY, SOUND_AFTER, Backoff


def test_doubles_up_to_the_largest_delay() -> None:
    backoff = Backoff()
    delays = [backoff.delay(uptime=0.1) for _ in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, LARGEST_DELAY, LARGEST_DELAY]


def test_a_long_run_makes_the_next_failure_a_first_one() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.delay(uptime=0.1)
    assert backoff.delay(uptime=SOUND_AFTER) == FIRST_DELAY
    assert backoff.delay(uptime=0.1) == 2 * FIRST_DELAY


def test_a_run_just_too_short_does_not() -> None:
    backoff = Backoff()
    backoff.delay(uptime=0.1)
    assert backoff.delay(uptime=SOUND_AFTER - 0.1) == 2 * FIRST_DELAY
