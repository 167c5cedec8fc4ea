"""`docker compose stop` under load: what the gateway had accepted is answered."""

import asyncio
import json
import time
from datetime import datetime

from tests.e2e.conftest import Report
from tests.e2e.engine import SERVICES, Container, Project
from tests.e2e.traffic import Load, Outcome, steady

# Some tens of requests are in progress at any moment.
CLIENTS = 24
TEXTS = ["a sentence of some length that takes the encoder a while to read " * 2] * 2
WARM_UP = 3.0
# For this long after it has said so, a stopping gateway still accepts: its drain delay.
DRAIN_DELAY = 0.5
# Clocks and scheduling between a client's note of the time and the gateway's.
MARGIN = 0.05
LONGEST_STOP = 25.0


def said(container: Container, message: str) -> float:
    """When a service logged a message, in seconds since the epoch."""
    lines = [json.loads(line) for line in container.logs().splitlines() if line.startswith("{")]
    (time_of,) = (line["time"] for line in lines if line["message"] == message)
    return datetime.fromisoformat(time_of).timestamp()


async def test_every_accepted_request_is_answered(fresh: Project, report: Report) -> None:
    fresh.up()
    url = fresh.url("gateway", 8080)
    async with steady(Load(url, CLIENTS, pause=0.0, texts=TEXTS)) as load:
        await asyncio.sleep(WARM_UP)
        began = time.time()
        await asyncio.to_thread(fresh.compose, "stop")
        ended = time.time()
    (gateway,) = fresh.containers("gateway")
    closing = said(gateway, "stopping") + DRAIN_DELAY - MARGIN
    accepted = [request for request in load.requests if request.sent < closing]
    unanswered = [one for one in accepted if one.outcome is not Outcome.ANSWERED]
    last = max(one.sent for one in load.requests if one.outcome is Outcome.ANSWERED)
    report(
        f"stopped under load in {ended - began:.1f} s: {len(accepted)} accepted,"
        f" {len(unanswered)} unanswered; last accepted {last - began:.1f} s after the call"
    )
    assert not unanswered
    # Later ones were answered whole, or met a closed door: no error, no half an answer.
    assert {one.outcome for one in load.requests} == {Outcome.ANSWERED, Outcome.REFUSED}
    assert ended - began <= LONGEST_STOP
    for container in fresh.containers(*SERVICES):
        assert (container.service, container.state["ExitCode"]) == (container.service, 0)
