"""Useful tokens a second: the platform under many single-text requests, over the bare runtime.

The same texts are given to onnxruntime sorted by length beforehand, at its best thread layout and
batch budget, with tokenizing left out; and to the running platform's REST API, one text a request,
all at once, by a client on the same cores. The two alternate, and the medians are compared.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import uvloop
from numpy.typing import NDArray
from tokenizers import Tokenizer

from triptych_bundles.manifest import Bundle
from triptych_bundles.repository import Repository
from triptych_local.session import running
from triptych_servicekit.cores import available_cores

os.putenv("ORT_DISABLE_TELEMETRY", "1")  # read at the import

import onnxruntime

BUDGETS: Final = (256, 512, 1024)
HEADERS: Final = b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b"

# a noisy machine may need longer for the burst than a user would be let wait
PATIENT: Final = {"TRIPTYCH_REQUESTS_MAX_QUEUE_WAIT": "60"}
MODEL: Final = "all-minilm-l6-v2"
WORDS: Final = ("time", "year", "people", "way", "day", "man", "thing", "life", "child", "world")

Ids = NDArray[np.int32]
Runner = Callable[[], None]


def mixed_texts(count: int, seed: int = 7) -> list[str]:
    """Texts of 5 to 256 tokens, lognormal with a mean of about 51."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(3.66, 0.75, count), 5, 256).astype(int) - 2
    return [" ".join(rng.choice(WORDS, length)) for length in lengths]


def bare_runners(bundle: Bundle, sequences: Sequence[Ids]) -> dict[str, Runner]:
    """Ways to run the sorted sequences: threads of one core each, or all cores for each batch."""
    cores, graph = available_cores(), bundle.file(bundle.graphs["cpu-fp32"])
    runners: dict[str, Runner] = {}
    for workers, threads in {(cores, 1), (1, cores)}:
        session = _session(graph, threads)
        for budget in BUDGETS:
            feeds = [_pad(batch) for batch in _batches(sequences, budget)]
            runners[f"{workers}x{threads}, {budget} tokens"] = _runner(session, workers, feeds)
    return runners


def _session(graph: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _runner(session: Any, workers: int, feeds: Sequence[dict[str, Ids]]) -> Runner:
    def run() -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda feed: session.run(["pooled.mean"], feed), feeds))

    return run


def _batches(sequences: Sequence[Ids], budget: int) -> list[list[Ids]]:
    """Sorted neighbours, as many as the budget of padded tokens holds."""
    batches: list[list[Ids]] = [[]]
    for sequence in sorted(sequences, key=len):
        if batches[-1] and (len(batches[-1]) + 1) * len(sequence) > budget:
            batches.append([])
        batches[-1].append(sequence)
    return batches


def _pad(batch: Sequence[Ids]) -> dict[str, Ids]:
    ids = np.zeros((len(batch), len(batch[-1])), np.int32)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


async def flood(host: str, port: int, texts: Sequence[str], concurrency: int) -> None:
    """Send every text in a request of its own, `concurrency` at once over as many connections."""
    bodies = iter([json.dumps({"model": MODEL, "input": text}).encode() for text in texts])

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for body in bodies:
            writer.write(HEADERS % (len(body), body))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        writer.close()

    await asyncio.gather(*(connection() for _ in range(concurrency)))


def seconds(run: Runner) -> float:
    """Wall-clock seconds of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def compare(bundle: Bundle, texts: Sequence[str], concurrency: int, rounds: int) -> dict[str, Any]:
    """Interleaved rounds of the bare runtime and the platform; tokens a second and their ratio."""
    tokenizer = Tokenizer.from_file(str(bundle.file("tokenizer.json")))
    sequences = [np.array(item.ids, np.int32) for item in tokenizer.encode_batch(list(texts))]
    tokens = sum(map(len, sequences))
    trial = bare_runners(bundle, sequences[: len(sequences) // 5])
    layout = min(trial, key=lambda name: min(seconds(trial[name]) for _ in range(3)))
    runners = bare_runners(bundle, sequences)
    bare, served = [], []
    with running(bundle.path.parent.parent, PATIENT) as platform:
        host, port = platform.http_url.removeprefix("http://").split(":")
        for _ in range(rounds + 1):  # the first warms up
            bare.append(tokens / seconds(runners[layout]))
            flooding = flood(host, int(port), texts, concurrency)
            served.append(tokens / seconds(lambda work=flooding: uvloop.run(work)))  # type: ignore[misc]
    ratios = [ours / theirs for ours, theirs in zip(served[1:], bare[1:], strict=True)]
    return {
        "texts": len(texts),
        "tokens": tokens,
        "at_once": concurrency,
        "bare_layout": layout,
        "bare_tokens_per_second": round(statistics.median(bare[1:])),
        "platform_tokens_per_second": round(statistics.median(served[1:])),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("model-repository"))
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--at-once", type=int, nargs="+", default=[64, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bundle = Repository(options.repository).bundles()[0]
    texts = mixed_texts(options.texts)
    for concurrency in options.at_once:
        print(json.dumps(compare(bundle, texts, concurrency, options.rounds)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
