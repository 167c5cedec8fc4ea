"""What the mesh's proxies cost: the platform in containers with and without them, interleaved.

    docker compose -p plain up -d --wait --scale tokenizer=2 --scale encoder=2 --scale postprocess=2
    make up-mesh                        # with other ports, see docs/containers.md
    python benchmarks/mesh_cost.py plain=http://127.0.0.1:8080 triptych=http://127.0.0.1:9080

Names are those of the compose projects. Prints medians over the rounds: p50 and p99 of requests of
one text, and the CPU that servers and proxies took for 1,000 of them, as the engine counts it.
"""

import argparse
import json
import operator
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import httpx

BODY: Final = {"model": "all-minilm-l6-v2", "input": "the quick brown fox jumps over the lazy dog"}
WARM_UP: Final = 1.0
ENGINE: Final = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one round: latencies in milliseconds, CPU in seconds for 1,000 requests."""

    p50: float
    p99: float
    rate: float
    servers: float
    proxies: float


@dataclass(frozen=True, slots=True)
class Platform:
    """A compose project and where its HTTP port is."""

    project: str
    url: str

    def containers(self) -> dict[str, bool]:
        """Ids of what runs, and whether each is a proxy."""
        command = ["docker", "compose", "-p", self.project, "ps", "--format", "json"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows = [json.loads(line) for line in lines.splitlines()]
        return {row["ID"]: row["Service"].endswith(("-proxy", "ingress")) for row in rows}

    def measure(self, clients: int, seconds: float) -> Figures:
        """One round of `clients` that ask one after the other."""
        load(self.url, clients, WARM_UP)
        kinds = self.containers()
        # At once: the engine takes a second for each answer.
        with ThreadPoolExecutor(len(kinds)) as pool:
            before = list(pool.map(cpu_seconds, kinds))
            taken = sorted(load(self.url, clients, seconds))
            after = list(pool.map(cpu_seconds, kinds))
        used = dict(zip(kinds, map(operator.sub, after, before), strict=True))
        servers = sum(used[one] for one, proxy in kinds.items() if not proxy)
        proxies = sum(used[one] for one, proxy in kinds.items() if proxy)
        share = 1000 / len(taken)
        return Figures(
            p50=1000 * taken[len(taken) // 2],
            p99=1000 * taken[int(len(taken) * 0.99)],
            rate=len(taken) / seconds,
            servers=servers * share,
            proxies=proxies * share,
        )


def cpu_seconds(container: str) -> float:
    """CPU that a container has used so far."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=ENGINE), timeout=30) as engine:
        url = f"http://engine/containers/{container}/stats"
        answer = engine.get(url, params={"stream": "false", "one-shot": "true"})
    nanoseconds: int = answer.json()["cpu_stats"]["cpu_usage"]["total_usage"]
    return nanoseconds / 1e9


def load(url: str, clients: int, seconds: float) -> list[float]:
    """Seconds that each request took."""
    taken: list[float] = []
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=ask, args=(url, end, taken)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def ask(url: str, end: float, taken: list[float]) -> None:
    """One client. Raises HTTPStatusError for an answer that is none."""
    with httpx.Client(timeout=30) as client:
        while (started := time.monotonic()) < end:
            client.post(f"{url}/v1/embeddings", json=BODY).raise_for_status()
            taken.append(time.monotonic() - started)


def show(platform: Platform, clients: int, rounds: Sequence[Figures]) -> str:
    """A line of medians."""

    def median(field: Callable[[Figures], float]) -> float:
        return statistics.median(map(field, rounds))

    return (
        f"{platform.project:<20} {clients:>3} at once: p50 {median(lambda one: one.p50):6.2f} ms,"
        f" p99 {median(lambda one: one.p99):6.2f} ms, {median(lambda one: one.rate):5.0f}/s,"
        f" CPU of 1,000: servers {median(lambda one: one.servers):.2f} s,"
        f" proxies {median(lambda one: one.proxies):.2f} s"
    )


def main() -> None:
    """Measure in turn, so that what the machine does meanwhile falls on all alike."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("platforms", nargs="+", metavar="PROJECT=URL")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    platforms = [Platform(*one.split("=", 1)) for one in options.platforms]
    for clients in options.clients:
        found: dict[Platform, list[Figures]] = {one: [] for one in platforms}
        for number in range(options.rounds):
            for platform in platforms if number % 2 == 0 else reversed(platforms):
                found[platform].append(platform.measure(clients, options.seconds))
        for platform, rounds in found.items():
            sys.stdout.write(show(platform, clients, rounds) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
